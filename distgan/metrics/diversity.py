"""How different samples are from one another, against how different real images are, in whatever features are given."""

from dataclasses import dataclass

import numpy as np

from distgan.metrics.distances import Features, squared_distances, squared_distances_within

NEIGHBOURS = 5
"""A sample covers a real image if it is no farther than that image's fifth neighbour among the real ones."""
COPY = 0.1
"""Two samples are copies below this share of the median distance between a real image and its nearest."""


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
    apart, near = _within(real, NEIGHBOURS)
    apart_made, near_made = _within(made, 1)
    # Distances come from squares, so equal samples are this far apart by rounding alone.
    copy = max(COPY * float(np.median(near[:, 0])), 1e-6 * apart)
    covered = np.concatenate([np.sqrt(squares.min(1)) for _, squares in squared_distances(real, made)]) <= near[:, -1]
    return Diversity(
        spread=apart_made / apart if apart else 1.0,
        duplicates=float((near_made[:, 0] <= copy).mean()),
        coverage=float(covered.mean()),
    )


def _within(samples: Features, neighbours: int) -> tuple[float, Features]:
    """The mean distance of all pairs, and those of each to its nearest, from the nearest on: N K."""
    total, pairs, near = 0.0, 0, np.empty((len(samples), neighbours))
    for rows, squares in squared_distances_within(samples):
        distances = np.sqrt(squares, out=squares)
        near[rows] = np.sort(np.partition(distances, neighbours - 1, axis=1)[:, :neighbours], axis=1)
        finite = distances[np.isfinite(distances)]
        total, pairs = total + float(finite.sum()), pairs + len(finite)
    return total / pairs, near
