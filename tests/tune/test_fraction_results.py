"""From results to arrays, and what resampling makes of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from distgan.config.fraction_sections import Fractions
from tune.fraction_report import learning_curves, report_of
from tune.fraction_results import Results, results_of

SHARES, REPEATS = (0.1, 0.25, 0.5, 1.0), 12
LABELS = {share: int(200 * share) for share in SHARES}
FRACTIONS = Fractions(shares=SHARES, repeats=REPEATS, metric="accuracy", target=0.85, resamples=400)


def members() -> list[dict[str, Any]]:
    return [
        {"name": f"{variant}-{share}-{repeat}", "variant": variant, "share": share, "repeat": repeat, "fold": ""}
        | {"labels": LABELS[share]}
        for repeat in range(REPEATS)
        for share in SHARES
        for variant in ("scratch", "transfer")
    ]


def result(value: float | None) -> dict[str, Any]:
    return {"metrics": {} if value is None else {"accuracy": value}, "error": None if value is not None else {}}


def found(margin: float, noise: float) -> dict[str, dict[str, Any]]:
    """Curves that are known; luck of a repeat is shared by all that is trained in it."""
    random = np.random.default_rng(1)
    luck = random.normal(0, 0.03, REPEATS)
    return {
        one["name"]: result(
            0.9
            - 1.0 * one["labels"] ** -0.5
            + (margin if one["variant"] == "transfer" else 0.0)
            + luck[one["repeat"]]
            + random.normal(0, noise)
        )
        for one in members()
    }


def results(margin: float = 0.02, noise: float = 0.003) -> Results:
    return results_of(members(), found(margin, noise), "accuracy", 400)


def test_every_result_is_at_its_place() -> None:
    known = found(0.02, 0.003)
    made = results_of(members(), known, "accuracy", 400)
    assert made.variants == ("scratch", "transfer")
    assert made.values[1, 2, 5, 0] == known["transfer-0.5-5"]["metrics"]["accuracy"]
    assert made.label_counts.tolist() == [20, 50, 100, 200]


def test_what_has_not_ended_or_diverged_counts_for_nothing() -> None:
    known = found(0.02, 0.003)
    del known["scratch-0.1-0"]
    known["scratch-0.1-1"] = result(None)
    made = results_of(members(), known, "accuracy", 400)
    rest = [known[f"scratch-0.1-{repeat}"]["metrics"]["accuracy"] for repeat in range(2, REPEATS)]
    assert made.means()[0, 0] == pytest.approx(np.mean(rest))
    assert made.failed[0, 0] == 1
    assert np.isnan(made.differences()[0, 0, :2]).all()


def test_pairs_tell_a_margin_that_lies_within_the_luck_of_the_draw() -> None:
    report = report_of(results(), FRACTIONS, "repeats")
    assert sum(row["low"] < 0.02 < row["high"] for row in report["differences"]) >= 3
    for row in report["differences"]:
        assert row["low"] > 0
        assert (row["better"], row["worse"], row["ties"]) == (REPEATS, 0, 0)
        assert row["sign_test_p"] == pytest.approx(2 * 0.5**REPEATS)
    scratch, transfer = ([row for row in report["table"] if row["variant"] == one] for one in ("scratch", "transfer"))
    assert all(one["high"] > other["low"] for one, other in zip(scratch, transfer, strict=True))  # unpaired, it is lost


def test_no_margin_is_none() -> None:
    rows = report_of(results(margin=0.0), FRACTIONS, "repeats")["differences"]
    assert sum(row["low"] < 0 < row["high"] for row in rows) >= 3


def test_where_less_is_better_the_sign_test_turns() -> None:
    fractions = FRACTIONS.model_copy(update={"direction": "min"})
    row = report_of(results(), fractions, "repeats")["differences"][0]
    assert (row["better"], row["worse"]) == (0, REPEATS)


def test_the_interval_of_a_mean_covers_what_it_should() -> None:
    """Of 200 sweeps of five repeats, whose luck is known, about 95 % have the truth in the interval."""
    random, fractions = np.random.default_rng(3), FRACTIONS.model_copy(update={"target": None})
    inside = 0
    for _ in range(200):
        values = random.normal(0.7, 0.05, (1, 1, 5, 1))
        made = Results(
            ("one",),
            (1.0,),
            tuple(range(5)),
            ("",),
            values,
            np.full(values.shape, 100.0),
            np.zeros((1, 1), np.int64),
            300,
        )
        row = report_of(made, fractions, "repeats")["table"][0]
        inside += int(row["low"] < 0.7 < row["high"])
    assert 180 <= inside <= 198  # of plain percentiles, 167


def test_the_labels_needed_are_those_of_the_true_curve() -> None:
    curve = report_of(results(), FRACTIONS, "repeats")["curves"][1]
    true = 0.07**-2  # 0.92 - n^-0.5 = 0.85
    assert curve["labels_needed_low"] < true
    assert curve["labels_needed_high"] is None or curve["labels_needed_high"] > true
    assert curve["extrapolated"] is (curve["labels_needed"] is not None and curve["labels_needed"] > 200)


def test_resampled_groups_widen_what_repeats_alone_do_not_show() -> None:
    made = results()
    by_group = made.values[..., None] + np.random.default_rng(0).normal(0, 0.2, 400)
    widened = replace(made, resampled=by_group, groups=15)
    narrow, wide = (np.ptp(np.quantile(one.bootstrap()[0][0, 0], (0.025, 0.975))) for one in (made, widened))
    assert wide > 5 * narrow
    differences = [np.ptp(one.bootstrap()[1][0, 0]) for one in (made, widened)]
    assert differences[1] < 2 * differences[0]  # both variants are judged on the same draws


def test_the_report_of_a_sweep_that_has_just_begun() -> None:
    known = {"scratch-0.1-0": result(0.5)}
    report = report_of(results_of(members(), known, "accuracy", 400), FRACTIONS, "repeats")
    assert [row["mean"] for row in report["table"]] == [0.5] + [None] * 7
    assert report["table"][0]["low"] is None
    assert all(curve["a"] is None for curve in report["curves"])
    learning_curves(report)


def test_the_figure_has_a_band_and_a_fit_for_every_variant() -> None:
    axis = learning_curves(report_of(results(), FRACTIONS, "repeats")).axes[0]
    assert sum("fill" in type(one).__name__.lower() for one in axis.collections) == 2
    assert sum(line.get_linestyle() == "--" for line in axis.lines) == 2
    assert axis.get_xlabel() == "labelled samples trained on [samples]"
