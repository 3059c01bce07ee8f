"""The Fréchet distance of Gaussians is known; that of few samples is too large, and the line takes that away."""

import numpy as np
import pytest
from scipy import linalg

from distgan.metrics.fid import LEAST, extrapolated, frechet_distance
from distgan.metrics.kid import Features


def sample(count: int, seed: int, shift: float = 0.0, dimensions: int = 12) -> Features:
    mix = np.random.default_rng(99).normal(size=(dimensions, dimensions)) / dimensions**0.5
    return np.random.default_rng(seed).normal(size=(count, dimensions)) @ mix + shift


def test_it_is_the_formula_with_a_matrix_root() -> None:
    one, other = sample(50, 0), 2 * sample(70, 1, 0.3)
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    root = linalg.sqrtm(first @ second).real
    wanted = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root)
    assert frechet_distance(one, other) == pytest.approx(wanted, rel=1e-6)
    assert frechet_distance(other, one) == pytest.approx(wanted, rel=1e-6)


def test_a_set_and_itself_are_not_apart_even_without_full_rank() -> None:
    one = sample(8, 0)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_line_takes_the_bias_away(shift: float) -> None:
    true = 12 * shift**2
    one, other = sample(400, 2), sample(400, 3, shift)
    found = extrapolated(one, other)
    assert found
    few = frechet_distance(one[:100], other[:100])
    assert few > true + 0.2
    assert abs(found.value - true) < 0.1 + 0.1 * true
    assert 0 < found.deviation < 0.5


def test_too_few_samples_for_their_features_give_no_line() -> None:
    assert extrapolated(sample(4 * LEAST * 12, 0), sample(2 * LEAST * 12 - 1, 1)) is None


def test_one_sample_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="two samples, found 1 and 5"):
        frechet_distance(sample(1, 0), sample(5, 1))
