"""Figure 3: what a fresh critic says of samples along training."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from distgan.monitoring.tracking import read_lines
from distgan.plots.figure_look import COLOURS, figure, legend, tidy
from distgan.plots.figure_set import Asked, Drawn
from storage.errors import DataError

METRICS = {
    "two_sample": "two-sample score\n(minus cross-entropies) [nats]",
    "two_sample_auc": "pairs told apart [share]",
    "kid": "KID\n[squared discrepancy, no unit]",
}
BLIND = {"two_sample": -2 * np.log(2), "two_sample_auc": 0.5}
"""What a critic gets that knows nothing."""


def along(asked: Asked) -> Iterator[Drawn]:
    """The score, how sure the critic is, and KID, with what training images get in the place of samples."""
    rows: list[dict[str, Any]] = []
    for name, run in asked.settings.runs.items():
        rows += [{"run": name} | row for row in _history(asked.kept("runs", run))]
    shown = [name for name in METRICS if any(np.isfinite(row[name]) for row in rows)]
    drawn = figure(3.1 * len(shown), 3.3)
    for axis, metric in zip(drawn.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        for number, name in enumerate(asked.settings.runs):
            own = [row for row in rows if row["run"] == name and np.isfinite(row[metric])]
            trained = [row for row in own if row["images_seen"]]
            colour = COLOURS[number % len(COLOURS)]
            axis.plot(
                [row["images_seen"] / 1000 for row in trained],
                [row[metric] for row in trained],
                marker=".",
                lw=1.2,
                color=colour,
                label=name,
            )
            if own and np.isfinite(own[0][f"{metric}_floor"]):
                axis.axhline(own[0][f"{metric}_floor"], color=colour, lw=0.9, ls=":")
        if metric in BLIND:
            axis.axhline(BLIND[metric], color="0.6", lw=0.8, ls="--")
        else:
            axis.set_yscale("log", nonpositive="clip")
            axis.tick_params(which="minor", labelsize=6)
        axis.set_xlim(0, None)
        tidy(axis, "real images seen [thousands]", METRICS[metric])
    legend(drawn, axis)
    yield Drawn(
        "along",
        "Figure 3: the two-sample test along training",
        "A short test at every evaluation: fresh critics learn by cross-entropy to tell samples from held-out cells; "
        "less is better. Dotted: training images in the place of samples, as good as it gets. Dashed: a critic that "
        "knows nothing. Untrained networks are in the table alone. These are not the paper's values, whose tests are "
        "longer.",
        drawn,
        rows,
    )


def _history(run: Path) -> list[dict[str, Any]]:
    """The evaluations of a run.  Raises DataError: it has none of these."""
    floors = dict.fromkeys((f"{name}_floor" for name in METRICS), float("nan"))
    found = []
    for line in read_lines(run):
        metrics = line.get("metrics", {})
        named = metrics | {"two_sample_auc_floor": metrics.get("two_sample_floor_auc", float("nan"))}
        floors = {name: named[name] if np.isfinite(named.get(name, np.nan)) else old for name, old in floors.items()}
        if metrics.keys() & METRICS.keys():
            values = {name: metrics.get(name, float("nan")) for name in METRICS}
            found.append({"images_seen": line["images_seen"], **values, **floors})
    if not found:
        raise DataError(
            f"{run} has neither a two-sample test nor KID",
            "no evaluation in its metrics.jsonl",
            'Name a run with evaluate.metrics = ["kid", "two_sample"]',
        )
    return found
