"""How the channels of an image go together: the correlation of every two of them, image by image."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]


def pairs(channels: int) -> list[tuple[int, int]]:
    """Every two channels, in the order of what `correlations` returns."""
    return list(combinations(range(channels), 2))


def correlations(images: NDArray[np.floating]) -> Floats:
    """Pearson's, over the pixels of each image: N C H W -> N P, P = C (C - 1) / 2; NaN where a channel is constant."""
    pixels = images.reshape(*images.shape[:2], -1).astype(np.float64)
    pixels = pixels - pixels.mean(2, keepdims=True)
    norms = np.linalg.norm(pixels, axis=2)
    found = np.full((len(images), len(pairs(images.shape[1]))), np.nan)
    for place, (one, other) in enumerate(pairs(images.shape[1])):
        scale = norms[:, one] * norms[:, other]
        np.divide((pixels[:, one] * pixels[:, other]).sum(1), scale, out=found[:, place], where=scale > 0)
    return found


def apart(one: Floats, other: Floats) -> float:
    """How far two sets of correlations, N and M, lie from each other: Wasserstein's distance, in units of correlation.

    0 is alike, 2 the most there can be; NaN where a side has none.

    >>> import numpy as np
    >>> apart(np.array([0.1, 0.3]), np.array([0.6, 0.8, np.nan]))
    0.5
    """
    one, other = (side[np.isfinite(side)] for side in (one, other))
    return float(stats.wasserstein_distance(one, other)) if len(one) and len(other) else float("nan")
