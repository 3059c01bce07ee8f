"""Metrics found again on resampled groups, from the predictions that trainings leave."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distgan.assessment.predictions import Predictions
from distgan.metrics.classification import accuracy, confusion
from tune.fraction_results import Results, results_of
from tune.group_bootstrap import with_group_bootstrap

EMBRYOS = np.repeat([f"embryo {number}" for number in range(8)], 5)
TRUTH = np.arange(40) % 3 % 2
MEMBERS: list[dict[str, Any]] = [
    {"name": name, "variant": name, "share": 1.0, "repeat": 0, "fold": "", "labels": 100}
    | {"tables": {"method": {"positive": "rosette"}}}
    for name in ("scratch", "transfer")
]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two trainings; of the first all embryos are told alike, the second is wrong about three of them."""
    for one, wrong in zip(MEMBERS, (EMBRYOS == "none", EMBRYOS < "embryo 3"), strict=True):
        said = np.where(wrong, 1 - TRUTH, TRUTH)
        folder = tmp_path / "members" / one["name"]
        folder.mkdir(parents=True)
        probabilities = np.where(np.eye(2)[said] > 0, 0.8, 0.2)
        predictions = Predictions(np.arange(40), EMBRYOS, TRUTH, probabilities, ("other", "rosette"))
        predictions.write(folder, 64)
        predictions.write(folder, 128)
    return tmp_path


def found(scratch: float = 1.0, transfer: float = 25 / 40) -> dict[str, dict[str, Any]]:
    values = {"scratch": scratch, "transfer": transfer}
    return {name: {"metrics": {"accuracy": value}, "images_seen": 128, "error": None} for name, value in values.items()}


def bootstrapped(sweep: Path, known: dict[str, dict[str, Any]]) -> Results:
    results = results_of(MEMBERS, known, "accuracy", 500)
    return with_group_bootstrap(results, sweep, MEMBERS, known, "accuracy")


def test_embryos_are_drawn_again_and_not_samples(sweep: Path) -> None:
    made = bootstrapped(sweep, found())
    assert made.resampled is not None
    assert (made.groups, made.units) == (8, 8)
    assert made.resampled[0, 0, 0, 0] == pytest.approx(np.ones(500))
    of_second = made.resampled[1, 0, 0, 0] * 8
    assert of_second == pytest.approx(np.round(of_second))  # whole embryos
    assert of_second.std() == pytest.approx(np.sqrt(8 * 5 / 8 * 3 / 8), rel=0.1)  # binomial
    assert accuracy(confusion(TRUTH, np.eye(2)[TRUTH])) == 1


def test_predictions_of_another_metric_are_not_used(sweep: Path) -> None:
    assert bootstrapped(sweep, found(transfer=0.7)).resampled is None


def test_without_predictions_repeats_alone_are_drawn_again(sweep: Path) -> None:
    known = found()
    known["transfer"]["images_seen"] = 96
    assert bootstrapped(sweep, known).resampled is None


def test_what_has_not_ended_is_left_out(sweep: Path) -> None:
    known = found()
    del known["transfer"]
    made = bootstrapped(sweep, known)
    assert made.resampled is not None
    assert np.isnan(made.resampled[1]).all()
