"""Where the other channels of a cell are, and how they go together over many cells.

A cell's channels are measured one by one, so that a measure of one class can be compared with that of another that was
never photographed with it.
"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]
MEASURES = ("spread", "shift", "brightness")


def measured(cells: NDArray[np.floating]) -> dict[str, Floats]:
    """What is known of each channel but the first, the red one, of cells N K H W in [0, 1]: N K - 1 each.

    spread      standard deviation of its bright light along x, pixels
    shift       its centre minus that of the red along x, pixels
    brightness  mean over the image

    Bright is what is above half of a channel's range in its image.
    """
    centre, spread = _along_x(cells)
    return {
        "spread": spread[:, 1:],
        "shift": centre[:, 1:] - centre[:, :1],
        "brightness": cells[:, 1:].mean((2, 3), dtype=np.float64),
    }


def correlations(values: Floats) -> Floats:
    """Spearman's rank correlation of every two columns of N K: K K; NaN of a column that does not differ."""
    return between(values, values)


def between(one: Floats, other: Floats) -> Floats:
    """Spearman's rank correlation of the columns of N K with those of N L: K L; NaN of a constant column."""
    ranks = [_standard(rankdata(side, axis=0)) for side in (one, other)]
    found: Floats = ranks[0].T @ ranks[1] / len(one)
    return found


def apart(one: Floats, other: Floats) -> float:
    """Mean absolute difference of two matrices of correlations K K over the pairs of different columns; 0 is alike.

    Pairs without a correlation are left out; NaN where there are no others.

    >>> import numpy as np
    >>> apart(np.array([[1, 0.5], [0.5, 1]]), np.array([[1, -0.25], [-0.25, 1]]))
    0.75
    """
    upper = np.triu_indices(len(one), 1)
    difference = np.abs(one[upper] - other[upper])
    return float(np.nanmean(difference)) if np.isfinite(difference).any() else float("nan")


def pairs(names: tuple[str, ...], matrices: Mapping[str, Floats]) -> list[dict[str, object]]:
    """A row for every two names: their correlation in each matrix."""
    return [
        {"one": names[a], "other": names[b]} | {source: float(found[a, b]) for source, found in matrices.items()}
        for a, b in combinations(range(len(names)), 2)
    ]


def _along_x(cells: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Centre and standard deviation of the bright light of each channel, N K each, pixels."""
    low, high = (of((2, 3), keepdims=True) for of in (cells.min, cells.max))
    light = (cells - (low + high) / 2).clip(0).sum(2, dtype=np.float64)
    x = np.arange(cells.shape[3], dtype=np.float64)
    total = light.sum(2)
    total = np.where(total > 0, total, np.nan)
    centre = (light * x).sum(2) / total
    return centre, np.sqrt((light * np.square(x - centre[..., None])).sum(2) / total)


def _standard(ranks: Floats) -> Floats:
    deviation = ranks.std(0)
    found: Floats = (ranks - ranks.mean(0)) / np.where(deviation > 0, deviation, np.nan)
    return found
