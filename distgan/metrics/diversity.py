"""How different samples are from one another, against how different real images are, in whatever features are given."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 5
"""A sample covers a real image if it is no farther than that image's fifth neighbour among the real ones."""
COPY = 0.1
"""Two samples are copies below this share of the median distance between a real image and its nearest."""
Features = NDArray[np.float64]
"""N D."""


@dataclass(frozen=True)
class Diversity:
    """Samples against real images.

    spread: mean distance between two samples over that between two real images; 1 is as it should be, 0 is one image
    again and again.  duplicates: share of the samples that have a copy among the samples.  coverage: share of the real
    images with a sample in their neighbourhood (Naeem et al. 2020), about 0.97 for samples of the same distribution.
    """

    spread: float
    duplicates: float
    coverage: float


def diversity(made: Features, real: Features) -> Diversity:
    """Compare two samples, N D and M D, by the distances within and between them.

    Raises ValueError: fewer than two samples, or no more real images than `NEIGHBOURS`.

    >>> import numpy as np
    >>> real = np.arange(20.0)[:, None]
    >>> diversity(real + 0.5, real)
    Diversity(spread=1.0, duplicates=0.0, coverage=1.0)
    >>> diversity(np.full((20, 1), 7.0), real).duplicates
    1.0
    """
    if len(made) < 2 or len(real) <= NEIGHBOURS:
        raise ValueError(f"diversity needs 2 samples and {NEIGHBOURS + 1} real images, found {len(made)}, {len(real)}")
    among_real, among_made = _distances(real, real), _distances(made, made)
    for within in (among_real, among_made):
        np.fill_diagonal(within, np.inf)  # nothing is its own neighbour
    apart = _mean(among_real)
    near = np.partition(among_real, (0, NEIGHBOURS - 1), axis=1)
    # Distances come from squares, so equal samples are this far apart by rounding alone.
    copy = max(COPY * float(np.median(near[:, 0])), 1e-6 * apart)
    covered = _distances(real, made).min(1) <= near[:, NEIGHBOURS - 1]
    return Diversity(
        spread=_mean(among_made) / apart if apart else 1.0,
        duplicates=float((among_made.min(1) <= copy).mean()),
        coverage=float(covered.mean()),
    )


def _distances(one: Features, other: Features) -> Features:
    """Euclidean, of all pairs: N D and M D -> N M."""
    centre = other.mean(0)
    one, other = one - centre, other - centre
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T
    distances: Features = np.sqrt(np.maximum(squares, 0))
    return distances


def _mean(within: Features) -> float:
    """The mean over all pairs of a set with infinity on its diagonal."""
    return float(within[np.isfinite(within)].mean())
