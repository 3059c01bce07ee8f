"""Figure S3: what is lowered along training, and how well held-out cells are made again."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from distgan.monitoring.tracking import read_lines
from distgan.plots.figure_look import COLOURS, figure, tidy
from distgan.plots.figure_set import Asked, Drawn
from storage.errors import DataError

LOSS = "loss/"


def along(asked: Asked) -> Iterator[Drawn]:
    """A column for each run.  Raises DataError: it has no losses."""
    runs = {name: read_lines(asked.kept("runs", run)) for name, run in asked.settings.runs.items()}
    drawn = figure(max(3.3 * len(runs), 4.5), 5.6)
    axes = drawn.subplots(2, len(runs), squeeze=False, sharex="col", height_ratios=(3, 2))
    numbers: list[dict[str, Any]] = []
    for column, (name, lines) in enumerate(runs.items()):
        rows = [
            {"run": name, "images_seen": line["images_seen"], "metric": metric, "value": value}
            for line in lines
            for metric, value in line.get("metrics", {}).items()
            if metric.startswith(LOSS) or metric in {"psnr", "psnr_mean"}
        ]
        losses = list(dict.fromkeys(row["metric"] for row in rows if row["metric"].startswith(LOSS)))
        if not losses:
            raise DataError(f"{name} has no losses", "no loss/ in its metrics.jsonl", "Name a run of a model of cells")
        numbers += rows
        for number, loss in enumerate(losses):
            seen, values = _line(rows, loss)
            label = loss.removeprefix(LOSS).replace("_", " ")
            style = {"color": COLOURS[number % len(COLOURS)], "ls": "-" if number < len(COLOURS) else "--"}
            axes[0, column].plot(seen, values, lw=1.1, label=label, **style)
        axes[0, column].set_yscale("log")
        axes[0, column].tick_params(which="minor", labelsize=6)
        tidy(axes[0, column], "", "weighted terms [no unit]" if column == 0 else "", name)
        axes[0, column].legend(fontsize=6, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.03), ncols=3)
        seen, values = _line(rows, "psnr")
        axes[1, column].plot(seen[1:], values[1:], ".-", color="black", lw=1.2, label="held-out cells")
        for level in _line(rows, "psnr_mean")[1][-1:]:
            axes[1, column].axhline(level, color="0.5", lw=0.9, ls=":", label="mean training image")
        tidy(axes[1, column], "cells seen [thousands]", "PSNR [dB]" if column == 0 else "")
        axes[1, column].legend(fontsize=6, frameon=False)
    yield Drawn(
        "along",
        "Figure S3: training curves",
        "Above: the terms that are lowered, with their weights, as the run noted them (cross-entropies in nats, "
        "squared errors of a beta-VAE); below: signal-to-noise of held-out cells made again, dotted that of the mean "
        "training image. The untrained networks are in the table alone.",
        drawn,
        numbers,
    )


def _line(rows: list[dict[str, Any]], metric: str) -> tuple[list[float], list[float]]:
    own = [row for row in rows if row["metric"] == metric and np.isfinite(row["value"])]
    return [row["images_seen"] / 1000 for row in own], [row["value"] for row in own]
