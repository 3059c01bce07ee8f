"""Label images in a study: those of the store as they are, those of the model as it makes them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distgan.data.image_sets import open_images
from distgan.engine.trainer import Trainer
from distgan.model import Model
from distgan.study.labels import label_sets
from distgan.study.panel import KEY, Panel, write_study
from storage.errors import RecipeError
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
