"""Made samples, written by a model as a store, train beside real ones; which, and whether they are such."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from distgan.config.run_config import AnyRun, config_from_tables
from distgan.data.made import MadeFeed
from distgan.engine.distributed import Group
from distgan.engine.task import Task
from distgan.engine.trainer import Trainer
from distgan.inference.sample import write_samples
from distgan.model import Model, load_model, save_model
from storage.errors import RecipeError
from storage.made import write_patches
from storage.patches import PatchStore

NAMES = ("membranes", "mitochondria")
CPU = torch.device("cpu")
FACTS: dict[str, Any] = {"channels": ["electrons"], "value_range": [0, 255], "pixel_um": [None, None], "source": "none"}


@pytest.fixture
def store(tmp_path: Path) -> PatchStore:
    """24 dark real images of three sections; the labels say so, too."""
    random = np.random.default_rng(0)
    images = random.integers(0, 100, (24, 1, 32, 32), np.uint8)
    labels = {name: np.zeros((24, 32, 32), np.uint8) for name in NAMES}
    return write_patches(tmp_path / "real.zarr", images, pa.table({"section": np.arange(24) // 8}), FACTS, labels)


@pytest.fixture
def made(make_tissue: Callable[..., Trainer], store: PatchStore, tmp_path: Path) -> Model:
    save_model(tmp_path / "model", make_tissue("sgan"), store, {}, "none")
    return load_model(tmp_path / "model")


def tables(store: PatchStore, **data: Any) -> dict[str, Any]:
    return {
        "run": {"name": "tiny", "images": 32, "batch_size": 8, "log_every_images": 8},
        "data": {"store": str(store.path), "split": {"by": "section", "leave_out": 2}} | data,
        "method": {"name": "segmentation", "preset": "small", "reader": {"width": 4, "depth": 3}},
        "evaluate": {"every_images": 16},
        "checkpoint": {"every_images": 16},
    }


def feed(config: AnyRun, folder: Path) -> MadeFeed:
    found = Task.of(config, folder).feed(Group(), CPU)
    assert isinstance(found, MadeFeed)
    return found


def quiet(done: int, total: int) -> None:
    pass


def test_a_model_writes_its_pairs_as_a_store(made: Model, tmp_path: Path) -> None:
    shape = write_samples(made, tmp_path / "made.zarr", 70, 3, quiet)
    found = PatchStore.open(tmp_path / "made.zarr")
    assert shape == found.shape == (70, 1, 32, 32)
    assert found.labels == NAMES
    assert found.manifest.facts["made"] == {"model": made.digest, "seed": 3}
    assert found.manifest.facts["patch_store"] == made.card["patch_store"]
    masks = found.read_rows(0, 70, "membranes")
    assert set(np.unique(masks).tolist()) == {0, 1}
    write_samples(made, tmp_path / "few.zarr", 10, 3, quiet)
    few = PatchStore.open(tmp_path / "few.zarr")
    assert np.array_equal(few.read_rows(0, 10), found.read_rows(0, 10))
    assert np.array_equal(few.read_rows(0, 10, "membranes"), masks[:10])
    assert few.obs.equals(found.obs.slice(0, 10))


def test_who_makes_no_pairs_writes_none(
    make_tissue: Callable[..., Trainer], store: PatchStore, finished: Path, tmp_path: Path
) -> None:
    save_model(tmp_path / "labels", make_tissue("label_gan"), store, {}, "none")
    for folder, said in ((tmp_path / "labels", "labels without images"), (finished / "model", "makes no label images")):
        with pytest.raises(RecipeError, match=said):
            write_samples(load_model(folder), tmp_path / "made.zarr", 4, 0, quiet)
    assert not (tmp_path / "made.zarr").exists()


@pytest.fixture
def bright(tmp_path: Path) -> PatchStore:
    """40 bright made images, whose labels are everywhere."""
    images = np.full((40, 1, 32, 32), 250, np.uint8)
    labels = {name: np.ones((40, 32, 32), np.uint8) for name in NAMES}
    return write_patches(tmp_path / "bright.zarr", images, pa.table({"sample": np.arange(40)}), FACTS, labels)


def test_half_of_every_batch_is_made_and_labels_go_with_their_images(
    store: PatchStore, bright: PatchStore, tmp_path: Path
) -> None:
    config = config_from_tables(tables(store, made={"store": str(bright.path)}), "the test")
    config = config.model_copy(update={"augment": type(config.augment)()})
    found = feed(config, tmp_path)
    for position in range(0, 200, 8):
        batch = found.batch(position, 8)
        are_made = batch.images.mean((1, 2, 3)) > 0.5
        assert int(are_made.sum()) == 4
        assert ((batch.labels["membranes"] > 0).all((1, 2)) == are_made).all()
    assert "half of them made" in found.order_name
    assert found.made == bright.digest


def test_all_of_them_may_be_made_and_what_is_held_out_never_is(
    store: PatchStore, bright: PatchStore, tmp_path: Path
) -> None:
    config = config_from_tables(tables(store, made={"store": str(bright.path), "part": "all"}), "the test")
    task = Task.of(config, tmp_path)
    found = feed(config, tmp_path)
    assert (found.rows(np.arange(40)).labels["mitochondria"] == 1).all()
    sets = task.sets(found)
    assert len(sets.train.images) == 16
    assert sets.held_out is not None
    assert all((np.asarray(one.images) < 100).all() for one in (sets.train, sets.held_out))


def test_a_reader_learns_from_them_and_its_card_names_them(
    store: PatchStore, bright: PatchStore, train: Callable[..., None], tmp_path: Path
) -> None:
    for name, keys in {"real": {}, "half": {"made": {"store": str(bright.path)}}}.items():
        train(config_from_tables(tables(store, **keys), "the test"), tmp_path / name)
    real, half = (load_model(tmp_path / name / "model") for name in ("real", "half"))
    assert (real.card["made_store"], half.card["made_store"]) == ("", bright.digest)
    assert real.card["state_sha256"] != half.card["state_sha256"]
    assert half.card["metrics"]["mean_iu"] > 0


def test_samples_that_are_not_such_are_refused(store: PatchStore, tmp_path: Path) -> None:
    others = {
        "channels": ((4, 1, 32, 32), FACTS | {"channels": ["light"]}, NAMES),
        "shape": ((4, 1, 16, 16), FACTS, NAMES),
        "value_range": ((4, 1, 32, 32), FACTS | {"value_range": [0, 1]}, NAMES),
        "no label image": ((4, 1, 32, 32), FACTS, NAMES[:1]),
    }
    for name, (shape, facts, structures) in others.items():
        labels = {one: np.zeros((4, *shape[2:]), np.uint8) for one in structures}
        path = tmp_path / f"{name}.zarr"
        write_patches(path, np.zeros(shape, np.uint8), pa.table({"sample": np.arange(4)}), facts, labels)
        config = config_from_tables(tables(store, made={"store": str(path)}), "the test")
        with pytest.raises(RecipeError, match=name):
            feed(config, tmp_path)
    mixed = copy.deepcopy(tables(store, made={"store": "other.zarr"}, strata="section"))
    with pytest.raises(RecipeError, match="mixed in memory"):
        config_from_tables(mixed, "the test")
