"""The stream of samples: a function of size, seed and position, and of nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.sampler import Sampler

SIZES = st.integers(1, 50)
SEEDS = st.integers(0, 2**63)


@given(size=SIZES, seed=SEEDS, start=st.integers(0, 500), counts=st.lists(st.integers(0, 120), max_size=8))
def test_any_takes_in_a_row_equal_one_take(size: int, seed: int, start: int, counts: list[int]) -> None:
    sampler, position, parts = Sampler(size, seed), start, []
    for count in counts:
        parts.append(sampler.take(position, count))
        position += count
    whole = Sampler(size, seed).take(start, sum(counts))
    assert whole.dtype == np.int64
    assert np.array_equal(np.concatenate([np.empty(0, np.int64), *parts]), whole)


@given(size=SIZES, seed=SEEDS, epoch=st.integers(0, 100))
def test_every_epoch_has_every_sample_once(size: int, seed: int, epoch: int) -> None:
    assert sorted(Sampler(size, seed).take(epoch * size, size)) == list(range(size))


@given(size=SIZES, seed=SEEDS, start=st.integers(0, 500), workers=st.integers(1, 7), each=st.integers(1, 9))
def test_workers_that_share_a_batch_see_what_one_would(
    size: int, seed: int, start: int, workers: int, each: int
) -> None:
    parts = [Sampler(size, seed).take(start + worker * each, each) for worker in range(workers)]
    assert np.array_equal(np.concatenate(parts), Sampler(size, seed).take(start, workers * each))


def test_positions_may_be_asked_in_any_order() -> None:
    sampler = Sampler(10, 0)
    assert [sampler.take(position, 4).tolist() for position in (95, 3, 95)] == [
        Sampler(10, 0).take(position, 4).tolist() for position in (95, 3, 95)
    ]


def test_epochs_and_seeds_are_shuffled_differently() -> None:
    epochs = {tuple(Sampler(20, seed).take(20 * epoch, 20)) for seed in range(5) for epoch in range(5)}
    assert len(epochs) == 25
    assert tuple(range(20)) not in epochs


def test_the_order_stays_the_same_from_version_to_version() -> None:
    """A checkpoint remembers only a position: another order under it would repeat some samples and skip others."""
    assert Sampler(5, 3).take(0, 10).tolist() == [4, 0, 1, 2, 3, 0, 1, 3, 2, 4]


def test_no_samples_are_our_mistake() -> None:
    with pytest.raises(AssertionError, match="needs samples"):
        Sampler(0, 0)
