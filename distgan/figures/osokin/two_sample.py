"""Tables 1 and 2: proteins against each other, and models against held-out cells, by fresh critics."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from distgan.plots.figure_look import figure
from distgan.plots.figure_set import Asked, Drawn
from distgan.plots.heat_map import heat_map
from distgan.plots.score_folder import read_score

TRAINING = "training images"
CHANNELS = {"all": "all channels", "first": "red alone"}
ROWS, UNIT = "held-out cells", "median score (less is more alike) [no unit]"
Rows = list[dict[str, Any]]


def of_classes(asked: Asked) -> Iterator[Drawn]:
    """Table 1: training cells of each protein in the place of made ones, against held-out cells of each."""
    facts = read_score(Path(asked.settings.classes), "two_sample")
    rows = [{"held out": row["class"], "training": row["of"]} | _kept(row) for row in facts["scores"]]
    yield _drawn(
        "classes",
        "Table 1: two-sample test of proteins against each other",
        "held-out cells (below each other) against training cells (beside each other) of each protein; the diagonal "
        "is as alike as it gets.",
        rows,
        ("held out", "training"),
        facts["settings"],
    )


def of_models(asked: Asked) -> Iterator[Drawn]:
    """Table 2: the cells of each model, and training cells in their place, by protein."""
    rows: Rows = []
    for name, folder in asked.settings.scores.items():
        facts = read_score(Path(folder), "two_sample")
        for row in facts["scores"]:
            model = name if row["of"] == "made" else TRAINING
            if model == name or not any(old["model"] == TRAINING and _same(old, row) for old in rows):
                rows.append({"protein": row["class"], "model": model} | _kept(row))
    order = [TRAINING, *asked.settings.scores]
    rows.sort(key=lambda row: order.index(row["model"]))
    yield _drawn(
        "models",
        "Table 2: two-sample test of models against held-out cells",
        "the cells of each model against held-out ones, and beside them training cells, as alike as it gets; red "
        "alone is the baseline of each.",
        rows,
        ("protein", "model"),
        facts["settings"],
    )


def _same(old: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    return (old["protein"], old["critic"], old["channels"]) == (row["class"], row["critic"], row["channels"])


def _kept(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("critic", "channels", "median", "mad", "mean", "sd", "auc")}


def _drawn(name: str, title: str, told: str, rows: Rows, axes: tuple[str, str], settings: Mapping[str, Any]) -> Drawn:
    """A panel for each critic and set of channels; those of one critic have one scale."""
    down, beside = axes
    lines, columns = (list(dict.fromkeys(row[key] for row in rows)) for key in axes)
    panels = list(dict.fromkeys((row["critic"], row["channels"]) for row in rows))
    several = settings["splits"] * settings["repeats"] > 1
    wide = 0.85 * len(columns) + 0.3
    drawn = figure(wide * len(panels) + 1.9, 0.42 * len(lines) + 1.7)
    grid = drawn.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for number, (axis, panel) in enumerate(zip(grid, panels, strict=True)):
        values = np.full((len(lines), len(columns)), np.nan)
        texts = [[""] * len(columns) for _ in lines]
        of_critic = [row["median"] for row in rows if row["critic"] == panel[0]]
        for row in rows:
            if (row["critic"], row["channels"]) == panel:
                at = lines.index(row[down]), columns.index(row[beside])
                values[at] = row["median"]
                texts[at[0]][at[1]] = f"{row['median']:.1f}" + (f"\n± {row['mad']:.1f}" if several else "")
        names = [fill(one, 10) for one in columns]
        shown = heat_map(axis, values, lines, names, texts, limits=(min(of_critic), max(of_critic)), size=7)
        axis.set_title(f"{panel[0].replace('_', '-').upper()} critic, {CHANNELS[panel[1]]}", fontsize=8)
        axis.set_xlabel("training cells" if name == "classes" else "cells of", fontsize=8)
        if number == 0:
            axis.set_ylabel(ROWS, fontsize=8)
        if number == len(panels) - 1 or panels[number + 1][0] != panel[0]:
            bar = drawn.colorbar(shown, ax=axis, pad=0.02)
            bar.set_label(UNIT, fontsize=7)
            bar.ax.tick_params(labelsize=6)
    told += (
        f" Medians and median absolute deviations over {settings['splits']} splits of the held-out cells and "
        f"{settings['repeats']} critics each, {settings['steps']:,} steps (the paper: 10 splits, 5,000 steps). "
        "A WGAN-GP score has the penalty in it and may be negative."
    )
    return Drawn(name, title, told[0].upper() + told[1:], drawn, rows)
