"""Do the proteins of made cells go together as planted ones? Only synthetic yeast can tell."""

from collections.abc import Iterator
from pathlib import Path
from textwrap import fill

import numpy as np

from distgan.plots.figure_look import COLOURS, figure, tidy
from distgan.plots.figure_set import Asked, Drawn
from distgan.plots.heat_map import heat_map
from distgan.plots.score_folder import read_score

TOGETHER = "greens with each other, distance from the planted correlations"
STAGE = "greens with the stage, correlation of spread and length"
BASELINES = {"planted again": "black", "nearest in red": "0.5", "of different cells": "0.75"}


def joint(asked: Asked) -> Iterator[Drawn]:
    """How far correlations of two greens are from the planted ones, and those of each green with the stage."""
    scores = {name: read_score(Path(folder), "joint_greens") for name, folder in asked.settings.joint.items()}
    first = next(iter(scores.values()))
    measures = [row["measure"] for row in first[TOGETHER]]
    sources = {name: [row[name] for row in first[TOGETHER]] for name in BASELINES}
    sources |= {name: [row["made"] for row in score[TOGETHER]] for name, score in scores.items()}
    colours = BASELINES | {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(scores)}
    proteins = [row["protein"] for row in first[STAGE]]
    stage = {name: [row[name] for row in first[STAGE]] for name in ("planted", "nearest in red")}
    for name, score in scores.items():
        stage |= {
            f"{name}\n{of}": [row[key] for row in score[STAGE]] for key, of in (("made", "drawn"), ("films", "films"))
        }
    drawn = figure(10, 3.6)
    left, right = drawn.subplots(1, 2, width_ratios=(4, 0.9 * len(stage) + 1))
    for number, (name, values) in enumerate(sources.items()):
        places = np.arange(len(measures)) + 0.11 * (number - (len(sources) - 1) / 2)
        marker = "D" if name in BASELINES else "o"
        left.scatter(values, places, s=36, color=colours[name], marker=marker, label=name, lw=0, zorder=3)
    left.set_yticks(range(len(measures)), measures, fontsize=8)
    left.invert_yaxis()
    left.grid(axis="x", color="0.92")
    left.set_xlim(0, None)
    tidy(left, "mean difference from the planted rank correlations [no unit]", "", "greens with each other")
    left.tick_params(axis="y", labelsize=8)
    left.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.45, -0.22), ncols=3)
    table = np.asarray(list(stage.values()), np.float64).T
    texts = [[f"{value:.2f}" if np.isfinite(value) else "-" for value in line] for line in table]
    columns = ["\n".join(fill(line, 9, break_on_hyphens=False) for line in name.split("\n")) for name in stage]
    shown = heat_map(right, table, proteins, columns, texts, limits=(-1, 1), colours="RdBu_r")
    right.set_title("spread of each green with the length of the red", fontsize=9)
    bar = drawn.colorbar(shown, ax=right, pad=0.02)
    bar.set_label("rank correlation [no unit]", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    numbers = [
        {"of": "greens with each other", "measure": measure, "cells": name, "value": values[at]}
        for name, values in sources.items()
        for at, measure in enumerate(measures)
    ]
    numbers += [
        {"of": "greens with the stage", "measure": protein, "cells": name.replace("\n", ", "), "value": found[at]}
        for name, found in stage.items()
        for at, protein in enumerate(proteins)
    ]
    yield Drawn(
        "joint",
        "Do the proteins go together as they should?",
        f"{first['cells']} cells of each. Left: how far the correlations of every two greens are from the planted "
        "ones; other planted cells are as good as it gets, greens of different cells have nothing in common, and the "
        "greens of the training cell whose red is nearest need no model. Right: of each protein the correlation with "
        "the stage.",
        drawn,
        numbers,
    )
