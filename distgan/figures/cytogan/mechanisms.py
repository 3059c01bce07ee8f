"""Table 1: mechanisms of action found by the features of every model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from distgan.plots.figure_look import COLOURS, figure, legend, tidy
from distgan.plots.figure_set import Asked, Drawn
from storage.errors import DataError, MissingError

RULES = ("NSC", "NSCB")
NO_NETWORK = ("intensity", "classical")


def mechanisms(asked: Asked) -> Iterator[Drawn]:
    """Share of the treatments whose neighbour has their mechanism, of all models, with chance."""
    rows = list({_label(row): row for row in _all(asked)}.values())  # what needs no network is in every score
    if not rows:
        raise DataError("no score has such features", ", ".join(asked.settings.kinds), "Set figures.kinds")
    drawn = figure(7.6, 0.17 * len(rows) / len(RULES) + 1.2)
    axis = drawn.subplots()
    labels = list(dict.fromkeys(_label(row)[0] for row in rows))
    for number, rule in enumerate(RULES):
        of_rule = [row for row in rows if row["rule"] == rule]
        places = [labels.index(_label(row)[0]) + 0.4 * number for row in of_rule]
        axis.barh(places, [row["share"] for row in of_rule], 0.38, color=COLOURS[number], label=rule)
        if of_rule:
            axis.axvline(float(np.median([row["chance"] for row in of_rule])), color=COLOURS[number], lw=0.8, ls=":")
    axis.set_yticks(np.arange(len(labels)) + 0.2, labels, fontsize=6)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    tidy(axis, "treatments whose nearest neighbour has their mechanism (share)", "")
    axis.tick_params(axis="y", labelsize=6)
    legend(drawn, axis)
    told = rows[0]
    yield Drawn(
        "mechanisms",
        "Table 1: mechanisms of action",
        f"Of {told['of']} treatments. NSC: the neighbour is of another compound; NSCB: of another batch, too. Dotted: "
        "mechanisms dealt anew to the compounds.",
        drawn,
        rows,
    )


def _all(asked: Asked) -> Iterator[dict[str, Any]]:
    """The rows of all scores, those without a network last."""
    rows = [row for name, folder in asked.settings.scores.items() for row in _scored(name, Path(folder), asked)]
    yield from sorted(rows, key=lambda row: row["model"] == "")


def _label(row: dict[str, Any]) -> tuple[str, str]:
    """What a bar is called, and which of its two it is."""
    return f"{row['model']}: {row['features']}".removeprefix(": "), row["rule"]


def _scored(name: str, folder: Path, asked: Asked) -> Iterator[dict[str, Any]]:
    path = folder / "score.json"
    if not path.exists():
        raise MissingError(f"there is no score at {folder}", "no score.json", "Make it by distgan evaluate moa --out")
    for row in json.loads(path.read_text(encoding="utf-8"))["mechanisms found"]:
        if row["rule"] in RULES and row["features"].startswith(asked.settings.kinds):
            share = row["found"] / row["of"]
            kept = {key: row[key] for key in ("features", "rule", "found", "of", "chance")}
            yield {"model": "" if row["features"].startswith(NO_NETWORK) else name} | kept | {"share": share}
