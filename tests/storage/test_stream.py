"""Samples that are read along: the right ones, of one's own shards only, ahead of time, and never many at once."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from storage import stream
from storage.errors import DataError
from storage.sampler import Indices
from storage.stream import Stream, chosen_blocks


@dataclass
class Store:
    """Sample i is full of i. Counts how often each row is read."""

    count: int
    chunk: int
    broken: int = -1
    dtype: str = "uint16"
    sample_bytes: int = 8
    read: Counter[int] = field(default_factory=Counter)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.count, 1, 2, 2)

    def read_rows(self, start: int, stop: int, *, digest: bool) -> NDArray[Any]:
        rows = np.arange(start, min(stop, self.count))
        if self.broken in rows:
            raise DataError("damaged", "a bit", "Restore it")
        self.read.update(rows.tolist())
        return np.broadcast_to(rows[:, None, None, None], (len(rows), 1, 2, 2)).astype(np.uint16)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four blocks of ten samples."""
    monkeypatch.setattr(stream, "WINDOW_BYTES", 0)
    monkeypatch.setattr(stream, "FEWEST_BLOCKS", 4)


def opened(store: Store, rows: Indices | None = None, batch: int = 12, shards: int = 4) -> Stream:
    return Stream(store, np.arange(store.count) if rows is None else rows, batch, shards, 0)  # type: ignore[arg-type]


def numbers(images: NDArray[Any]) -> list[int]:
    assert (images == images[:, :1, :1, :1]).all()
    return [int(image[0, 0, 0]) for image in images]


def test_the_samples_are_those_of_the_order_wherever_it_is_entered() -> None:
    rows = np.flatnonzero(np.random.default_rng(0).random(300) < 0.6)
    reading = opened(Store(300, 10), rows)
    try:
        for position in (0, 12, 12, 24, 1000, 3, 5 * len(rows) - 6):
            wanted = rows[reading.sampler.take(position, 12)]
            assert numbers(reading.take(position, 12)) == wanted.tolist()
    finally:
        reading.close()


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_worker_reads_its_part_of_the_store_and_hardly_more(workers: int) -> None:
    """And two windows of each of its shards ahead: of 12,000 samples 40 x 2 x shards."""
    store, shards = Store(12_000, 10), 4
    reading = opened(store, shards=shards)
    mine = range(shards // workers)
    seen: list[int] = []
    for step in range(store.count // 12):
        for shard in mine:
            seen += numbers(reading.take(step * 12 + shard * 3, 3))
    reading.close()
    assert len(set(seen)) == len(seen) == store.count // workers
    assert store.read.total() <= 1.1 * store.count / workers


def test_every_worker_sees_what_one_would() -> None:
    alone = opened(Store(200, 10))
    apart = [opened(Store(200, 10)) for _ in range(4)]
    for step in range(40):
        parts = [worker.take(step * 12 + shard * 3, 3) for shard, worker in enumerate(apart)]
        assert np.array_equal(np.concatenate(parts), alone.take(step * 12, 12))
    for one in (alone, *apart):
        one.close()


def test_a_batch_that_is_asked_for_again_is_not_read_again() -> None:
    """The turns of a step share a batch, also one that lies at the seam of two windows."""
    store = Store(400, 10)
    reading = opened(store, batch=12, shards=1)
    for step in range(400 // 12):
        first = reading.take(step * 12, 12)
        assert np.array_equal(reading.take(step * 12, 12), first)
        assert len(reading._windows) <= 2
    reading.close()
    assert max(store.read[row] for row in range(400)) <= 2  # once an epoch; the next one is read ahead


def test_the_next_window_is_read_ahead() -> None:
    store = Store(400, 10)
    reading = opened(store, batch=4, shards=1)
    reading.take(0, 4)
    for window in reading._windows.values():
        window.result()
    assert store.read.total() == 80
    reading.take(4, 4)
    reading.close()
    assert store.read.total() == 80


def test_damage_is_told_when_it_is_met() -> None:
    reading = opened(Store(100, 10, broken=55), batch=10, shards=1)
    with pytest.raises(DataError, match="damaged"):
        reading.take(0, 100)
    reading.close()


def test_chosen_blocks_are_parts_of_the_rows() -> None:
    rows = np.array([0, 1, 2, 3, 9, 31, 49])
    parts = [(first, last, numbers(block)) for first, last, block in chosen_blocks(Store(50, 2), rows, chunks=2)]  # type: ignore[arg-type]
    assert parts == [(0, 4, [0, 1, 2, 3]), (4, 5, [9]), (5, 6, [31]), (6, 7, [49])]
