"""Precision, recall, density and coverage: samples against real images by their neighbourhoods in features.

A neighbourhood is the ball around an image that reaches to its k-th nearest of its own kind.
"""

from dataclasses import dataclass

import numpy as np

from distgan.metrics.distances import Features, squared_distances, squared_distances_within

NEIGHBOURS = 5


@dataclass(frozen=True)
class Manifold:
    """Samples against real images.

    precision: share of the samples in some real image's neighbourhood; recall: share of the real images in some
    sample's (Kynkäänniemi et al. 2019, eq. 2).  density: how many real neighbourhoods a sample is in, over k; about 1
    for samples of the same distribution, and more where they crowd.  coverage: share of the real images with a sample
    in their neighbourhood (Naeem et al. 2020, eq. 3 and 4).
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(made: Features, real: Features, neighbours: int = NEIGHBOURS) -> Manifold:
    """Compare N D with M D, Euclidean.

    Raises ValueError: a side has no more than `neighbours` samples.

    >>> import numpy as np
    >>> real = np.arange(20.0)[:, None]
    >>> manifold(real, real)
    Manifold(precision=1.0, recall=1.0, density=1.34, coverage=1.0)
    >>> manifold(np.full((20, 1), 7.0), real).recall
    0.05
    """
    if min(len(made), len(real)) <= neighbours:
        raise ValueError(f"{neighbours} neighbours need more samples than {len(made)} and {len(real)}")
    reach_real, reach_made = (_reach(side, neighbours) for side in (real, made))
    inside = np.zeros(len(made))
    covered, recalled = np.zeros(len(real), np.bool_), np.zeros(len(real), np.bool_)
    for rows, squares in squared_distances(real, made):
        within = squares <= reach_real[rows, None]
        inside += within.sum(0)
        covered[rows] = within.any(1)
        recalled[rows] = (squares <= reach_made).any(1)
    return Manifold(
        float((inside > 0).mean()),
        float(recalled.mean()),
        float(inside.mean() / neighbours),
        float(covered.mean()),
    )


def _reach(samples: Features, neighbours: int) -> Features:
    """The squared distance of each to its k-th nearest; N."""
    found = np.empty(len(samples))
    for rows, squares in squared_distances_within(samples):
        found[rows] = np.partition(squares, neighbours - 1, axis=1)[:, neighbours - 1]
    return found
