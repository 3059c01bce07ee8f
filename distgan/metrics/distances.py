"""Distances between all pairs of samples, a block of rows at a time: memory does not grow with the pairs."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float64]
"""N D."""
BLOCK_BYTES = 64 << 20


def squared_distances(one: Features, other: Features) -> Iterator[tuple[slice, Features]]:
    """Squared Euclidean distances of all pairs of N D and M D, as rows of N and a block of them by M."""
    centre = other.mean(0)
    one, other = one - centre, other - centre  # large means would cost digits
    squares = (other**2).sum(1)
    step = max(1, BLOCK_BYTES // (8 * len(other)))
    for start in range(0, len(one), step):
        rows = slice(start, min(start + step, len(one)))
        found = (one[rows] ** 2).sum(1)[:, None] + squares - 2 * one[rows] @ other.T
        yield rows, np.maximum(found, 0, out=found)


def squared_distances_within(samples: Features) -> Iterator[tuple[slice, Features]]:
    """The same among the N of one set, from each to itself infinite: nothing is its own neighbour."""
    for rows, squares in squared_distances(samples, samples):
        squares[np.arange(len(squares)), np.arange(rows.start, rows.stop)] = np.inf
        yield rows, squares
