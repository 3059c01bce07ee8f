"""Tables S8 and S9, where structures lie, and what they depend on: the folders of two scores, drawn."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from distgan.plots.figure_look import COLOURS, figure, legend, tidy
from distgan.plots.figure_set import Asked, Drawn, LeftOut
from distgan.plots.heat_map import heat_map
from distgan.plots.score_folder import read_score

ALL = "all"
Rows = Sequence[Mapping[str, Any]]


def classes(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """For each score: cells of each structure, what they are taken for, and how often that is right."""
    for number, (name, folder) in enumerate(asked.settings.scores.items()):
        facts = read_score(Path(folder), "cells")
        if "confusion" not in facts:
            yield LeftOut(f"Tables S8 and S9, {name}", "its model tells no structures")
            continue
        yield _classes(f"classes_{number + 1}", name, facts)


def _classes(file: str, name: str, facts: Mapping[str, Any]) -> Drawn:
    kinds = [row["structure"] for row in facts["confusion"]]
    drawn = figure(10, 0.42 * len(kinds) + 1.6)
    counts, matrix, right = drawn.subplots(1, 3, width_ratios=(2.6, 3.2, 2.6))
    of = [row for row in facts["classes"] if row["structure"] in kinds]
    sets = [key for key in of[0] if key not in {"structure", "total"}]
    begin = np.zeros(len(of))
    for number, which in enumerate(sets):
        wide = np.asarray([row[which] for row in of])
        counts.barh(range(len(of)), wide, left=begin, height=0.7, color=COLOURS[number], label=which)
        begin += wide
    counts.set_yticks(range(len(of)), kinds, fontsize=8)
    counts.invert_yaxis()
    tidy(counts, "cells", "", "cells of each structure")
    counts.legend(fontsize=7, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.18))
    found = np.asarray([[row[kind] for kind in kinds] for row in facts["confusion"]], np.float64)
    shares = found / np.maximum(found.sum(1, keepdims=True), 1)
    texts = [[f"{count:.0f}" if count else "" for count in line] for line in found]
    heat_map(matrix, shares, kinds, kinds, texts, limits=(0, 1), colours="Blues", size=8)
    matrix.set_xticks(range(len(kinds)), kinds, rotation=30, ha="right", rotation_mode="anchor")
    matrix.set_xlabel("structure that is said [held-out cells]", fontsize=8)
    matrix.set_ylabel("structure that it is", fontsize=8)
    matrix.set_title("confusion", fontsize=9)
    measure = "balanced accuracy"
    for place, row in enumerate(facts["accuracy"]):
        _bar(right, place, row, measure, COLOURS[0] if row["by"] == "encoder" else "0.6")
    right.set_yticks(range(len(facts["accuracy"])), [row["by"] for row in facts["accuracy"]], fontsize=8)
    right.set_ylim(len(facts["accuracy"]) - 0.4, -0.6)
    right.set_xlim(0, 1.02)
    right.axvline(1 / len(kinds), color="0.4", lw=0.9, ls=":")
    tidy(right, "balanced accuracy [share]", "", "who tells structures")
    right.tick_params(axis="y", labelsize=8)
    return Drawn(
        file,
        f"Tables S8 and S9: structures, and what they are taken for, {name}",
        f"{facts['held-out cells']} held-out cells. Left: cells of each structure in each set. Middle: shares of a "
        "line as colours. Right: the model's encoder; a logistic regression on mean and deviation of each channel; "
        "and the commonest structure. Lines are 95 % over resampled cells, dotted is chance.",
        drawn,
        [{**row} for row in facts["accuracy"]],
    )


def _bar(axis: Axes, place: float, row: Mapping[str, Any], key: str, colour: str) -> None:
    axis.barh(place, row[key], 0.6, color=colour)
    if row[f"{key} low"] is not None:
        axis.plot((row[f"{key} low"], row[f"{key} high"]), (place, place), color="black", lw=1.2)


def together(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """Correlation of each structure with each reference channel: real, likeliest and drawn ones."""
    for number, (name, folder) in enumerate(asked.settings.scores.items()):
        facts = read_score(Path(folder), "cells")
        if "colocalisation" not in facts:
            yield LeftOut(f"Where structures lie, {name}", "its model makes no structures")
            continue
        rows = facts["colocalisation"]
        drawn = _dots(rows, "channel", ("real", "likeliest", "drawn"), "correlation with {} [no unit]")
        yield Drawn(
            f"together_{number + 1}",
            f"Where structures lie, {name}",
            f"Correlation over pixels of each structure with each reference channel in {facts['held-out cells']} "
            "held-out cells: real; the likeliest one of the model (z of the structure 0); and drawn ones. Lines are "
            "95 %.",
            drawn,
            rows,
        )


def dependence(asked: Asked) -> Iterator[Drawn]:
    """What a predicted structure loses where a reference channel is another cell's."""
    for number, (name, folder) in enumerate(asked.settings.dependence.items()):
        facts = read_score(Path(folder), "dependence")
        rows = facts["scores"]
        yield Drawn(
            f"dependence_{number + 1}",
            f"What a structure depends on, {name}",
            f"How much less the predicted structure correlates with the cell's own where a channel is another held-out "
            f"cell's, of {facts['held-out cells']} cells; 0: the channel was worth nothing. Lines are 95 %.",
            _dots(rows, "exchanged", ("drop",), "correlation lost without\nits own {} [no unit]"),
            rows,
        )


def _dots(rows: Rows, by: str, series: Sequence[str], label: str) -> Any:
    """A panel for each value of a column, a line for each structure, a dot with its 95 % for each of the series."""
    panels = list(dict.fromkeys(row[by] for row in rows))
    kinds = list(dict.fromkeys(row["structure"] for row in rows))
    drawn = figure(3.0 * len(panels) + 1.0, 0.36 * len(kinds) + 1.5)
    axes = drawn.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    for axis, panel in zip(axes, panels, strict=True):
        own = {row["structure"]: row for row in rows if row[by] == panel}
        for number, name in enumerate(series):
            lift = 0.2 * (number - (len(series) - 1) / 2)
            known = [(place, own[kind]) for place, kind in enumerate(kinds) if kind in own]
            for place, row in known:
                if row[f"{name} low"] is not None:
                    limits = row[f"{name} low"], row[f"{name} high"]
                    axis.plot(limits, (place + lift, place + lift), color=COLOURS[number], lw=1.4)
            values, places = [row[name] for _, row in known], [place + lift for place, _ in known]
            axis.scatter(values, places, s=22, color=COLOURS[number], label=name, zorder=3, lw=0)
        axis.axvline(0, color="0.6", lw=0.8)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        if ALL in kinds and len(kinds) > 1:
            axis.axhline(kinds.index(ALL) - 0.5, color="0.8", lw=0.8)
        tidy(axis, label.format(panel), "")
        axis.tick_params(axis="y", labelsize=8)
    axes[0].set_yticks(range(len(kinds)), kinds)
    axes[0].invert_yaxis()
    if len(series) > 1:
        legend(drawn, axes[0])
    return drawn
