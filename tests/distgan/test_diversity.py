"""How different samples are from one another, in features made for it."""

import numpy as np
import pytest

from distgan.metrics.diversity import Features, diversity


def normal(count: int, seed: int, dimensions: int = 8) -> Features:
    return np.random.default_rng(seed).normal(size=(count, dimensions))


def test_a_second_sample_of_the_same_distribution_is_as_diverse() -> None:
    found = diversity(normal(500, 1), normal(500, 2))
    assert found.spread == pytest.approx(1, abs=0.05)
    assert found.duplicates < 0.02
    assert found.coverage == pytest.approx(1 - 2**-5, abs=0.04)


def test_the_unit_of_the_features_does_not_matter() -> None:
    made, real = normal(100, 1), normal(80, 2)
    one, other = diversity(made, real), diversity(1000 * made + 5e3, 1000 * real + 5e3)
    assert (other.spread, other.duplicates, other.coverage) == pytest.approx((one.spread, 0, one.coverage))


def test_one_image_again_and_again_has_no_spread_and_only_copies() -> None:
    found = diversity(np.repeat(normal(1, 1), 100, axis=0), normal(100, 2))
    assert found.spread < 1e-6
    assert found.duplicates == 1
    assert found.coverage < 0.2


def test_three_images_again_and_again_are_copies_though_they_spread() -> None:
    found = diversity(normal(3, 1)[np.arange(300) % 3], normal(300, 2))
    assert found.spread > 0.3
    assert found.duplicates == 1
    assert found.coverage < 0.3


def test_half_of_the_modes_cover_half_of_the_real_images() -> None:
    real, made = normal(400, 1), normal(400, 2)
    real[:200, 0] += 50
    found = diversity(made, real)
    assert found.coverage == pytest.approx(0.5 * (1 - 2**-5), abs=0.05)


def test_samples_elsewhere_cover_nothing() -> None:
    assert diversity(normal(100, 1) + 100, normal(100, 2)).coverage == 0


def test_a_share_of_copies_is_counted() -> None:
    made = normal(200, 1)
    made[100:150] = made[:50] + 0.01
    assert diversity(made, normal(200, 2)).duplicates == 0.5


def test_real_images_that_are_all_one_are_no_yardstick_and_no_failure() -> None:
    found = diversity(np.ones((10, 2)), np.ones((10, 2)))
    assert (found.spread, found.duplicates, found.coverage) == (1, 1, 1)


@pytest.mark.parametrize(("made", "real"), [(1, 10), (10, 5)])
def test_too_few_are_refused(made: int, real: int) -> None:
    with pytest.raises(ValueError, match=f"found {made}, {real}"):
        diversity(normal(made, 1), normal(real, 2))
