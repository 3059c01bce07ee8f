"""Which samples look most alike: Osokin et al. 2017 find channels that were never imaged together by a shared one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.operations.kernels import kernel

SAFETY = 8.0


def nearest(
    queries: NDArray[Any], candidates: NDArray[Any], k: int, *, exclude_self: bool = False, block: int = 2048
) -> NDArray[np.int64]:
    """Rows of the k candidates nearest to each query, nearest first, by squared Euclidean distance.

    queries: N F.  candidates: M F.  exclude_self: row i of both is the same sample, and none of its own
    neighbours.  block: rows that are compared at a time; memory is about 16 block (F + block) bytes.
    Returns N k. Of equally near candidates the first comes first. Matrix products only say which distances are
    worth computing from the differences, so rounding never changes the order: whole numbers are compared
    exactly.
    """
    available = len(candidates) - bool(exclude_self)
    if not 1 <= k <= available:
        raise ValueError(f"k is 1 to {available}, the number of candidates, found {k}")
    if queries.shape[1] != candidates.shape[1]:
        raise ValueError(f"queries have {queries.shape[1]} features, but candidates {candidates.shape[1]}")
    found = np.empty((len(queries), k), np.int64)
    for first in range(0, len(queries), block):
        some = queries[first : first + block].astype(np.float64)
        rows = found[first : first + block]
        distances = np.full((len(some), k), np.inf)
        for other in range(0, len(candidates), block):
            others = candidates[other : other + block].astype(np.float64)
            lengths, other_lengths = np.square(some).sum(axis=1), np.square(others).sum(axis=1)
            if not (np.isfinite(lengths).all() and np.isfinite(other_lengths).all()):
                raise ValueError("there are features that are not finite")
            products = some @ others.T
            shift = first - other if exclude_self else len(some) + len(others)
            _insert(some, others, products, lengths, other_lengths, other, shift, distances, rows)
    return found


@kernel
def _insert(
    queries: NDArray[np.float64],
    candidates: NDArray[np.float64],
    products: NDArray[np.float64],
    lengths: NDArray[np.float64],
    other_lengths: NDArray[np.float64],
    offset: int,
    shift: int,
    distances: NDArray[np.float64],
    rows: NDArray[np.int64],
) -> None:
    """Put the candidates into the sorted lists of each query; the candidate r + shift is query r itself."""
    features, k = queries.shape[1], distances.shape[1]
    rounding = SAFETY * (features + 4) * 2.0**-53
    for r in range(len(queries)):
        for c in range(len(candidates)):
            both = lengths[r] + other_lengths[c]
            if both - 2 * products[r, c] - rounding * both >= distances[r, k - 1] or c == r + shift:
                continue
            distance = 0.0
            for f in range(features):
                distance += (queries[r, f] - candidates[c, f]) ** 2
            place = k
            while place > 0 and distance < distances[r, place - 1]:
                place -= 1
            for later in range(k - 1, place, -1):
                distances[r, later], rows[r, later] = distances[r, later - 1], rows[r, later - 1]
            if place < k:
                distances[r, place], rows[r, place] = distance, offset + c
