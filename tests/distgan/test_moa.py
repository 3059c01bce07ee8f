"""Mechanisms by neighbours: who may be a neighbour, both averages, chance; and the published profiles of BBBC021."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from distgan.metrics.moa import Treatments, matched, p_value
from distgan.metrics.normalisation import Constant, normalised
from distgan.metrics.profiles import Profiles, aggregated
from distgan.metrics.selection import distinct, reproducible
from storage.datasets.bbbc021_profiles import profiles


def treatments(angles: list[float], compounds: str, mechanisms: str, batches: str) -> Treatments:
    """Directions in the plane; one letter per treatment."""
    turned = np.exp(1j * np.radians(angles))
    values = np.stack([turned.real, turned.imag], 1) * np.arange(1, len(angles) + 1)[:, None]
    return Treatments(values, *(np.array(list(letters)) for letters in (compounds, mechanisms, batches)))


LINE = treatments([0, 1, 10, 40, 90, 92], "AABCDE", "xxxyyz", "112233")


def test_a_treatment_is_never_likened_to_its_own_compound() -> None:
    found = matched(LINE)
    assert found.nearest.tolist() == [2, 2, 1, 2, 5, 4]
    assert found.found.tolist() == [True, True, True, False, False, False]
    assert found.possible.tolist() == [True] * 5 + [False]


def test_nor_to_its_own_batch_where_that_is_wanted() -> None:
    found = matched(LINE, other_batch=True)
    assert found.nearest.tolist() == [2, 2, 1, 1, 3, 3]
    assert found.found.sum() == 4
    assert found.possible.tolist() == [True] * 5 + [False]


def test_who_may_have_no_neighbour_has_found_nothing() -> None:
    alone = treatments([0, 1], "AA", "xx", "12")
    assert matched(alone).nearest.tolist() == [-1, -1]
    assert not matched(alone).found.any()
    assert matched(alone).of_treatments == 0
    assert matched(alone).confusion()[1].sum() == 0


def test_the_two_averages_differ_where_compounds_have_unequal_doses() -> None:
    found = matched(LINE)
    assert found.of_treatments == pytest.approx(3 / 6)
    assert found.of_compounds == pytest.approx(2 / 5)  # of A and B all, of C, D and E none


def test_cosine_does_not_mind_length_and_euclid_does() -> None:
    values = np.array([[1.0, 0], [9, 1], [1, 1]])
    letters = [np.array(list(text)) for text in ("ABC", "xyz", "111")]
    assert matched(Treatments(values, *letters)).nearest[0] == 1
    assert matched(Treatments(values, *letters), distance="euclidean").nearest[0] == 2


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = matched(LINE, other_batch=True)
    monkeypatch.setattr("distgan.metrics.moa.BLOCK", 4)
    parts = matched(LINE, other_batch=True)
    assert parts.nearest.tolist() == whole.nearest.tolist()
    assert parts.possible.tolist() == whole.possible.tolist()


def test_confusions_are_counted_by_the_true_mechanism() -> None:
    names, table = matched(LINE).confusion()
    assert names == ["x", "y", "z"]
    assert table.tolist() == [[3, 0, 0], [1, 0, 1], [0, 1, 0]]


def test_chance_deals_mechanisms_to_compounds() -> None:
    """Two compounds whose doses are beside one another, and 20 alone: luck finds all of a compound or nothing."""
    random = np.random.default_rng(0)
    compounds = np.repeat([f"{number}" for number in range(20)], 2)
    values = np.repeat(random.normal(size=(20, 6)), 2, axis=0) + random.normal(0, 0.01, (40, 6))
    mechanisms = np.repeat(np.tile(list("wxyz"), 5), 2)
    chance = matched(Treatments(values, compounds, mechanisms, compounds)).by_chance(500)
    assert chance.mean() == pytest.approx(4 / 19, abs=0.03)
    assert chance.tolist() == matched(Treatments(values, compounds, mechanisms, compounds)).by_chance(500).tolist()


def test_no_p_value_is_nought() -> None:
    assert p_value(1.0, np.zeros(999)) == 0.001


# published profiles


@cache
def wells(folder: Path) -> Profiles:
    table = profiles(folder)
    names = ("plate", "well", "compound", "concentration", "moa", "batch")
    columns = {name: np.array([str(value) for value in table[name].to_pylist()]) for name in names}
    return Profiles(np.stack([table[name].to_numpy() for name in table.column_names[2:518]], 1), columns)


def treated(found: Profiles) -> Treatments:
    means = aggregated(found.rows(found.columns["compound"] != "DMSO"), ["compound", "concentration"])
    assert len(means) == 103
    return Treatments(means.values, *(means.columns[name] for name in ("compound", "moa", "batch")))


@pytest.fixture
def bbbc021(real_data: Path) -> Profiles:
    return wells(real_data / "bbbc021_profiles")


@pytest.mark.parametrize(("constant", "nsc", "nscb"), [("unscaled", 85, 67), ("divided", 74, 57), ("dropped", 84, 67)])
def test_bbbc021_without_selection(constant: Constant, nsc: int, nscb: int, bbbc021: Profiles) -> None:
    """Three of the 516 features are constant in the controls of 23 plates; the score hangs on what becomes of them."""
    controls = bbbc021.columns["compound"] == "DMSO"
    values, kept = normalised(bbbc021.values, bbbc021.columns["plate"], controls, constant=constant)
    assert kept.sum() == (513 if constant == "dropped" else 516)
    scored = treated(bbbc021.with_values(values))
    same, other = matched(scored), matched(scored, other_batch=True)
    assert (int(same.found.sum()), int(other.found.sum())) == (nsc, nscb)
    assert (int(same.possible.sum()), int(other.possible.sum())) == (103, 92)
    chance = same.by_chance(200)
    assert 0.055 < chance.mean() < 0.08
    assert 0.13 < np.quantile(chance, 0.95) < 0.2
    assert p_value(same.of_treatments, chance) == pytest.approx(1 / 201)


@pytest.mark.parametrize("seed", [0, 1])
def test_bbbc021_as_the_published_recipe_has_it(seed: int, bbbc021: Profiles) -> None:
    treated_rows = bbbc021.columns["compound"] != "DMSO"
    names = np.char.add(bbbc021.columns["compound"], bbbc021.columns["concentration"])
    kept = reproducible(bbbc021.values[treated_rows], names[treated_rows], 0.5, seed)
    assert 330 <= kept.sum() <= 355
    kept[kept] = distinct(bbbc021.values[treated_rows][:, kept], 0.95)
    assert 170 <= kept.sum() <= 195
    values, _ = normalised(bbbc021.values[:, kept], bbbc021.columns["plate"], ~treated_rows)
    assert 82 <= matched(treated(bbbc021.with_values(values))).found.sum() <= 88
