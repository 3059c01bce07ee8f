"""The nearest neighbours are those of the plain loop, in its order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.operations.neighbours import nearest


def plainly(queries: np.ndarray, candidates: np.ndarray, k: int, exclude_self: bool) -> np.ndarray:
    rows = []
    for number, query in enumerate(queries):
        distances = np.square(candidates.astype(np.float64) - query).sum(axis=1)
        if exclude_self:
            distances[number : number + 1] = np.inf
        rows.append(np.argsort(distances, kind="stable")[:k])
    return np.array(rows)


@given(
    queries=st.integers(1, 20),
    candidates=st.integers(2, 30),
    features=st.integers(1, 6),
    high=st.sampled_from([1, 2, 5, 256]),
    dtype=st.sampled_from(["uint8", "int32", "float32"]),
    exclude_self=st.booleans(),
    block=st.integers(1, 16),
    seed=st.integers(0, 99),
)
def test_whole_numbers_are_ordered_exactly(
    queries: int, candidates: int, features: int, high: int, dtype: str, exclude_self: bool, block: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    some, others = (random.integers(0, high, (n, features)).astype(dtype) for n in (queries, candidates))
    k = min(5, candidates - exclude_self)
    found = nearest(some, others, k, exclude_self=exclude_self, block=block)
    assert found.dtype == np.int64
    assert np.array_equal(found, plainly(some, others, k, exclude_self))


def test_neighbours_closer_than_rounding_are_told_apart() -> None:
    """The matrix product alone sees no difference between these: they are far from 0 and close together."""
    queries, candidates = (1e8 + np.random.default_rng(0).integers(-3, 4, (n, 20)) for n in (30, 60))
    assert np.array_equal(nearest(queries, candidates, 4), plainly(queries, candidates, 4, False))


def test_copies_of_one_image_come_in_their_order() -> None:
    assert nearest(np.ones((3, 9)), np.ones((7, 9)), 4, block=2).tolist() == [[0, 1, 2, 3]] * 3
    assert nearest(np.ones((3, 9)), np.ones((7, 9)), 2, exclude_self=True).tolist() == [[1, 2], [0, 2], [0, 1]]


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="k is 1 to 2"):
        nearest(np.ones((3, 2)), np.ones((3, 2)), 3, exclude_self=True)
    with pytest.raises(ValueError, match="k is 1 to 3"):
        nearest(np.ones((3, 2)), np.ones((3, 2)), 0)
    with pytest.raises(ValueError, match="features"):
        nearest(np.ones((3, 2)), np.ones((3, 4)), 1)
    with pytest.raises(ValueError, match="not finite"):
        nearest(np.full((3, 2), np.nan), np.ones((3, 2)), 1)
