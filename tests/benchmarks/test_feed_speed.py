"""How fast samples come, against the same reader reading in order: `make bench`. Printed, and asserted nowhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from distgan.data.batches import Feed
from distgan.data.feed import SharedFeed, StreamFeed
from storage.manifest import committed
from storage.patches import KIND, PatchArrays, PatchStore
from storage.sampler import clumping

pytestmark = pytest.mark.benchmark
SAMPLES, BATCH, EPOCHS = 4 * 65_536, 256, 3
CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> PatchStore:
    """262,144 samples of 32 x 32 uint8, blobs and noise, in the layout that `prepare` gives so many."""
    random, target = np.random.default_rng(0), tmp_path_factory.mktemp("bench") / "patches.zarr"
    y, x = np.mgrid[:32, :32]
    arrays = PatchArrays((SAMPLES, 1, 32, 32), "uint8", {}, {"name": "zstd"})
    facts: dict[str, Any] = {"channels": ["c"], "labels": [], "value_range": [0, 255], "pixel_um": [None, None]}
    with committed(target, KIND, facts) as folder:
        arrays.create(folder)
        for start, stop in arrays.shards:
            centres = random.uniform(8, 24, (2, stop - start, 1, 1))
            blobs = 120 * np.exp(-((y - centres[0]) ** 2 + (x - centres[1]) ** 2) / 40)
            arrays.write(folder, start, random.poisson(20 + blobs)[:, None].clip(0, 255).astype(np.uint8), {})
        pq.write_table(pa.table({"row": np.arange(SAMPLES)}), folder / "obs.parquet")
    return PatchStore.open(target)


def in_order(store: PatchStore) -> None:
    for _ in range(EPOCHS):
        for _ in store.blocks(chunks=1):
            pass


def streamed(store: PatchStore, shards: int) -> None:
    """From a cold start; at the end the next epoch has begun to be read."""
    feed = StreamFeed(store, np.arange(SAMPLES), 0, CPU, BATCH, shards)
    for position in range(0, EPOCHS * SAMPLES, BATCH // shards):
        feed.stored(position, BATCH // shards)
    feed.close()


def drawn(draw: Callable[[int], object]) -> None:
    for position in range(0, SAMPLES, BATCH):
        draw(position)


@pytest.mark.parametrize("shards", [1, 4])
def test_streamed_feed_against_reading_in_order(store: PatchStore, shards: int, bench: Any) -> None:
    in_order(store)  # every object is checked when it is first touched, once in a process
    feed = StreamFeed(store, np.arange(SAMPLES), 0, CPU, BATCH, shards)
    mixed = clumping(feed.order.take(0, SAMPLES), np.arange(SAMPLES) // store.chunk, BATCH)
    feed.close()
    bench.race(
        f"streamed feed of 32 x 32 uint8, {shards} shard(s) / in order, one inner chunk at a time",
        0.8,
        lambda: streamed(store, shards),
        lambda: in_order(store),
        samples=EPOCHS * SAMPLES,
        note=f"clumping {mixed:.2f}",
    )


@pytest.mark.parametrize("kind", [Feed, SharedFeed])
def test_resident_feed_against_gathering(store: PatchStore, tmp_path: Path, kind: type[Feed], bench: Any) -> None:
    rows = np.arange(SAMPLES)
    np.save(tmp_path / "samples.npy", store.read(rows))
    bare = np.load(tmp_path / "samples.npy", mmap_mode="r")
    bare[:].sum()  # in the page cache, as the feed's copy is in memory
    order = np.random.default_rng(0).permutation(SAMPLES)
    feed = kind(store, rows, 0, CPU)
    bench.race(
        f"{kind.__name__}, resident / gathering from a bare memory map",
        0.5,
        lambda: drawn(lambda position: feed.stored(position, BATCH)),
        lambda: drawn(lambda position: bare[order[position : position + BATCH]]),
        samples=SAMPLES,
    )
    feed.close()
