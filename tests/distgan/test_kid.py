"""KID is zero on average between samples of one distribution, and says how sure it is."""

import numpy as np
import pytest

from distgan.metrics.kid import FEWEST, Features, kid, squared_discrepancy


def sample(count: int, seed: int, shift: float = 0.0, dimensions: int = 8) -> Features:
    return np.random.default_rng(seed).normal(shift, 1, (count, dimensions))


def by_pairs(one: Features, other: Features) -> float:
    """Gretton et al. 2012, eq. 3, term by term."""

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / len(x) + 1) ** 3)

    n, m = len(one), len(other)
    return (
        sum(kernel(one[i], one[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
        + sum(kernel(other[i], other[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
        - 2 * sum(kernel(x, y) for x in one for y in other) / (n * m)
    )


@pytest.mark.parametrize(("n", "m", "shift"), [(7, 7, 0.0), (12, 5, 0.3), (5, 12, 2.0)])
def test_it_is_the_sum_over_pairs(n: int, m: int, shift: float) -> None:
    one, other = sample(n, 1), sample(m, 2, shift)
    assert squared_discrepancy(one, other) == pytest.approx(by_pairs(one, other), rel=1e-9)
    assert squared_discrepancy(other, one) == pytest.approx(by_pairs(one, other), rel=1e-9)


def test_it_is_unbiased_so_that_small_samples_do_not_look_worse() -> None:
    """The biased estimate, with the pairs of a sample and itself, is above zero by far more than this."""
    found = [squared_discrepancy(sample(20, 2 * seed), sample(20, 2 * seed + 1)) for seed in range(400)]
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 3.5 * error
    assert min(found) < 0 < max(found)
    assert error < 0.05


def test_the_interval_is_that_of_the_mean_of_ten_disjoint_blocks() -> None:
    one, other = sample(204, 0), sample(300, 1)
    parts = [squared_discrepancy(one[i : i + 20], other[i : i + 20]) for i in range(0, 200, 20)]
    half = 2.262157 * np.std(parts, ddof=1) / 10**0.5  # Student's t at 97.5 % with nine degrees of freedom
    found = kid(one, other)
    assert (found.value - found.low, found.high - found.value) == pytest.approx((half, half), rel=1e-6)


def test_the_interval_covers_zero_for_two_samples_of_one_distribution() -> None:
    found = [kid(sample(200, seed), sample(300, seed + 99)) for seed in range(40)]
    assert sum(one.low <= 0 <= one.high for one in found) >= 36


def test_the_interval_of_a_shifted_sample_lies_above_zero_and_holds_the_value() -> None:
    near, far = (kid(sample(400, 0), sample(400, 1, shift)) for shift in (0.5, 2.0))
    assert 0 < near.low < near.value < near.high < far.low
    assert near.samples == 400


def test_a_broader_sample_of_the_same_mean_is_found_too() -> None:
    assert kid(sample(400, 0), 1.5 * sample(400, 1)).low > 0


def test_the_value_uses_all_samples_and_samples_counts_the_smaller_side() -> None:
    one, other = sample(45, 0), sample(80, 1)
    found = kid(one, other)
    assert found.value == squared_discrepancy(one, other)
    assert found.samples == 45


@pytest.mark.parametrize(("n", "m"), [(FEWEST - 1, 100), (100, FEWEST - 1), (0, 0)])
def test_too_few_samples_are_refused(n: int, m: int) -> None:
    with pytest.raises(ValueError, match=f"at least {FEWEST}.*found {n} and {m}"):
        kid(sample(n, 0), sample(m, 1))


def test_just_enough_samples_are_enough() -> None:
    found = kid(sample(FEWEST, 0), sample(FEWEST, 1))
    assert found.low < found.value < found.high
