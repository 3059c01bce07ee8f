"""Label images in a study: those of the store as they are, those of the model as it makes them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from distgan import cli
from distgan.data.image_sets import open_images
from distgan.engine.trainer import Trainer
from distgan.model import Model
from distgan.study.labels import GAP, cell_sets, label_sets, pair_sets
from distgan.study.panel import KEY, Panel, write_study
from storage.errors import RecipeError
from storage.made import write_patches
from storage.manifest import committed
from storage.patches import KIND, PatchArrays, PatchStore

NAMES = ("membranes", "mitochondria")


@pytest.fixture
def store(tmp_path: Path) -> PatchStore:
    """40 images of 32 x 32 with two label images, the first the left part of an image."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (40, 1, 32, 32), np.uint8)
    left = np.broadcast_to(np.arange(32) < np.arange(40)[:, None, None] % 30, (40, 32, 32)).astype(np.uint8)
    arrays = PatchArrays(images.shape, "uint8", dict.fromkeys(NAMES, "uint8"), {"name": "zstd"})
    facts: dict[str, Any] = {
        "channels": ["electrons"],
        "labels": list(NAMES),
        "value_range": [0, 255],
        "pixel_um": [None, None],
        "source": "none",
    }
    with committed(tmp_path / "store.zarr", KIND, facts) as folder:
        arrays.create(folder)
        for start, stop in arrays.shards:
            part = slice(start, stop)
            arrays.write(folder, start, images[part], {NAMES[0]: 3 * left[part], NAMES[1]: 1 - left[part]})
        pq.write_table(pa.table({"section": np.arange(40)}), folder / "obs.parquet")
    return PatchStore.open(tmp_path / "store.zarr")


@pytest.fixture
def model(make_tissue: Callable[..., Trainer]) -> Model:
    """A label_gan as it began."""
    trainer = make_tissue("label_gan")
    trainer.method.eval()
    card = {"patch_store": "another", "image_shape": [1, 32, 32], "channels": ["electrons"], "dtype": "uint8"}
    return Model(trainer.method, trainer.config, card | {"method": "label_gan"}, "digest")


def test_the_label_images_are_those_of_the_store_and_of_the_model(store: PatchStore, model: Model) -> None:
    real, made = label_sets(store, model, 20, 0)
    assert real.shape == made.shape == (20, 2, 32, 32)
    assert real.channels == NAMES
    rows = np.array([int(row) for row in real.obs.column("file").to_pylist()])
    assert np.array_equal(real.values[:, 0], store.read(rows, NAMES[0]) > 0)
    assert np.array_equal(real.values[:, 1], store.read(rows, NAMES[1]) > 0)
    assert set(np.unique(made.values).tolist()) <= {0, 1}
    again, other = (label_sets(store, model, 20, seed)[1].values for seed in (0, 1))
    assert np.array_equal(made.values, again)
    assert not np.array_equal(made.values, other)


def test_they_are_shown_in_a_study(store: PatchStore, model: Model, tmp_path: Path) -> None:
    write_study(*label_sets(store, model, 30, 0), Panel(number=30), tmp_path / "study")
    key = json.loads((tmp_path / "study" / KEY).read_text())
    assert sum(one["made"] for one in key["key"]) == 15
    assert list(key["contrast"]) == list(NAMES)


def test_folders_are_images_and_need_no_such_thing(store: PatchStore, model: Model, tmp_path: Path) -> None:
    np.save(tmp_path / "made.npy", np.zeros((4, 8, 8), np.uint8))
    with pytest.raises(RecipeError, match="leave --labels out"):
        label_sets(open_images(tmp_path / "made.npy"), model, 4, 0)


def of(make_tissue: Callable[..., Trainer], name: str) -> Model:
    trainer = make_tissue(name)
    trainer.method.eval()
    card = {"patch_store": "another", "image_shape": [1, 32, 32], "channels": ["electrons"], "dtype": "uint8"}
    return Model(trainer.method, trainer.config, card | {"method": name, "value_range": [0, 255]}, "digest")


@pytest.fixture
def celled(tmp_path: Path) -> PatchStore:
    """20 images of 32 x 32 of a square cell of their own size, with a mitochondrion of 5 x 5."""
    labels = {name: np.zeros((20, 32, 32), np.uint8) for name in NAMES}
    for number in range(20):
        low, high = 14 - number // 2, 19 + number // 4
        labels[NAMES[0]][number] = 1
        labels[NAMES[0]][number, low:high, low:high] = 0
        labels[NAMES[1]][number, 14:19, 14:19] = 1
    facts = {"channels": ["electrons"], "value_range": [0, 255], "pixel_um": [None, None], "source": "none"}
    images = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((1, 32, 32), np.uint8)
    return write_patches(tmp_path / "cells.zarr", images, pa.table({"section": np.arange(20)}), facts, labels)


def test_single_cells_stand_in_the_middle_with_their_mitochondria(
    celled: PatchStore, make_tissue: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = of(make_tissue, "label_gan")
    store = torch.from_numpy(np.stack([celled.read_rows(0, 20, name) for name in NAMES], 1).astype(np.float32))
    monkeypatch.setattr(model.method, "label_images", lambda step: 2 * store[: len(step.batch)] - 1)
    real, made = cell_sets(celled, model, 10, 0)
    assert real.channels == made.channels == NAMES
    assert real.shape == made.shape
    assert len(real.values) == 10
    edge = real.shape[-1]
    for walls, inside in real.values:
        assert 16 <= inside.sum() <= 25  # of which a corner may be lost where walls are widened
        middle = np.argwhere(walls).mean(0)
        assert np.abs(middle - (edge - 1) / 2).max() <= 1
        assert not (walls & inside).any()
    assert len(set(real.obs.column("file").to_pylist())) == 10


def test_too_few_cells_are_said(store: PatchStore, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distgan.study.labels.TRIES", 2)
    with pytest.raises(RecipeError, match="too few single cells"):
        cell_sets(store, model, 10, 0)


def test_pairs_have_their_labels_beside_them(
    store: PatchStore, make_tissue: Callable[..., Trainer], tmp_path: Path
) -> None:
    model = of(make_tissue, "sgan")
    real, made = pair_sets(store, model, 20, 0)
    assert real.shape == made.shape == (20, 3, 32, 64 + GAP)
    rows = np.array([int(row) for row in real.obs.column("file").to_pylist()])
    assert np.array_equal(real.values[:, 0, :, 32 + GAP :] > 0, store.read(rows, NAMES[0]) > 0)
    assert np.array_equal(real.values[:, 1, :, 32 + GAP :] > 0, store.read(rows, NAMES[1]) > 0)
    grey = real.values[:, :, :, :32]
    assert np.array_equal(grey[:, 0], grey[:, 2])
    assert np.corrcoef(grey[:, 0].ravel(), store.read(rows).ravel())[0, 1] > 0.999
    write_study(real, made, Panel(number=20), tmp_path / "study")
    assert sum(one["made"] for one in json.loads((tmp_path / "study" / KEY).read_text())["key"]) == 10
    with pytest.raises(RecipeError, match="labels without images"):
        pair_sets(store, of(make_tissue, "label_gan"), 4, 0)


def test_one_kind_of_page_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["study", "make", "--real", "a", "--made", "b", "--out", "c", "--cells", "--pairs"]) != 0
    assert "not allowed with" in capsys.readouterr().err
