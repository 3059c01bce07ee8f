"""Sums of profiles are judged against candidates, a simple baseline and chance, by planted answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

from distgan.metrics.algebra import Analogy, interval, judged
from distgan.score import Asked
from distgan.scores import load_score, read_settings
from storage.errors import RecipeError

CANDIDATES = np.array([[1.0, 0], [0.9, 0.2], [0, 1], [-1, 0.1], [-1, -1]])


def analogy(result: list[float], right: list[int], terms: list[int]) -> Analogy:
    nothing = np.zeros(2)
    masks = [np.isin(np.arange(5), rows) for rows in (right, terms, terms)]
    return Analogy("one", np.array(result), nothing, nothing, np.array([0.0, 1.0]), *masks, "group")


def test_terms_are_no_candidates() -> None:
    one = judged([analogy([1, 0.05], [1], [0])], CANDIDATES, "cosine")
    assert one.nearest.tolist() == [1]
    assert (one.found.all(), one.with_terms.any(), one.alone.any()) == (True, False, False)
    assert one.nearer.tolist() == [1.0]
    assert one.nearer_alone.tolist() == [pytest.approx(2 / 3)]
    assert one.chance.tolist() == [0.25]


def test_how_far_a_profile_lies_counts_only_where_it_should() -> None:
    far = analogy([0.1, 0.001], [0], [])
    assert judged([far], CANDIDATES, "cosine").nearest.tolist() == [0]
    assert judged([analogy([0.4, 0.5], [2], [])], CANDIDATES, "euclidean").nearest.tolist() == [1]


def test_groups_are_resampled_whole() -> None:
    values = np.repeat([0.0, 1.0], 50)
    low, high = interval(values, ["a"] * 50 + ["b"] * 50, 500, 0) or (0, 0)
    assert (low, high) == (0, 1)
    narrow = interval(values, [str(row) for row in range(100)], 500, 0) or (0, 0)
    assert 0.35 < narrow[0] < 0.5 < narrow[1] < 0.65
    assert interval(values, ["a"] * 100, 500, 0) is None


def planted(*, additive: bool) -> pa.Table:
    """Six compounds of three mechanisms at two doses, four wells each, and eight controls; far from 0.

    additive: what a dose adds is the same for all compounds; else it is another direction for each.
    """
    random = np.random.default_rng(0)
    middle, higher = random.normal(size=12) * 5, random.normal(size=12) * 4
    mechanisms = random.normal(size=(3, 12)) * 2
    rows: list[dict[str, Any]] = []
    for compound in range(7):
        effect = mechanisms[compound % 3] + random.normal(size=12) * 1.5
        own = higher if additive else random.normal(size=12) * 4
        for dose in (1.0, 10.0) if compound else (0.0,):
            for _ in range(4 if compound else 8):
                values = middle + (effect + own * (dose > 1) if compound else 0) + random.normal(size=12) * 0.2
                name, moa = (f"C{compound}", f"moa {compound % 3}") if compound else ("DMSO", "DMSO")
                rows.append(
                    {"compound": name, "concentration": dose, "moa": moa}
                    | dict(zip("abcdefghijkl", values, strict=True))
                )
    return pa.Table.from_pylist(rows)


def scored(table: pa.Table, folder: Path, *overrides: str) -> Any:
    csv.write_csv(table, folder / "wells.csv")
    name, settings = read_settings("algebra", str(folder / "wells.csv"), overrides)
    return load_score("algebra").score(Asked(name, settings, folder))


def rows_of(told: Any) -> dict[str, dict[str, Any]]:
    return {row["test"]: row for row in told.facts["scores"]}


def test_what_a_dose_adds_is_found_if_it_is_the_same_for_all(tmp_path: Path) -> None:
    same = rows_of(scored(planted(additive=True), tmp_path))["dose"]
    assert same["analogies"] == 30
    assert same["found"] == 1
    assert same["gain"] > 0
    assert same["gain 95%"][0] > 0
    other = rows_of(scored(planted(additive=False), tmp_path))["dose"]
    assert other["found"] < 0.5


def test_each_test_of_the_paper_is_made(tmp_path: Path) -> None:
    told = scored(planted(additive=True), tmp_path, 'algebra.opposites=[["moa 0","moa 1"]]')
    found = rows_of(told)
    assert {name: row["analogies"] for name, row in found.items()} == {
        "cancel": 12,
        "dose": 30,
        "opposite": 1,
        "other pairs": 2,
    }
    assert found["cancel"]["chance"] == pytest.approx(2 / 10, abs=1e-4)
    assert found["cancel"]["gain"] == pytest.approx(0, abs=0.05)
    assert found["opposite"]["gain 95%"] is None
    table = told.tables["wells dose"]
    assert "C1 10.0 - 1.0 + C2 1.0" in table.column("analogy").to_pylist()


def test_controls_are_needed(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="not two controls"):
        scored(planted(additive=True), tmp_path, 'algebra.controls={compound=["water"]}')
