"""What a key does to a metric: by hand-made trials of known effects."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.home import Home
from distgan.config.search_sections import Domain, Tune
from storage.csv_table import as_csv
from tune.catalogue import Catalogue, Result
from tune.effects import as_text, compared, effects_figure, effects_of, hedges_g, interval, levels
from tune.search_tracking import SearchDelivery
from tune.space import Space

SPACE: dict[str, Any] = {
    "method.norm": {"choice": ["layer", "batch"]},
    "optimizer.lr": {"loguniform": [1e-5, 1e-2]},
    "method.width": {"choice": [4, 8], "when": {"method.norm": "batch"}},
}


def tune(**table: Any) -> Tune:
    return Tune.model_validate({"trials": 9, "space": SPACE, "effects": ["auc"]} | table)


@pytest.fixture
def finished_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Catalogue, Space]:
    """40 trials: "batch" adds 0.2 to the AUC, the rate nothing; one more failed, one was stopped, one is not over."""
    catalogue, random = Catalogue(tmp_path), np.random.default_rng(0)
    monkeypatch.setattr("tune.effects.committed_images", lambda folder: 100)
    monkeypatch.setattr("tune.catalogue.committed_images", lambda folder: 100)
    for number in range(43):
        point: dict[str, Any] = {
            "method.norm": ("layer", "batch")[number % 2],
            "optimizer.lr": 10 ** random.uniform(-5, -2),
        }
        if number % 2:
            point["method.width"] = 4
        catalogue.add(number, point, [])
        value = 0.6 + 0.2 * (number % 2) + random.normal(0, 0.02)
        lines = [(50, 9.0), (100, value)] if number < 40 else [(50, 9.0)]
        (catalogue.run(number) / "metrics.jsonl").write_text(
            "".join(json.dumps({"images_seen": n, "time": 0.0, "metrics": {"auc": v}}) + "\n" for n, v in lines)
        )
        if number < 42:
            states = {40: Result("failed", None, 50), 41: Result("stopped", (9.0,), 50)}
            catalogue.end(number, states.get(number, Result("finished", (value,), 100)))
    tables: dict[str, Any] = {
        "run": {"name": "x", "images": 100, "batch_size": 10},
        "data": {"store": "x"},
        "method": {"name": "transfer_classifier", "positive": "a"},
        "evaluate": {"every_images": 100},
        "checkpoint": {"every_images": 100},
    }
    return catalogue, Space(tables, tune())


def test_a_true_effect_is_found_and_a_key_without_one_is_not(finished_search: tuple[Catalogue, Space]) -> None:
    rows = effects_of(*finished_search)
    norm = {row["level"]: row for row in rows if row["key"] == "method.norm"}
    assert (norm['"layer"']["trials"], norm['"layer"']["failed"]) == (20, 1)
    assert (norm['"batch"']["trials"], norm['"batch"']["failed"]) == (20, 1), "a stopped one is not compared"
    assert norm['"layer"']["difference"] is None
    assert norm['"batch"']["low"] < 0.2 < norm['"batch"']["high"]
    assert norm['"batch"']["low"] > 0.15
    assert norm['"batch"']["hedges_g"] > 5
    rate = [row for row in rows if row["key"] == "optimizer.lr"]
    assert [row["low"] < 0 < row["high"] for row in rate[1:]] == [True, True]
    assert sum(row["trials"] for row in rate) == 40
    width = [row for row in rows if row["key"] == "method.width"]
    assert [(row["level"], row["trials"]) for row in width] == [("4", 20)], "a level without trials is no row"


def test_the_same_search_has_the_same_table(finished_search: tuple[Catalogue, Space]) -> None:
    assert effects_of(*finished_search) == effects_of(*finished_search)


def test_endless_values_are_cut_into_thirds_of_their_range() -> None:
    domain = Domain.model_validate({"loguniform": [1e-6, 1e-3]})
    found = levels({0: 9e-4, 1: 2e-6, 2: 5e-5, 3: 1e-3, 4: 9e-6}, domain)
    assert list(found.values()) == [[1, 4], [2], [0, 3]]
    assert list(found) == ["2e-06 to 9e-06", "5e-05 to 5e-05", "0.0009 to 0.001"]
    many = Domain.model_validate({"int": [0, 600]})
    assert list(levels({0: 10, 1: 599}, many).values()) == [[0], [1]]
    few = Domain.model_validate({"choice": [False, True]})
    assert levels({0: True, 1: True}, few) == {"true": [0, 1]}


def test_hedges_g_by_hand() -> None:
    """Means 3 and 2, both variances 1, 4 degrees of freedom: 1 * (1 - 3 / 15)."""
    assert hedges_g(np.array([2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0])) == pytest.approx(0.8)
    assert hedges_g(np.ones(3), np.ones(3)) is None


def test_intervals_hold_what_they_say_for_few_trials() -> None:
    """Of samples of the same distribution, 5 each, about 95 % hold zero; a plain percentile interval holds 87 %."""
    random = np.random.default_rng(1)
    held = [low < 0 < high for low, high in (interval(*random.normal(size=(2, 5)), 0, 1) for _ in range(300))]
    assert 0.94 < np.mean(held) <= 1


def test_the_first_level_with_trials_is_what_others_are_compared_with() -> None:
    rows = compared({"a": [None, None], "b": [1.0, 2.0], "c": [4.0]}, seed=0)
    assert [row["difference"] for row in rows] == [None, None, 2.5]
    assert [(row["trials"], row["failed"]) for row in rows] == [(0, 2), (2, 0), (1, 0)]
    assert rows[2]["low"] is None, "one trial has no spread"


@pytest.mark.parametrize(
    ("keys", "told"),
    [({}, False), ({"searcher": "tpe"}, True), ({"scheduler": "asha"}, True)],
)
def test_what_was_chosen_by_results_is_said(
    finished_search: tuple[Catalogue, Space], keys: dict[str, Any], told: bool
) -> None:
    text = as_text(effects_of(*finished_search), tune(**keys))
    assert ("chosen by results" in text or "choose by results" in text) == told
    assert "not corrected for the 3 comparisons" in text


def test_the_table_and_the_figure_have_every_comparison(finished_search: tuple[Catalogue, Space]) -> None:
    rows = effects_of(*finished_search)
    read = list(csv.DictReader(io.StringIO(as_csv(rows).decode())))
    assert len(read) == len(rows)
    assert math.isclose(float(read[1]["difference"]), rows[1]["difference"])
    (axis,) = effects_figure(rows, "auc").axes
    assert [label.get_text() for label in axis.get_yticklabels()][-1] == 'method.norm: "batch" against "layer" (20)'
    assert len(axis.get_yticks()) == 3


def test_the_table_and_the_figures_lie_with_the_search(
    finished_search: tuple[Catalogue, Space], tmp_path: Path
) -> None:
    catalogue, space = finished_search
    rows = effects_of(catalogue, space)
    SearchDelivery(Home(tmp_path / "home"), catalogue, space)._draw({"effects": rows})
    assert (catalogue.folder / "effects.csv").read_bytes() == as_csv(rows)
    assert (catalogue.folder / "figures" / "effects_auc.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((catalogue.folder / "report.json").read_text())["effects"] == rows
