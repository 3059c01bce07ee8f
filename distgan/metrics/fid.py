"""Fréchet distance of features (Heusel et al. 2017), and what it would be of endlessly many images.

It is biased: few images look worse than many, so that only distances of equally many images in the same features can
be compared, and none means much without the distance of as many real images (the floor).
"""

from dataclasses import dataclass

import numpy as np

from distgan.metrics.kid import Features

SIZES = 15
"""Numbers of images through which the line is laid, as Chong and Forsyth did."""
DRAWS = 8
LEAST = 2
"""Images for each feature; with fewer, the covariance has no full rank and the bias is no line."""


@dataclass(frozen=True)
class Extrapolated:
    """The distance at 1/N = 0, and the standard deviation of that among the draws."""

    value: float
    deviation: float


def frechet_distance(one: Features, other: Features) -> float:
    """|m - n|^2 + Tr(S + T - 2 (S T)^1/2) of the means and covariances of N D and M D (Dowson and Landau 1982).

    Raises ValueError: fewer than two samples on a side.

    >>> import numpy as np
    >>> round(frechet_distance(np.array([[-1.0], [1.0]]), np.array([[1.0], [5.0]])), 6)  # 3^2 + (sqrt(2) - sqrt(8))^2
    11.0
    """
    if min(len(one), len(other)) < 2:
        raise ValueError(f"a covariance needs two samples, found {len(one)} and {len(other)}")
    apart = one.mean(0) - other.mean(0)
    first, second = (np.atleast_2d(np.cov(side, rowvar=False)) for side in (one, other))
    variances, directions = np.linalg.eigh(first)
    root = (directions * np.sqrt(np.clip(variances, 0, None))) @ directions.T
    # The product has the eigenvalues of this, which is symmetric: no matrix root, and nothing imaginary.
    crossed = np.clip(np.linalg.eigvalsh(root @ second @ root), 0, None)
    return float(apart @ apart + np.trace(first) + np.trace(second) - 2 * np.sqrt(crossed).sum())


def extrapolated(one: Features, other: Features, seed: int = 0) -> Extrapolated | None:
    """The distance without its bias, which falls as 1/N: a line through several N (Chong and Forsyth 2020, FID_inf).

    Both sides are drawn from without replacement.  Returns None: there are fewer than 2 `LEAST` D samples on a side.
    """
    most, least = min(len(one), len(other)), LEAST * one.shape[1]
    if most < 2 * least:
        return None
    sizes = np.linspace(least, most, SIZES).astype(int)
    found = []
    for draw in range(DRAWS):
        random = np.random.Generator(np.random.Philox(key=[seed, draw]))
        values = [
            frechet_distance(*(side[random.permutation(len(side))[:size]] for side in (one, other))) for size in sizes
        ]
        found.append(np.polyfit(1 / sizes, values, 1)[1])
    return Extrapolated(float(np.mean(found)), float(np.std(found, ddof=1)))
