"""Tables as colours: numbers in their places, legible on whatever is below them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
DARK = 0.5
"""Luminance below which what stands on a colour is white."""


def heat_map(
    axis: Axes,
    values: Floats,
    rows: Sequence[str],
    columns: Sequence[str],
    texts: Sequence[Sequence[str]],
    *,
    limits: tuple[float, float] | None = None,
    colours: str = "YlGnBu",
    size: float = 7,
) -> Any:
    """Values R C and what is written on each; what is no number is left white.  Returns what a colour bar is made of.

    limits: of the colours, by default of the values.  size: of all letters but the smallest, in points.
    """
    known = values[np.isfinite(values)]
    low, high = limits or (float(known.min()), float(known.max()))
    scale = Normalize(low, high if high > low else low + 1)
    shown = axis.imshow(values, cmap=colours, norm=scale, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        shade = colormaps[colours](scale(value))[:3] if np.isfinite(value) else (1, 1, 1)
        colour = "white" if np.dot(shade, (0.2126, 0.7152, 0.0722)) < DARK else "black"
        axis.text(column, row, texts[row][column], ha="center", va="center", fontsize=size, color=colour)
    axis.set_xticks(range(len(columns)), columns, fontsize=size)
    axis.set_yticks(range(len(rows)), rows, fontsize=size)
    axis.set_xticks(np.arange(len(columns) - 1) + 0.5, minor=True)
    axis.set_yticks(np.arange(len(rows) - 1) + 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=1.5)
    axis.tick_params(which="both", length=0)
    axis.spines[:].set_visible(False)
    return shown
