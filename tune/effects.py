"""How much each key of a search moves a metric: means of its levels, their difference, and what chance would do.

A key of few values has these as levels; of an endless one they are the lowest, middle and highest third of its range.
Each level is compared with the first: the difference of the means of the metric at the end of the trials, and Hedges'
g, that difference in pooled standard deviations without the bias of few trials (Hedges 1981). Intervals hold 95 %, by
a bootstrap of the trials of each level, moved outwards for few trials (Hesterberg 2015, section 3.3). The other keys
differ between trials, too: of a random search or a grid that is noise, and no bias.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from distgan.config.search_sections import Domain, Tune, Value
from distgan.monitoring.terminal import table
from tune.catalogue import Catalogue, Trial, committed_images
from tune.intervals import expanded_percentiles
from tune.report import axis_position
from tune.space import Space

Floats = NDArray[np.float64]
Row = dict[str, Any]
MOST_LEVELS = 6
"""Keys of more values are cut into thirds."""
RESAMPLES = 5_000


def effects_of(catalogue: Catalogue, space: Space) -> list[Row]:
    """A row for every level of every key and metric of `tune.effects`, as JSON values.

    trials: how many ended with a number.  failed: how many did not see all their images, or ended without one.
    """
    trials = [trial for trial in catalogue.trials() if trial.result]
    rows = []
    for metric in space.tune.effects:
        values = {trial.number: _last(catalogue, trial, metric) for trial in trials}
        for key, domain in space.tune.space.items():
            points = {trial.number: trial.current[key] for trial in trials if key in trial.current}
            named = levels(points, domain)
            rows += [
                {"metric": metric, "key": key} | row
                for row in compared(
                    {name: [values[one] for one in own] for name, own in named.items()}, space.tune.seed
                )
            ]
    return rows


def levels(points: Mapping[int, Value], domain: Domain) -> dict[str, list[int]]:
    """The trials of each level, by its name.  points: the value of the key in each trial."""
    finite = domain.finite
    if finite is not None and len(finite) <= MOST_LEVELS:
        named = {json.dumps(value): [one for one, own in points.items() if own == value] for value in finite}
        return {name: own for name, own in named.items() if own}
    thirds: list[list[int]] = [[], [], []]
    for one, value in points.items():
        thirds[min(int(3 * axis_position(value, domain)), 2)].append(one)
    return {
        " to ".join(f"{end([float(points[one]) for one in own]):.2g}" for end in (min, max)): own
        for own in thirds
        if own
    }


def compared(found: Mapping[str, Sequence[float | None]], seed: int) -> list[Row]:
    """Each level against the first that has trials.  found: the metric of its trials, None of those that failed."""
    rows: list[Row] = []
    first: Floats | None = None
    for number, (name, given) in enumerate(found.items()):
        own = np.array([value for value in given if value is not None])
        row: Row = {"level": name, "trials": len(own), "failed": len(given) - len(own)}
        row |= {"mean": float(own.mean()) if len(own) else None, "difference": None, "low": None, "high": None}
        row["hedges_g"] = None
        if first is not None and len(own):
            row["difference"] = float(own.mean() - first.mean())
            if min(len(own), len(first)) > 1:
                row["low"], row["high"] = interval(own, first, seed, number)
                row["hedges_g"] = hedges_g(own, first)
        elif len(own):
            first = own
        rows.append(row)
    return rows


def hedges_g(one: Floats, other: Floats) -> float | None:
    """Difference of means in pooled standard deviations, corrected for few values; None where nothing varies."""
    freedom = len(one) + len(other) - 2
    pooled = np.sqrt(((len(one) - 1) * one.var(ddof=1) + (len(other) - 1) * other.var(ddof=1)) / freedom)
    return float((one.mean() - other.mean()) / pooled * (1 - 3 / (4 * freedom - 1))) if pooled else None


def interval(one: Floats, other: Floats, seed: int, number: int) -> tuple[float, float]:
    """Of the difference of means.  number: of the comparison, which draws resamples of its own."""
    random = np.random.Generator(np.random.Philox(key=[seed, number]))
    means = [random.choice(values, (RESAMPLES, len(values))).mean(1) for values in (one, other)]
    return expanded_percentiles(means[0] - means[1], min(len(one), len(other)))


def _last(catalogue: Catalogue, trial: Trial, metric: str) -> float | None:
    """The metric at the end of a trial that saw all its images."""
    assert trial.result is not None
    points = catalogue.reported(trial.number, (metric,)) if trial.result.state == "finished" else []
    at_end = points and points[-1].images_seen == committed_images(catalogue.run(trial.number))
    value = points[-1].values[0] if at_end else None
    return value if value is not None and np.isfinite(value) else None


def caution(rows: Sequence[Row], tune: Tune) -> str:
    """What must be said beside the table."""
    many = sum(row["low"] is not None for row in rows)
    said = f"95 % intervals, not corrected for the {many} comparisons: about {many / 20:.1f} miss zero by chance alone."
    if tune.searcher in ("tpe", "cmaes") or tune.scheduler != "none":
        said += (
            f" The searcher {tune.searcher!r} and the scheduler {tune.scheduler!r} choose by results, so that levels"
            " differ in more than chance: take a random search without scheduler to compare them."
        )
    return said


def as_text(rows: Sequence[Row], tune: Tune) -> str:
    """The tables of all metrics, for people."""
    parts = []
    for metric in tune.effects:
        own = [
            {name: _short(row[name]) for name in row if name not in ("metric", "low", "high")}
            | {"interval": "-" if row["low"] is None else f"[{_short(row['low'])}, {_short(row['high'])}]"}
            for row in rows
            if row["metric"] == metric
        ]
        parts.append(f"{metric}\n{table(own)}")
    return "\n\n".join([*parts, caution(rows, tune)])


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "-" if value is None else str(value)


def effects_figure(rows: Sequence[Row], metric: str) -> Figure:
    """The differences of a metric with their intervals, one below the other.  rows: those of the metric."""
    reference: dict[str, str] = {}
    for row in rows:
        if row["mean"] is not None:
            reference.setdefault(row["key"], row["level"])
    shown = [row for row in rows if row["low"] is not None][::-1]
    figure = Figure(figsize=(7.5, 1.2 + 0.32 * len(shown)), dpi=150, layout="constrained")
    axis = figure.subplots()
    axis.axvline(0, color="0.6", linewidth=0.8)
    for place, row in enumerate(shown):
        axis.plot((row["low"], row["high"]), (place, place), color="C0", linewidth=1.5)
        axis.plot(row["difference"], place, color="C0", marker="o", markersize=4)
    named = [f"{row['key']}: {row['level']} against {reference[row['key']]} ({row['trials']})" for row in shown]
    axis.set_yticks(range(len(shown)), named, fontsize=7)
    figure.supxlabel(f"difference of the mean {metric}, 95 % interval (in brackets: trials of the level)", fontsize=8)
    return figure
