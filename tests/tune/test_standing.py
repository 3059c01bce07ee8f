"""Which trial is best, and the figures of a search."""

from pathlib import Path
from typing import Any

import pytest

from cluster.ownership import is_owned, owned
from distgan.config.search_sections import Tune
from storage.errors import RecipeError, ServiceError
from tune.catalogue import Catalogue, Result, Trial
from tune.report import importances, parallel_coordinates
from tune.standing import best_of

SPACE: dict[str, Any] = {
    "optimizer.lr": {"loguniform": [1e-5, 1e-3]},
    "method.penalty": {"uniform": [0.0, 10.0]},
    "method.width": {"choice": [4, 8], "when": {"method.preset": "small"}},
}


def tune(**table: Any) -> Tune:
    return Tune.model_validate({"trials": 9, "space": SPACE} | table)


def trials(*results: tuple[Any, tuple[float, ...] | None]) -> list[Trial]:
    return [
        Trial(number, {}, (), Result(state, values, 1) if state else None, ())
        for number, (state, values) in enumerate(results)
    ]


def test_the_best_has_seen_all_its_images_and_has_not_failed() -> None:
    found = trials(
        ("finished", (3.0,)),
        ("stopped", (1.0,)),
        ("failed", None),
        (None, None),
        ("finished", (2.0,)),
        ("finished", (2.0,)),
    )
    assert best_of(found, tune())[0].number == 4, "the first of two that are equal"
    assert best_of(found, tune(direction="max"))[0].number == 0
    assert best_of(found[1:4], tune())[0].number == 1
    assert best_of(found[2:4], tune()) == []


def test_several_objectives_have_a_front() -> None:
    two = tune(objective=["kid", "recall"], direction=["min", "max"])
    found = trials(
        ("finished", (3.0, 0.9)), ("finished", (1.0, 0.2)), ("finished", (2.0, 0.1)), ("finished", (2.0, 0.5))
    )
    assert [trial.number for trial in best_of(found, two)] == [1, 3, 0]


def test_the_key_that_decides_is_the_most_important() -> None:
    points = [
        {"optimizer.lr": 10 ** (-5 + 2 * (number % 5) / 4), "method.penalty": float(number)} for number in range(10)
    ]
    found = importances(points, [(number % 5) ** 2.0 for number in range(10)], tune().space)
    assert list(found) == ["optimizer.lr", "method.penalty"]
    assert found["optimizer.lr"] > 0.8
    assert sum(found.values()) == pytest.approx(1)
    assert importances(points, [1.0] * 10, tune().space) == {}
    assert importances(points[:3], [1.0, 2.0, 3.0], tune().space) == {}


def test_parallel_coordinates_have_an_axis_for_each_key_and_a_line_for_each_trial() -> None:
    points = [
        {"optimizer.lr": 1e-4, "method.penalty": 5.0, "method.width": 8},
        {"optimizer.lr": 1e-5, "method.penalty": 0.0},
    ]
    axis, bar = parallel_coordinates(points, [1.0, 100.0], tune().space, "kid", "min").axes
    assert [label.get_text() for label in axis.get_xticklabels()] == list(SPACE)
    lines = [list(line.get_ydata()) for line in axis.get_lines()[:2]]
    assert lines[1] == pytest.approx([0.5, 0.5, 1.0]), "the best is drawn last, over the others"
    assert lines[0][:2] == [0.0, 0.0]
    assert lines[0][2] != lines[0][2], "what is not set is not drawn"
    assert bar.get_ylabel() == "kid"


def test_a_folder_has_one_driver_and_is_not_begun_twice(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    assert not is_owned(folder)
    with owned(folder, "search", begun=False, resume=False):
        assert is_owned(folder)
        with pytest.raises(ServiceError, match="is running"), owned(folder, "search", begun=True, resume=True):
            pass
    assert not is_owned(folder)
    with pytest.raises(RecipeError, match="already"), owned(folder, "search", begun=True, resume=False):
        pass


def test_the_first_word_on_how_a_trial_ended_counts(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    catalogue.add(0, {"a": 1}, [])
    catalogue.end(0, Result("finished", (1.0,), 5))
    catalogue.end(0, Result("stopped", (2.0,), 6))
    assert catalogue.trial(0).result == Result("finished", (1.0,), 5)
