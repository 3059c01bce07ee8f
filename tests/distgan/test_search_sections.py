"""The `[tune]` table: what it refuses, and what it makes of its keys."""

from typing import Any

import pytest
from pydantic import ValidationError

from distgan.config.search_sections import Domain, Tune

SPACE: dict[str, Any] = {"optimizer.lr": {"loguniform": [1e-5, 1e-3]}}


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"space": {}, "trials": 1}, "at least 1"),
        ({"space": SPACE}, "trials is missing"),
        ({"space": {"method.width": {"uniform": [2, 1]}}, "trials": 1}, "low below high"),
        ({"space": {"method.width": {"loguniform": [0, 1]}}, "trials": 1}, "above 0"),
        ({"space": {"method.width": {"uniform": [1, 2], "int": [1, 2]}}, "trials": 1}, "exactly one"),
        ({"space": {"method.width": {"when": {}}}, "trials": 1}, "exactly one"),
        ({"space": {"run.images": {"int": [1, 2]}}, "trials": 1}, "all trials have the same"),
        ({"space": SPACE, "searcher": "grid"}, "endless"),
        ({"space": {"method.preset": {"choice": ["small"]}}, "searcher": "cmaes", "trials": 1}, "wants numbers"),
        (
            {"space": SPACE, "trials": 1, "objective": ["kid", "diversity/recall"], "direction": ["min"]},
            "as many entries",
        ),
        (
            {"space": SPACE, "trials": 1, "objective": ["a", "b"], "direction": ["min", "max"], "scheduler": "asha"},
            "no one order",
        ),
        ({"space": SPACE, "trials": 4, "scheduler": "pbt", "workers_per_trial": 2}, "workers_per_trial is 1"),
        ({"space": {"method.width": {"int": [4, 8]}}, "trials": 4, "scheduler": "pb2"}, "pb2 wants"),
        (
            {"space": {"a.b": {"int": [1, 2], "when": {"a.c": 1}}, "a.c": {"int": [1, 2]}}, "trials": 1},
            "must stand before it",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(table: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Tune.model_validate(table)


def test_keys_without_quotation_marks_are_understood() -> None:
    bare = Tune.model_validate({"trials": 1, "space": {"optimizer": {"critic": {"lr": {"uniform": [1e-4, 1e-3]}}}}})
    assert list(bare.space) == ["optimizer.critic.lr"]


def test_values_that_can_be_counted() -> None:
    assert Domain.model_validate({"int": [2, 4]}).finite == (2, 3, 4)
    assert Domain.model_validate({"choice": ["a", True, 1.5]}).finite == ("a", True, 1.5)
    assert Domain.model_validate({"uniform": [0, 1]}).finite is None


def test_one_point_beats_another_where_it_is_no_worse_in_any_objective() -> None:
    tune = Tune.model_validate(
        {"space": SPACE, "trials": 1, "objective": ["kid", "recall"], "direction": ["min", "max"]}
    )
    assert tune.better((1.0, 0.5), (2.0, 0.5))
    assert not tune.better((1.0, 0.5), (1.0, 0.5))
    assert not tune.better((1.0, 0.4), (2.0, 0.5))
