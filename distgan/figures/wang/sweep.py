"""A `[fractions]` sweep of classifiers, as figures 9 and 10 draw it."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distgan.monitoring.tracking import read_lines
from distgan.plots.figure_look import spread
from distgan.plots.figure_set import Asked
from storage.errors import DataError, MissingError

PLAN = "plan.json"
Row = dict[str, Any]


@dataclass(frozen=True)
class Sweep:
    """variants: in their order.  shares: of which there are results, falling.  metrics: by what people call them.

    ends: a row for each training that ended.  history: one for each of its evaluations.  planned: how many trainings.
    majority: accuracy of who always says the most frequent class; NaN where it was not measured.  sources: digests.
    """

    variants: tuple[str, ...]
    shares: tuple[float, ...]
    metrics: dict[str, str]
    ends: list[Row]
    history: list[Row]
    planned: int
    majority: float
    sources: dict[str, str]

    @property
    def told(self) -> str:
        """How much there is of it."""
        repeats = len({(row["repeat"], row["fold"]) for row in self.ends})
        left = self.planned - len(self.ends)
        return f"{repeats} repeats" + (f"; {left} of {self.planned} trainings have no result" if left else "")


def read_sweep(asked: Asked) -> Sweep:
    """The sweep of the settings.

    Raises MissingError: there is none.  Raises DataError: nothing of it has been trained, or it trained no classifier.
    """
    folder = asked.kept("sweeps", asked.settings.sweep)
    if not (folder / PLAN).exists():
        raise MissingError(f"{folder} is no sweep", f"no {PLAN}", "Name one of distgan tune with [fractions]")
    plan = _read(folder / PLAN)
    if "positive" not in plan["recipe"]["method"]:
        raise DataError(f"{folder} trained no classifier", plan["recipe"]["method"]["name"], "Name another sweep")
    positive = plan["recipe"]["method"]["positive"]
    of = re.sub(r"[^\w.\-]", "_", positive)
    metrics = {
        "accuracy": "accuracy",
        f"precision of {positive}": f"{of}/precision",
        f"recall of {positive}": f"{of}/recall",
    }
    ends, history, majority = [], [], []
    for one in plan["members"]:
        result = folder / "results" / f"{one['name']}.json"
        if not result.exists():
            continue
        known = {key: one[key] for key in ("variant", "share", "labels", "repeat", "fold")}
        found = _read(result)["metrics"]
        ends.append(known | {name: found.get(key, np.nan) for name, key in metrics.items()})
        for line in read_lines(folder / "members" / one["name"]):
            values = line.get("metrics", {})
            if "accuracy" in values:
                seen = {"images_seen": line["images_seen"]}
                history.append(known | seen | {name: values.get(key, np.nan) for name, key in metrics.items()})
                majority += [values["majority/accuracy"]] if "majority/accuracy" in values else []
    if not ends:
        raise DataError(f"nothing of {folder} is trained", "no results", "Train it by distgan tune")
    variants = tuple(dict.fromkeys(one["variant"] for one in plan["members"]))
    shares = tuple(sorted({one["share"] for one in ends}, reverse=True))
    always = float(np.mean(majority)) if majority else float("nan")
    sources = {"plan": hashlib.sha256((folder / PLAN).read_bytes()).hexdigest()}
    return Sweep(variants, shares, metrics, ends, history, len(plan["members"]), always, sources)


def summary(rows: Sequence[Mapping[str, Any]], variant: str, metric: str) -> Row:
    """Mean and standard deviation of a metric over trainings of one variant and share."""
    known = [row[metric] for row in rows if np.isfinite(row[metric])]
    mean = float(np.mean(known)) if known else float("nan")
    about = {"variant": variant, "share": rows[0]["share"], "labels": float(np.mean([row["labels"] for row in rows]))}
    return about | {"metric": metric, "mean": mean, "spread": spread(known), "trainings": len(known)}


def over_repeats(rows: Sequence[Row], metric: str) -> tuple[Any, Any, Any]:
    """Images seen, rising, and of the trainings that have a value there mean and standard deviation."""
    points: dict[int, list[float]] = {}
    for row in rows:
        if np.isfinite(row[metric]):
            points.setdefault(row["images_seen"], []).append(row[metric])
    seen = sorted(points)
    return (
        np.asarray(seen),
        np.asarray([np.mean(points[at]) for at in seen]),
        np.asarray([spread(points[at]) for at in seen]),
    )


def labels_of(rows: Sequence[Row], share: float) -> str:
    """How many labels a share is, on average."""
    return f"{np.mean([row['labels'] for row in rows if row['share'] == share]):,.0f} labels"


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
