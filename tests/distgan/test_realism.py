"""Rates, sensitivity, intervals and agreement of people, against planted answers and other people's formulas."""

import numpy as np
import pytest

from distgan.metrics.realism import (
    accuracy,
    balanced_accuracy,
    criterion,
    d_prime,
    fooled,
    interval,
    kappa,
    wilson,
)

MADE = np.repeat([True, False], 50)


def test_wilson_s_interval_is_the_formula() -> None:
    z, n, p = 1.959964, 40, 0.3
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    wanted = tuple((middle + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    assert wilson(12, 40) == pytest.approx(wanted, abs=1e-6)
    assert wilson(0, 0) == (0, 1)


def test_sensitivity_is_told_apart_from_habit() -> None:
    assert d_prime(45, 50, 5, 50) == pytest.approx(2 * 1.238080, abs=1e-5)  # z(45.5 / 51)
    assert d_prime(45, 50, 45, 50) == pytest.approx(0)
    assert criterion(45, 50, 45, 50) < -1
    assert np.isfinite(d_prime(50, 50, 0, 50))


def test_rates_of_planted_answers() -> None:
    called = MADE.copy()
    called[:15] = False  # 15 of 50 made ones taken for real, as CytoGAN's biologists did
    assert fooled(MADE, called) == pytest.approx(0.3)
    assert accuracy(MADE, called) == pytest.approx(0.85)
    few = np.r_[np.zeros(40, bool), np.ones(60, bool)]
    assert balanced_accuracy(MADE[40:], called[40:]) == pytest.approx(1)
    assert accuracy(few, np.ones(100, bool)) == 0.6
    assert balanced_accuracy(few, np.ones(100, bool)) == 0.5


def test_the_interval_of_guesses_covers_chance_as_often_as_it_says() -> None:
    random, covered = np.random.default_rng(0), 0
    who, which = np.repeat(np.arange(8), 100), np.tile(np.arange(100), 8)
    for trial in range(12):
        called = random.random(800) < random.normal(0.5, 0.1, 8)[who]
        low, high = interval(balanced_accuracy, MADE[which], called, who, which, trial)
        covered += low <= 0.5 <= high
    assert covered >= 10


def test_people_who_differ_make_the_interval_wide() -> None:
    who, which = np.repeat(np.arange(6), 100), np.tile(np.arange(100), 6)
    right = np.random.default_rng(0).random(600)
    alike = np.where(right < 0.75, MADE[which], ~MADE[which])
    apart = np.where(right < np.repeat([0.5, 1.0], 3)[who], MADE[which], ~MADE[which])
    narrow, wide = (interval(accuracy, MADE[which], called, who, which) for called in (alike, apart))
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_kappa_is_fleiss_s() -> None:
    """Two categories, five images, three people each; by hand."""
    yes = np.array([3, 3, 0, 1, 2])
    images = np.repeat(np.arange(5), 3)
    called = np.concatenate([np.arange(3) < one for one in yes])
    agreed = np.mean([1, 1, 1, 1 / 3, 1 / 3])
    share = yes.sum() / 15
    chance = share**2 + (1 - share) ** 2
    assert kappa(images, called) == pytest.approx((agreed - chance) / (1 - chance))
    assert np.isnan(kappa(np.arange(4), np.ones(4, bool)))
    assert abs(kappa(np.repeat(np.arange(500), 4), np.random.default_rng(0).random(2000) < 0.5)) < 0.05
