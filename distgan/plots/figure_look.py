"""What the figures of papers have in common: colours, axes, panels of pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

SCRATCH, TRANSFER = "#3b7dbf", "#2e9d62"
"""Blue from scratch, green from the critic, as in Wang et al."""
COLOURS = (SCRATCH, TRANSFER, "#d1742f", "#8a5fb5", "#b5485d", "#6b6b6b", "#2b9aa8", "#a8a02b", "#d98bb0", "#7a5230")
"""Of variants, in their order; there may be others than these two."""
Floats = NDArray[np.floating[Any]]


def figure(width: float, height: float) -> Figure:
    """Inches."""
    return Figure(figsize=(width, height), dpi=150, layout=ConstrainedLayoutEngine(wspace=0.05, hspace=0.05))


def tidy(axis: Axes, x: str, y: str, title: str = "") -> None:
    """Labels with units, and no more lines than needed."""
    axis.set_xlabel(x, fontsize=8)
    axis.set_ylabel(y, fontsize=8)
    axis.set_title(title, fontsize=9)
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)


def mosaic(pictures: Floats, columns: int, edge: int) -> Floats:
    """N H W -> H' W', in rows, enlarged to about `edge` pixels each, with what is no number between them."""
    times = max(1, edge // max(pictures.shape[1:]))
    pictures = pictures.repeat(times, axis=1).repeat(times, axis=2)
    count, height, width = pictures.shape
    gap = max(1, edge // 8)
    rows = -(-count // columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for number, one in enumerate(pictures):
        y, x = number // columns * (height + gap), number % columns * (width + gap)
        canvas[y : y + height, x : x + width] = one
    return canvas


def picture(axis: Axes, pixels: Floats, low: float, high: float, title: str = "", colours: str = "gray") -> Any:
    """An image Y X without axes; what is no number is white."""
    shown = axis.imshow(pixels, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
    axis.set_axis_off()
    axis.set_title(title, fontsize=8)
    return shown


def spread(values: Sequence[float] | Floats) -> float:
    """The standard deviation of a sample; 0 of one value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def grouped(rows: Sequence[Mapping[str, Any]], *keys: str) -> dict[tuple[Any, ...], list[Mapping[str, Any]]]:
    """Rows of equal values of these keys, in the order in which they come."""
    found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    return found


def legend(drawn: Figure, axis: Axes) -> None:
    """One for all axes, below them, in as many columns up to four as there is room for."""
    handles, labels = axis.get_legend_handles_labels()
    points = 30 + 4 * max(map(len, labels), default=0)  # of a column in letters of 7
    columns = max(1, min(4, int(72 * drawn.get_figwidth() / points)))
    drawn.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=7, frameon=False)
