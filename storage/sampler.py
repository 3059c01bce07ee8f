"""Which samples come next. Every order is a function of a seed and a position in an endless stream.

A position is the whole state: a run that is resumed, or that has another number of workers, sees the same
samples at the same positions.

    Sampler            true shuffle: one permutation after another
    StratifiedSampler  one such stream per class, taken in turns
    BlockSampler       shuffled blocks of a store that is read along, window by window
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
BLOCKS, WINDOW, STRATUM = 1, 2, 3
"""What a permutation is for; no two share their random numbers."""


class Order(Protocol):
    """An endless stream of samples."""

    def take(self, position: int, count: int) -> Indices:
        """The samples at `position` .. `position + count` of the stream; they may span epochs."""


class Sampler:
    """The order in which `size` samples are seen, for ever: the concatenation of seeded permutations."""

    def __init__(self, size: int, seed: int, stratum: int | None = None) -> None:
        assert size > 0, "a sampler needs samples"
        self.size = size
        self.seed = seed
        self.purpose = (0, 0) if stratum is None else (STRATUM, stratum)
        self._permuted = (-1, np.empty(0, np.int64))

    def take(self, position: int, count: int) -> Indices:
        """The samples at `position` .. `position + count` of the stream; they may span epochs."""
        parts = []
        while count > 0:
            epoch, offset = divmod(position, self.size)
            part = self._epoch(epoch)[offset : offset + count]
            parts.append(part)
            position += len(part)
            count -= len(part)
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _epoch(self, epoch: int) -> Indices:
        if self._permuted[0] != epoch:
            self._permuted = (epoch, _random(self.seed, epoch, *self.purpose).permutation(self.size))
        return self._permuted[1]


class StratifiedSampler:
    """Every class in turn, each in its own endless stream of permutations.

    So a batch of a multiple of the number of classes has equally many of each, and every sample of a class
    is seen once before any of them is seen again.
    classes: the class of each sample.
    """

    def __init__(self, classes: NDArray[np.str_], seed: int) -> None:
        names, codes = np.unique(classes, return_inverse=True)
        self.count = len(names)
        self._members = [np.flatnonzero(codes == code) for code in range(self.count)]
        self._samplers = [Sampler(len(members), seed, code) for code, members in enumerate(self._members)]

    def take(self, position: int, count: int) -> Indices:
        """The samples at `position` .. `position + count` of the stream."""
        found = np.empty(count, np.int64)
        for code, (members, sampler) in enumerate(zip(self._members, self._samplers, strict=True)):
            first = (code - position) % self.count
            places = found[first :: self.count]
            places[:] = members[sampler.take((position + first) // self.count, len(places))]
        return found


class Window(NamedTuple):
    """A part of an epoch that is read at once and shuffled by itself."""

    epoch: int
    shard: int
    number: int


@dataclass(frozen=True)
class _Epoch:
    """The order of the blocks of an epoch.

    starts: where in the epoch each of them begins, and the end.  bounds: of each shard, where its windows begin,
    and the end.
    """

    blocks: Indices
    starts: Indices
    bounds: tuple[list[int], ...]


class BlockSampler:
    """The order in which a store too large for memory is read: shuffled blocks, cut among the shards of a batch.

    The blocks (inner chunks) of an epoch are permuted, and the samples in them cut into one segment per
    virtual shard, as long as the positions of that shard in the epoch are many. A segment is read in windows
    of whole blocks, and shuffled within each. So every sample comes once per epoch, a worker reads only the
    segments of its own shards, and the stream depends on nothing but these arguments.

    rows: rising rows of the store.  chunk: rows of a block.  batch, shards: positions P of the stream belong to
    shard P % batch // (batch / shards).  blocks: how many make a window, at most.
    """

    def __init__(self, rows: Indices, chunk: int, batch: int, shards: int, seed: int, blocks: int) -> None:
        assert len(rows) > 0, "a sampler needs samples"
        assert batch % shards == 0, "shards are equal"
        self.size, self.seed, self.blocks = len(rows), seed, blocks
        self.batch, self.shards, self.each = batch, shards, batch // shards
        self._firsts = np.flatnonzero(np.diff(rows // chunk, prepend=-1))
        self._sizes = np.diff(self._firsts, append=self.size)
        self._epochs: dict[int, _Epoch] = {}

    def take(self, position: int, count: int) -> Indices:
        """The samples at `position` .. `position + count` of the stream, as indices into `rows`."""
        parts = [self.samples(window)[start:stop] for window, start, stop in self.pieces(position, count)]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def pieces(self, position: int, count: int) -> Iterator[tuple[Window, int, int]]:
        """Where those samples lie: in which windows, and from where to where in each."""
        while count > 0:
            epoch, within = divmod(position, self.size)
            shard, slot = divmod(position % self.batch, self.each)
            run = min(count, self.each - slot, self.size - within)
            bounds = self._epoch(epoch).bounds[shard]
            place = bounds[0] + self._before(position, shard) - self._before(epoch * self.size, shard)
            position, count = position + run, count - run
            while run > 0:
                number = bisect_right(bounds, place) - 1
                part = min(run, bounds[number + 1] - place)
                start = place - bounds[number]
                yield Window(epoch, shard, number), start, start + part
                place, run = place + part, run - part

    def samples(self, window: Window) -> Indices:
        """The samples of a window, shuffled, as indices into `rows`."""
        order = self._epoch(window.epoch)
        start, stop = order.bounds[window.shard][window.number : window.number + 2]
        first, last = np.searchsorted(order.starts, (start, stop - 1), "right") - 1
        parts = []
        for place in range(first, last + 1):
            begin = self._firsts[order.blocks[place]] - order.starts[place]
            parts.append(np.arange(begin + max(start, order.starts[place]), begin + min(stop, order.starts[place + 1])))
        random = _random(self.seed, window.epoch, WINDOW, window.shard, window.number)
        return np.asarray(random.permutation(np.concatenate(parts)))

    def after(self, window: Window) -> Window:
        """The window that its shard needs next."""
        epoch, shard, number = window
        if number + 2 < len(self._epoch(epoch).bounds[shard]):
            return Window(epoch, shard, number + 1)
        epoch += 1
        while len(self._epoch(epoch).bounds[shard]) < 2:
            epoch += 1
        return Window(epoch, shard, 0)

    def _epoch(self, epoch: int) -> _Epoch:
        found = self._epochs.get(epoch)
        if found is None:
            blocks = _random(self.seed, epoch, BLOCKS).permutation(len(self._sizes))
            starts = np.concatenate([[0], np.cumsum(self._sizes[blocks])])
            bounds, begin = [], 0
            for shard in range(self.shards):
                end = begin + self._before((epoch + 1) * self.size, shard) - self._before(epoch * self.size, shard)
                bounds.append(self._bounds(starts, begin, end))
                begin = end
            found = _Epoch(blocks, starts, tuple(bounds))
            self._epochs = dict([*list(self._epochs.items())[-1:], (epoch, found)])
        return found

    def _before(self, position: int, shard: int) -> int:
        """How many positions before this one belong to a shard."""
        whole, rest = divmod(position, self.batch)
        return whole * self.each + min(max(rest - shard * self.each, 0), self.each)

    def _bounds(self, starts: Indices, begin: int, end: int) -> list[int]:
        """Where the windows of a segment begin, and its end: as few as can be, of equally many blocks.

        A segment is empty, if a batch is larger than an epoch; its ends may be in the midst of blocks.
        """
        if begin == end:
            return [begin]
        first, last = (int(place) for place in np.searchsorted(starts, (begin, end - 1), "right") - 1)
        count = last + 1 - first
        windows = -(-count // self.blocks)
        inner = [int(starts[first - (-number * count // windows)]) for number in range(1, windows)]
        return [begin, *inner, end]


def clumping(stream: Indices, blocks: Indices, batch: int) -> float:
    """How much likelier two samples of a batch come from one block than in a true shuffle: 1 is perfectly mixed.

    stream: the samples of one epoch in their order.  blocks: the block of each sample.
    """
    _, sizes = np.unique(blocks, return_counts=True)
    expected = (sizes * (sizes - 1)).sum() / (len(blocks) * (len(blocks) - 1))
    whole = blocks[stream[: len(stream) // batch * batch]].reshape(-1, batch)
    same = (whole[:, :, None] == whole[:, None, :]).sum() - whole.size
    return float(same / (len(whole) * batch * (batch - 1)) / expected)


def _random(seed: int, epoch: int, purpose: int = 0, part: int = 0, number: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, number, part, purpose]))
