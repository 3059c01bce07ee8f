"""Whether a test set has seen the training set: shared groups, equal pixels, near duplicates.

A patch store keeps two numbers of every sample in obs.parquet, so that the check reads no pixels:

    pixels   the first 8 bytes of the SHA-256 of the sample, as a signed integer
    dhash    64 bits: is the image, shrunk to 8 x 9, brighter than its right neighbour? (difference hash)

A constant patch has 0 in both and is never called a duplicate: every empty one equals every other.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Hashes = NDArray[np.int64]
NEAR_BITS = 3
"""How many of the 64 bits may differ. Of patches of 32 x 32 pixels of rosettes, vnc and yeast, another exposure
turned at most 3 bits, and noise of 2 % of the range 2 or 3; patches of different images differed in 4 or more (yeast),
10 or more (rosettes, vnc)."""
MOST_PAIRS = 1_000_000_000
"""Pairs that are compared, about a second; beyond, a part of the test samples stands for all."""
ROWS, COLUMNS = 8, 9
PART_VALUES = 1 << 20
"""Values that are turned into float64 at once."""


@dataclass(frozen=True)
class Leaks:
    """What a training set and a test set share.

    groups: how many values of each column are on both sides.  equal: test samples whose pixels are also in
    training.  near: of the `looked_at` test samples, those that almost equal a training sample.
    """

    groups: dict[str, int]
    equal: int
    near: int
    looked_at: int


def leaks(train: pa.Table, test: pa.Table, columns: Sequence[str]) -> Leaks:
    """Compare two sets of samples by their metadata, rows of obs.parquet; what has no hashes counts none.

    columns: those whose values should not be on both sides, such as embryo, plate or file.
    """
    shared = {name: len(_values(train, name) & _values(test, name)) for name in columns}
    near, looked_at = near_duplicates(_hashes(train, "dhash"), _hashes(test, "dhash"))
    return Leaks(shared, int(equal_pixels(train, test).sum()), near, looked_at)


def equal_pixels(train: pa.Table, test: pa.Table) -> NDArray[np.bool_]:
    """True for the test samples that are, pixel by pixel, also in training."""
    hashes = _hashes(test, "pixels")
    return np.isin(hashes, _hashes(train, "pixels")) & (hashes != 0)


def near_duplicates(train: Hashes, test: Hashes) -> tuple[int, int]:
    """How many test samples differ in at most NEAR_BITS from a training sample, and how many were looked at."""
    known = np.unique(train[train != 0])
    wanted, times = np.unique(test[test != 0], return_counts=True)
    if not (len(known) and len(wanted)):
        return 0, int(times.sum())
    step = max(1, -(-len(wanted) * len(known) // MOST_PAIRS))
    wanted, times = wanted[::step], times[::step]
    rows = max(1, (1 << 20) // len(known))
    found = [
        (np.bitwise_count(wanted[start : start + rows, None] ^ known) <= NEAR_BITS).any(axis=1)
        for start in range(0, len(wanted), rows)
    ]
    return int(times[np.concatenate(found)].sum()), int(times.sum())


def pixel_hashes(block: NDArray[Any]) -> Hashes:
    """The `pixels` of each sample.  block: N C H W or N C D H W."""
    hashes = [
        int.from_bytes(hashlib.sha256(one).digest()[:8], "big", signed=True) for one in np.ascontiguousarray(block)
    ]
    return np.where(_constant(block), 0, np.asarray(hashes, np.int64))


def difference_hashes(block: NDArray[Any]) -> Hashes:
    """The `dhash` of each sample, over the mean of channels and depth.  block: N C H W or N C D H W.

    Shrunk by area, so that neither noise nor the interpolation decides a bit; a difference below a millionth
    of the sample's range is none.
    """
    some = max(1, PART_VALUES // max(1, block[:1].size))
    parts = [_difference_hashes(block[start : start + some]) for start in range(0, len(block), some)]
    return np.concatenate([np.empty(0, np.int64), *parts])


def _difference_hashes(block: NDArray[Any]) -> Hashes:
    height, width = block.shape[-2:]
    flat = block.reshape(len(block), -1, height, width).mean(axis=1, dtype=np.float64)
    small = _areas(height, ROWS) @ flat @ _areas(width, COLUMNS).T
    least = 1e-6 * np.ptp(flat, axis=(1, 2), keepdims=True)
    bits = np.diff(small, axis=2) > least
    hashes = np.packbits(bits.reshape(len(block), -1), axis=1).view(">i8").ravel().astype(np.int64)
    return np.where(_constant(block), 0, hashes)


def _areas(size: int, parts: int) -> NDArray[np.float64]:
    """Of shape parts x size: how much of each pixel lies in each of so many equal parts; rows sum to 1."""
    edges = np.arange(parts + 1) * size / parts
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.clip(overlap, 0, None) * parts / size


def _constant(block: NDArray[Any]) -> NDArray[np.bool_]:
    axes = tuple(range(1, block.ndim))
    return np.asarray(block.min(axis=axes) == block.max(axis=axes))


def _hashes(table: pa.Table, column: str) -> Hashes:
    if column not in table.column_names:
        return np.zeros(table.num_rows, np.int64)
    return table.column(column).to_numpy().astype(np.int64)


def _values(table: pa.Table, column: str) -> set[str]:
    return {str(value) for value in table.column(column).unique().to_pylist()}
