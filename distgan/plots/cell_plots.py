"""What is measured of cells -> matplotlib figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from distgan.metrics.classification import Floats


def confusion(classes: Sequence[str], matrix: Floats, title: str) -> Figure:
    """Cells of each structure (rows) that were said to be of each (columns)."""
    size = 2.0 + 0.45 * len(classes)
    figure = Figure(figsize=(size + 0.8, size), dpi=150, layout="constrained")
    axis = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axis.text(column, row, f"{count:.0f}", ha="center", va="center", fontsize=7, color=colour)
    axis.set_xticks(range(len(classes)), classes, rotation=45, ha="right", fontsize=7)
    axis.set_yticks(range(len(classes)), classes, fontsize=7)
    axis.set_xlabel("structure that is said [cells]", fontsize=8)
    axis.set_ylabel("structure that it is [cells]", fontsize=8)
    axis.set_title(title, fontsize=8)
    return figure


def drops(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """What the correlation of each structure loses with each channel, with 95 %."""
    return _bars(rows, "exchanged", ("drop",), "correlation lost when the channel\nis another cell's [no unit]")


def colocalisation(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Correlation of each structure with each reference channel: real cells, and made ones."""
    label = "correlation with the channel [no unit]"
    return _bars(rows, "channel", ("real", "likeliest", "drawn"), label)


def spreads(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """How far drawn structures spread in one cell, and real ones between cells."""
    figure = Figure(figsize=(2.0 + 0.9 * len(rows), 3.2), dpi=150, layout="constrained")
    axis = figure.subplots()
    _grouped(axis, rows, ("spread", "error", "real spread"))
    axis.set_ylabel("root mean square over pixels\n[light from 0 to 1]", fontsize=8)
    return figure


def _bars(rows: Sequence[Mapping[str, Any]], by: str, series: Sequence[str], label: str) -> Figure:
    """A panel for each value of a column, with a group of bars for each structure."""
    panels = list(dict.fromkeys(row[by] for row in rows))
    wide = 1.2 + 0.45 * max(1, len(rows) // len(panels)) * (0.5 + 0.3 * len(series))
    figure = Figure(figsize=(wide * len(panels), 3.2), dpi=150, layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        _grouped(axis, [row for row in rows if row[by] == panel], series)
        axis.set_title(panel, fontsize=8)
    axes[0].set_ylabel(label, fontsize=8)
    return figure


def _grouped(axis: Axes, rows: Sequence[Mapping[str, Any]], series: Sequence[str]) -> None:
    places, width = np.arange(len(rows)), 0.8 / len(series)
    for number, name in enumerate(series):
        values = np.array([np.nan if row[name] is None else row[name] for row in rows], np.float64)
        at = places + (number - (len(series) - 1) / 2) * width
        axis.bar(at, values, width, label=name)
        limits = [(row.get(f"{name} low"), row.get(f"{name} high")) for row in rows]
        for x, (low, high) in zip(at, limits, strict=True):
            if low is not None and high is not None:
                axis.plot([x, x], [low, high], color="black", linewidth=1)
    axis.axhline(0, color="0.6", linewidth=0.8)
    axis.set_xticks(places, [row["structure"] for row in rows], rotation=45, ha="right", fontsize=7)
    axis.set_xlabel("structure", fontsize=8)
    if len(series) > 1:
        axis.legend(fontsize=7)
