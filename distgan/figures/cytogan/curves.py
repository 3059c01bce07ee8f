"""How near and how different samples are along training: of one run each, and of families over seeds."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distgan.monitoring.tracking import read_lines
from distgan.plots.figure_look import COLOURS, figure, grouped, legend, tidy
from distgan.plots.figure_set import Asked, Drawn
from storage.errors import DataError

METRICS = {
    "kid": "KID",
    "diversity/spread": "distance between samples\n/ between real cells",
    "diversity/coverage": "real cells covered (share)",
}
COLLAPSED = 0.5
"""A training has collapsed if its samples end less than half as far apart as real cells, or half of them are copies."""
Row = dict[str, Any]


def along(asked: Asked) -> Iterator[Drawn]:
    """KID with its floor, spread and coverage of single runs."""
    rows: list[Row] = []
    for name, run in asked.settings.runs.items():
        rows += [{"run": name} | row for row in _history(asked.kept("runs", run))]
    names = list(asked.settings.runs)
    drawn = figure(9.0, 3.2)
    for axis, (metric, label) in zip(drawn.subplots(1, 3), METRICS.items(), strict=True):
        for number, name in enumerate(names):
            seen, values = _line([row for row in rows if row["run"] == name], metric)
            axis.plot(seen, values, marker=".", ms=4, lw=1, color=_colour(number), ls=_dash(number), label=name)
        tidy(axis, "images seen", label)
        if metric == "kid":
            axis.set_yscale("log")
            floors = [row["floor"] for row in rows if row["floor"] > 0]
            if floors:
                axis.axhline(float(np.median(floors)), color="0.5", lw=0.8, ls=":")
        else:
            axis.axhline(1.0, color="0.5", lw=0.8, ls=":")
            axis.set_ylim(0, None)
    legend(drawn, axis)
    yield Drawn(
        "along",
        "Distance and variety along training",
        "Left: KID to held-out cells, dotted what training cells get (the median over runs). Middle and right: 1 is as "
        "real cells are.",
        drawn,
        rows,
    )


def families(asked: Asked) -> Iterator[Drawn]:
    """Every seed thin and the mean of a family thick; and how many seeds of each collapsed."""
    trials = [one for name in asked.settings.searches for one in _trials(asked.kept("searches", name))]
    rows = [{"family": family, "seed": seed} | row for family, seed, run in trials for row in _history(run)]
    drawn = figure(9.0, 3.2)
    of_family = grouped(rows, "family")
    for axis, (metric, label) in zip(drawn.subplots(1, 3), METRICS.items(), strict=True):
        for number, ((family,), found) in enumerate(of_family.items()):
            colour = _colour(number)
            for one in grouped(found, "seed").values():
                axis.plot(*_line(one, metric), lw=0.5, color=colour, alpha=0.5)
            at = grouped(found, "images_seen")
            means = {seen: np.nanmean([row[metric] for row in some]) for (seen,), some in at.items() if seen}
            axis.plot(list(means), list(means.values()), ".-", ms=4, lw=1.6, color=colour, label=family)
        tidy(axis, "images seen", label)
        if metric == "kid":
            axis.set_yscale("log")
        else:
            axis.axhline(1.0, color="0.5", lw=0.8, ls=":")
            axis.set_ylim(0, None)
    legend(drawn, axis)
    told = [f"{family} {_collapsed(found)}" for (family,), found in of_family.items()]
    yield Drawn(
        "families",
        "Variety of families over seeds",
        f"Thin lines are seeds, thick ones their mean. Collapsed at the end (spread below {COLLAPSED:g}, or more than "
        f"half of the samples copies of another): {', '.join(told)}.",
        drawn,
        rows,
    )


def _collapsed(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many seeds of a family have, at their last evaluation."""
    ends = [max(some, key=lambda row: row["images_seen"]) for some in grouped(rows, "seed").values()]
    lost = sum(end["diversity/spread"] < COLLAPSED or end["diversity/duplicates"] > 1 - COLLAPSED for end in ends)
    return f"{lost} of {len(ends)}"


def _history(run: Path) -> list[Row]:
    """The evaluations of a run.  Raises DataError: it has none of KID."""
    floor, found = float("nan"), []
    for line in read_lines(run):
        metrics = line.get("metrics", {})
        floor = metrics.get("kid_floor", floor)
        if "kid" in metrics:
            known = {name: metrics.get(name, float("nan")) for name in (*METRICS, "diversity/duplicates")}
            found.append({"images_seen": line["images_seen"], "floor": floor, **known})
    if not found:
        raise DataError(
            f"{run} has no KID", "no evaluation in its metrics.jsonl", "Name a run with evaluate.metrics kid"
        )
    return found


def _trials(search: Path) -> Iterator[tuple[str, int, Path]]:
    """Family, seed and folder of each trial that has ended."""
    recipe = json.loads((search / "search.json").read_text(encoding="utf-8"))["recipe"]
    for folder in sorted(search.glob("trials/*")):
        if (folder / "result.json").exists():
            point = json.loads((folder / "trial.json").read_text(encoding="utf-8"))["point"]
            method = recipe["method"] | {key.removeprefix("method."): value for key, value in point.items()}
            family = f"{method['name']} with a penalty" if method.get("penalty") else method["name"]
            yield family, point.get("run.seed", 0), folder


def _line(rows: Sequence[Mapping[str, Any]], metric: str) -> tuple[list[int], list[float]]:
    """Without the untrained network, whose KID would flatten all others."""
    known = [row for row in rows if row["images_seen"] and np.isfinite(row[metric])]
    return [row["images_seen"] for row in known], [row[metric] for row in known]


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _dash(number: int) -> str:
    return "-" if number < len(COLOURS) else "--"
