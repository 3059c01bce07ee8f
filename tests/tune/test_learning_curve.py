"""Learning curves: what was put in comes out, and what is not known is not told."""

import numpy as np
import pytest

from tune.learning_curve import LearningCurve, fitted

LABELS = np.asarray([10.0, 20.0, 40.0, 80.0, 160.0, 320.0])


@pytest.mark.parametrize(("a", "b", "c"), [(0.9, -1.2, 0.6), (0.05, 3.0, 1.1), (0.8, -0.5, 0.25)])
def test_the_curve_that_made_the_values_is_found(a: float, b: float, c: float) -> None:
    curve = fitted(LABELS, a + b * LABELS**-c)
    assert curve is not None
    assert (curve.a, curve.b, curve.c) == pytest.approx((a, b, c), rel=1e-2)
    assert (curve.fewest, curve.most) == (10, 320)


def test_labels_needed_are_where_the_curve_meets_the_target() -> None:
    rising, falling = LearningCurve(0.9, -1.2, 0.6, 10, 320), LearningCurve(0.1, 1.2, 0.6, 10, 320)
    assert rising.at(np.asarray([rising.needed(0.85, "max")]))[0] == pytest.approx(0.85)
    assert falling.at(np.asarray([falling.needed(0.15, "min")]))[0] == pytest.approx(0.15)


def test_a_target_beyond_the_limit_is_never_reached() -> None:
    assert LearningCurve(0.9, -1.2, 0.6, 10, 320).needed(0.9, "max") == np.inf
    assert LearningCurve(0.1, 1.2, 0.6, 10, 320).needed(0.05, "min") == np.inf


def test_a_target_that_was_met_from_the_first_says_the_fewest_tried() -> None:
    assert LearningCurve(0.9, -1.2, 0.6, 10, 320).needed(0.2, "max") == 10


def test_a_curve_that_falls_is_no_way_to_a_high_target() -> None:
    assert LearningCurve(0.5, 1.0, 0.6, 10, 320).needed(0.9, "max") == np.inf


def test_three_counts_do_not_contradict_three_parameters() -> None:
    assert fitted(LABELS[:3], LABELS[:3]) is None
    assert fitted(LABELS, np.where(LABELS > 50, np.nan, LABELS)) is None


def test_values_that_are_better_known_weigh_more() -> None:
    true = 0.9 - 1.2 * LABELS**-0.6
    wrong = np.where(LABELS == 80, true + 0.2, true)
    curve = fitted(LABELS, wrong, np.where(LABELS == 80, 1e-6, 1.0))
    assert curve is not None
    assert curve.at(LABELS) == pytest.approx(true, abs=1e-3)
