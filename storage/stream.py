"""Samples from a store too large for memory: windows of shuffled blocks, read ahead in the background."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from storage.patches import CHUNKS_PER_READ, Patches, PatchStore
from storage.sampler import BlockSampler, Indices, Window

WINDOW_BYTES = 128 << 20
"""Of the windows of all shards together; what a worker holds at once is twice its share of it."""
DECODERS = 2
"""Blocks that are decoded at the same time."""
FEWEST_BLOCKS = 8
"""Of a window, however many shards: fewer would hardly be mixed."""


@dataclass(frozen=True)
class _Read:
    """A window that was read.

    room: its samples as they lie in the store, in memory that is used again: fresh memory is slow.
    places: where in it each sample of the stream is.
    """

    room: Patches
    places: Indices

    def samples(self, start: int, stop: int) -> Patches:
        return self.room[self.places[start:stop]]


class Stream:
    """The samples of a store in the order of a BlockSampler. Use from one thread, and close it.

    Of each shard it is asked for, it holds the window in use and reads the next one meanwhile. It never
    touches the blocks of other shards.
    rows: rising rows of the store.  batch, shards, seed: as of BlockSampler.
    """

    def __init__(self, store: PatchStore, rows: Indices, batch: int, shards: int, seed: int) -> None:
        block = store.chunk * store.sample_bytes
        blocks = max(FEWEST_BLOCKS, WINDOW_BYTES // (shards * block))
        self.store, self.rows = store, rows
        self.sampler = BlockSampler(rows, store.chunk, batch, shards, seed, blocks)
        self._reader = ThreadPoolExecutor(1, "feed")
        self._decoders = ThreadPoolExecutor(DECODERS, "decoder")
        self._windows: dict[Window, Future[_Read]] = {}
        self._spare: list[Patches] = []
        self._closed = False

    def take(self, position: int, count: int) -> Patches:
        """The samples at `position` .. `position + count` of the stream, as the store has them.

        Raises DataError: they are damaged.
        """
        pieces = list(self.sampler.pieces(position, count))
        self._hold([window for window, _, _ in pieces])
        parts = [self._windows[window].result().samples(start, stop) for window, start, stop in pieces]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def close(self) -> None:
        """Stop reading ahead, at the next block."""
        self._closed = True
        self._reader.shutdown(cancel_futures=True)
        self._decoders.shutdown()
        self._windows.clear()

    def _hold(self, needed: list[Window]) -> None:
        """Let go of the windows that their shard has passed, and ask for those that it needs and will need."""
        wanted: dict[int, list[Window]] = {}
        for window in needed:
            wanted.setdefault(window.shard, []).append(window)
        for windows in wanted.values():
            windows.append(self.sampler.after(windows[0]))  # at a seam it is in use too, and no third is read
        for window in [one for one in self._windows if one not in wanted.get(one.shard, [one])]:
            passed = self._windows.pop(window)
            if not passed.cancel() and passed.done() and not passed.exception():
                self._spare.append(passed.result().room)
        for window in (one for windows in wanted.values() for one in windows):
            if window not in self._windows:
                self._windows[window] = self._reader.submit(self._read, window)

    def _read(self, window: Window) -> _Read:
        rows = self.rows[self.sampler.samples(window)]
        largest = min(self.sampler.blocks * self.store.chunk, len(self.rows))
        room = self._spare.pop() if self._spare else np.empty((largest, *self.store.shape[1:]), self.store.dtype)
        by_row = np.argsort(rows)
        rising = rows[by_row]

        def read(first: int, last: int) -> None:
            if not self._closed:
                # To compute the digest of every object it meets, each worker would have to read the whole store.
                room[first:last] = _chosen(self.store, rising[first:last], self.store.chunk, digest=False)

        list(self._decoders.map(read, *zip(*_steps(rising, self.store.chunk), strict=True)))
        places = np.empty_like(by_row)
        places[by_row] = np.arange(len(rows))
        return _Read(room, places)


def chosen_blocks(
    store: PatchStore, rows: Indices, chunks: int = CHUNKS_PER_READ
) -> Iterator[tuple[int, int, Patches]]:
    """The samples of these rising rows, so many blocks of the store at a time, as (first, last, those samples)."""
    step = store.chunk * chunks
    for first, last in _steps(rows, step):
        yield first, last, _chosen(store, rows[first:last], step)


def _steps(rows: Indices, step: int) -> list[tuple[int, int]]:
    """Where among rising rows another `step` of rows of the store begins, in pairs: first, and after the last."""
    return list(pairwise(np.flatnonzero(np.diff(rows // step, prepend=-1, append=-1)).tolist()))


def _chosen(store: PatchStore, rows: Indices, step: int, *, digest: bool = True) -> Patches:
    """The samples of these rising rows, which lie in one `step` of the store."""
    start = int(rows[0]) // step * step
    block = store.read_rows(start, start + step, digest=digest)
    return block if len(rows) == len(block) else block[rows - start]
