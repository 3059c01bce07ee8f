"""A model folder: checked before any weight is used, and nothing in it can run code."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

from distgan.config.run_config import config_from_tables
from distgan.model import CARD, WEIGHTS, load_model
from storage.errors import DataError, MissingError
from storage.manifest import NAME, read_manifest, seal
from storage.patches import PatchStore


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A model to be spoiled."""
    return shutil.copytree(finished / "model", tmp_path / "model")


def test_a_model_holds_tensors_and_json_and_says_where_it_comes_from(folder: Path, patches: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted((NAME, CARD, WEIGHTS))
    model, store = load_model(folder), PatchStore.open(patches)
    assert model.digest == read_manifest(folder, "model").digest
    assert model.card["patch_store"] == store.digest
    assert model.card["image_store"] == store.manifest.facts["source"]
    assert model.card["image_shape"] == [1, 32, 32]
    assert model.value_range == (0, 255)
    assert config_from_tables(model.card["recipe"], "the card") == model.config


def test_a_loaded_model_is_ready_for_use(folder: Path) -> None:
    method = load_model(folder).method
    assert not method.training
    assert not any(parameter.requires_grad for parameter in method.parameters())
    weights = load_file(folder / WEIGHTS)
    assert weights.keys() == method.state_dict().keys()
    assert all(torch.equal(value, weights[name]) for name, value in method.state_dict().items())


@pytest.mark.parametrize("name", [CARD, WEIGHTS, NAME])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.99])
def test_a_flipped_bit_anywhere_is_found(folder: Path, name: str, place: float) -> None:
    content = bytearray((folder / name).read_bytes())
    content[int(place * len(content))] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(DataError):
        load_model(folder)


@pytest.mark.parametrize("name", [CARD, WEIGHTS, NAME])
@pytest.mark.parametrize("left", [0.0, 0.5, None], ids=["empty", "half", "gone"])
def test_a_lost_or_shortened_file_is_found(folder: Path, name: str, left: float | None) -> None:
    content = (folder / name).read_bytes()
    (folder / name).unlink() if left is None else (folder / name).write_bytes(content[: int(left * len(content))])
    with pytest.raises(DataError):
        load_model(folder)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    weights["critic.score.bias"] = torch.zeros(2)
    (folder / WEIGHTS).write_bytes(save(weights))
    (folder / NAME).unlink()
    seal(folder, "model", {})
    with pytest.raises(DataError, match="does not fit"):
        load_model(folder)


def test_a_pickle_in_place_of_the_weights_is_not_run(folder: Path, tmp_path: Path) -> None:
    class Canary:
        def __reduce__(self) -> object:
            return (Path.touch, (tmp_path / "canary",))

    torch.save(Canary(), folder / WEIGHTS)
    np.save(folder / "more.npy", np.array([Canary()]), allow_pickle=True)
    (folder / NAME).unlink()
    seal(folder, "model", {})
    with pytest.raises(DataError):
        load_model(folder)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("card", ["[]", "{}", '{"recipe": {}}', '{"recipe": []}', "not json", "\xff"])
def test_a_card_that_is_no_card_is_refused(folder: Path, card: str) -> None:
    (folder / CARD).write_text(card, encoding="latin-1")
    (folder / NAME).unlink()
    seal(folder, "model", {})
    with pytest.raises(DataError, match="does not fit"):
        load_model(folder)


def test_a_card_of_other_images_is_refused(folder: Path) -> None:
    card = json.loads((folder / CARD).read_text())
    for shape in ([3, 32, 32], [1, 48, 48], [1, 32]):
        (folder / CARD).write_text(json.dumps(card | {"image_shape": shape}))
        (folder / NAME).unlink()
        seal(folder, "model", {})
        with pytest.raises(DataError, match="does not fit"):
            load_model(folder)


def test_no_model_is_missing_and_another_kind_of_folder_is_told(tmp_path: Path, patches: Path) -> None:
    with pytest.raises(MissingError):
        load_model(tmp_path / "nothing")
    with pytest.raises(DataError, match="is no model"):
        load_model(patches)
