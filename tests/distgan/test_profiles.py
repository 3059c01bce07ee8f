"""Averages of profiles, plates scaled by their controls, and features chosen, on numbers that can be told by hand."""

import numpy as np
import pytest

from distgan.metrics.normalisation import normalised
from distgan.metrics.profiles import Profiles, aggregated, counts, groups
from distgan.metrics.selection import distinct, reproducible
from storage.errors import DataError, RecipeError


def profiles() -> Profiles:
    values = np.array([[1.0, 10], [3, 30], [8, 80], [5, 50]], np.float32)
    columns = {"plate": ["1", "1", "1", "2"], "well": ["A", "A", "A", "A"], "site": ["1", "2", "3", "1"]}
    return Profiles(values, {name: np.array(texts) for name, texts in columns.items()}, ("a", "b"))


def test_a_well_of_another_plate_is_another_well() -> None:
    found = aggregated(profiles(), ["plate", "well"])
    np.testing.assert_allclose(found.values, [[4, 40], [5, 50]])
    assert found.values.dtype == np.float64
    assert found.columns["plate"].tolist() == ["1", "2"]
    assert "site" not in found.columns


def test_the_median_is_that_of_the_middle_profile() -> None:
    np.testing.assert_array_equal(aggregated(profiles(), ["plate"], "median").values, [[3, 30], [5, 50]])


def test_counting_is_a_feature() -> None:
    found = counts(profiles(), ["plate"])
    np.testing.assert_allclose(found.values, np.log([[3], [1]]))
    assert found.columns["plate"].tolist() == ["1", "2"]


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(RecipeError, match=r"no column 'batch'.*plate, well, site"):
        aggregated(profiles(), ["batch"])


def test_names_are_not_run_together() -> None:
    assert [rows.tolist() for rows in groups([np.array(["a", "ab"]), np.array(["bc", "c"])])] == [[0], [1]]


# plates scaled by their controls

PLATES = np.array(["1"] * 4 + ["2"] * 3)
CONTROLS = np.array([True, True, True, False, True, True, False])
VALUES = np.array([[1.0, 7], [2, 7], [3, 7], [5, 9], [10, 1], [30, 3], [60, 2]])


def test_a_plate_is_in_units_of_its_own_controls() -> None:
    found, kept = normalised(VALUES, PLATES, CONTROLS)
    np.testing.assert_allclose(found[:, 0], [-1, 0, 1, 3, -(0.5**0.5), 0.5**0.5, 40 / 200**0.5])
    assert kept.all()


def test_robust_units_do_not_mind_an_outlier() -> None:
    values = np.array([[1.0], [2], [3], [4], [1000], [5]])
    found, _ = normalised(values, np.full(6, "1"), np.arange(6) < 5, "robust")
    np.testing.assert_allclose(found[-1], 2 / 1.4826)


@pytest.mark.parametrize(("constant", "last"), [("unscaled", 2.0), ("divided", 2e9)])
def test_a_constant_feature_keeps_its_units_or_drowns_the_others(constant: str, last: float) -> None:
    found, kept = normalised(VALUES, PLATES, CONTROLS, constant=constant)  # type: ignore[arg-type]
    assert found[3, 1] == pytest.approx(last)
    assert kept.all()


def test_a_constant_feature_can_be_dropped_on_all_plates() -> None:
    found, kept = normalised(VALUES, PLATES, CONTROLS, constant="dropped")
    assert kept.tolist() == [True, False]
    assert found.shape == (7, 1)


def test_a_plate_without_controls_is_named() -> None:
    with pytest.raises(DataError, match="plate 2 cannot be scaled"):
        normalised(VALUES, PLATES, CONTROLS & (PLATES == "1"))


# features chosen


def test_features_that_come_back_are_kept() -> None:
    random = np.random.default_rng(0)
    effect = np.repeat(random.normal(size=(30, 4)), 3, axis=0)
    values = np.hstack([effect + random.normal(0, 0.3, effect.shape), random.normal(size=(90, 4))])
    treatments = np.repeat([str(number) for number in range(30)], 3)
    assert reproducible(values, treatments, 0.5).tolist() == [True] * 4 + [False] * 4


def test_of_features_that_say_the_same_one_is_kept() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(200, 3))
    values = np.hstack([values, -3 * values[:, :1] + 1e-3 * random.normal(size=(200, 1))])
    kept = distinct(values, 0.95)
    assert kept[1:3].all()
    assert kept[[0, 3]].sum() == 1
