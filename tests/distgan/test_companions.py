"""Look-alikes come along: of every class one, moved as the image was, the same for any number of workers."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from distgan.config.run_config import config_from_tables
from distgan.config.sections import Augment
from distgan.data.batches import Feed, Known, known_of
from distgan.data.companions import companions_of, one_of_each
from distgan.data.feed import open_feed
from distgan.engine.distributed import Group
from distgan.method import Sample
from storage.codecs import codec
from storage.errors import RecipeError
from storage.manifest import committed
from storage.patches import KIND, PatchStore
from storage.store import create_array, write_shard

CPU = torch.device("cpu")
CLASSES = ("a", "b", "c")
COUNT = 30


@pytest.fixture
def store(tmp_path: Path) -> PatchStore:
    """Image n is of class n mod 3 and has the value n; of its look-alikes one is near and one 3 beyond, below 24."""
    target = tmp_path / "store.zarr"
    facts: dict[str, Any] = {
        "channels": ["red", "green"],
        "labels": [],
        "value_range": [0, 200],
        "pixel_um": [None, None],
        "neighbours": {"by": "kind", "channel": "red", "classes": list(CLASSES), "count": 2},
    }
    with committed(target, KIND, facts) as folder:
        images = np.arange(COUNT, dtype=np.uint8)[:, None, None, None] + np.zeros((COUNT, 2, 4, 4), np.uint8)
        axes = ("sample", "c", "y", "x")
        create_array(folder / "images", images.shape, "uint8", (10, 2, 4, 4), (COUNT, 2, 4, 4), axes)
        write_shard(folder / "images", 0, images)
        near = np.arange(COUNT)[:, None, None] // 3 + np.array([0, 1])
        found = 3 * (near % 8) + np.arange(3)[:, None]
        axes = ("sample", "class", "rank")
        create_array(folder / "neighbours", found.shape, "int64", found.shape, found.shape, axes, codec("zstd"))
        write_shard(folder / "neighbours", 0, found)
        pq.write_table(pa.table({"kind": [CLASSES[n % 3] for n in range(COUNT)]}), folder / "obs.parquet")
    return PatchStore.open(target)


def feed(store: PatchStore, rows: np.ndarray, augment: Augment | None = None) -> Feed:
    sample = Sample((2, 4, 4), classes={"kind": CLASSES})
    known = known_of(store, rows, sample, "kind")
    return Feed(store, rows, 5, CPU, augment=augment or Augment(), known=known)


def test_a_sample_is_its_own_look_alike_and_others_are_among_the_nearest(store: PatchStore) -> None:
    rows = np.arange(24)
    one = feed(store, rows)
    ranks = set()
    for position in range(0, 240, 12):
        batch = one.batch(position, 12)
        assert batch.companions is not None
        assert batch.companions.shape == (12, 3, 2, 4, 4)
        values = ((batch.companions[..., 0, 0, 0] + 1) * 100).round().long()
        images = ((batch.images[:, 0, 0, 0] + 1) * 100).round().long()
        for image, own, alike in zip(images.tolist(), batch.columns["kind"].tolist(), values.tolist(), strict=True):
            for number, value in enumerate(alike):
                if number == own:
                    assert value == image
                else:
                    assert value % 3 == number
                    ranks.add((value // 3 - image // 3) % 8)
    assert ranks == {0, 1}


def test_what_comes_along_is_the_same_however_a_batch_is_dealt(store: PatchStore) -> None:
    one = feed(store, np.arange(24), Augment(flip=True))
    whole = one.batch(36, 12).companions
    parts = [one.batch(position, 4).companions for position in (36, 40, 44)]
    assert whole is not None
    assert torch.equal(whole, torch.cat([part for part in parts if part is not None]))
    again = one.batch(36 + 24, 12).companions
    assert not torch.equal(whole, again)  # type: ignore[arg-type]


def test_another_seed_brings_others() -> None:
    places = np.arange(4 * 3 * 5).reshape(4, 3, 5)
    one, other = (one_of_each(places, np.arange(4).repeat(50), seed, 0) for seed in (0, 1))
    assert not np.array_equal(one, other)
    counts = np.bincount(one[:, 1] % 5, minlength=5)
    assert counts.min() > 20


def test_they_are_moved_as_the_image_is(store: PatchStore) -> None:
    """Every image is its own gradient here, so that a flip shows."""
    rows = np.arange(24)
    ramp = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4) + np.zeros((24, 2, 1, 1), np.uint8)
    known = known_of(store, rows, Sample((2, 4, 4), classes={"kind": CLASSES}), "kind")
    batch = Feed(store, rows, 0, CPU, images=ramp, augment=Augment(flip=True), known=known).batch(0, 24)
    assert batch.companions is not None
    assert torch.equal(batch.companions, batch.images[:, None].expand_as(batch.companions))
    assert len({tuple(image.flatten().tolist()) for image in batch.images}) == 4


def test_look_alikes_that_do_not_train_are_refused(store: PatchStore) -> None:
    with pytest.raises(RecipeError, match=r"not among the samples that train.*prepare\.neighbours\.subset"):
        companions_of(store, np.arange(20), "kind", CLASSES)
    assert (companions_of(store, np.arange(24), "kind", CLASSES) < 24).all()


def test_of_fewer_classes_fewer_come_along(store: PatchStore) -> None:
    rows = np.flatnonzero(np.arange(24) % 3 < 2)
    places = companions_of(store, rows, "kind", ("a", "b"))
    assert places.shape == (16, 2, 2)
    assert (rows[places] % 3 == np.array([0, 1])[:, None]).all()


def test_classes_without_look_alikes_are_refused(store: PatchStore) -> None:
    rows = np.arange(24)
    with pytest.raises(RecipeError, match="does not know the look-alikes of every kind"):
        companions_of(store, rows, "kind", ("a", "d"))
    with pytest.raises(RecipeError, match=r"those of kind a, b, c.*prepare\.neighbours\] by = \"other\""):
        companions_of(store, rows, "other", ("a", "b"))


def test_a_stream_brings_none_along(store: PatchStore) -> None:
    tables: dict[str, Any] = {
        "run": {"name": "tiny", "images": 100, "batch_size": 8},
        "data": {"store": str(store.path), "resident": "stream"},
        "method": {"name": "wgan_gp"},
        "evaluate": {"every_images": 100},
        "checkpoint": {"every_images": 100},
    }
    config, rows = config_from_tables(tables, "the test"), np.arange(24)
    known = Known(companions=np.zeros((24, 3, 2), np.int64))
    with pytest.raises(RecipeError, match="cannot be read along with a stream"):
        open_feed(store, rows, config, Group(), CPU, known)
