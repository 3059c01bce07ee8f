"""Are samples copies of training images? They are if they lie nearer to them than held-out images do.

Every image is compared in the orientations of its frame (turned and mirrored), and the nearest counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from distgan.metrics.distances import squared_distances
from distgan.metrics.kid import Features

QUANTILE = 0.01
Orientation = tuple[int, bool]
"""Quarter turns, and whether the image is mirrored along x after them."""


@dataclass(frozen=True)
class Nearest:
    """Of each of N images: the distance to its nearest training image, the row of that, and the place of the
    orientation in which it is so near.
    """

    distances: Features
    rows: NDArray[np.int64]
    orientations: NDArray[np.int64]


@dataclass(frozen=True)
class Memorisation:
    """Distances of samples to training images against those of held-out images.

    threshold: below it lies `QUANTILE` of the held-out images.  share: of the samples below it.  p: how often chance
    puts so many there if samples lie as held-out images do (exact, whatever the distribution).  ratio: median of the
    samples over median of the held-out images; 1 is as it should be.
    """

    threshold: float
    share: float
    p: float
    ratio: float


def orientations(height: int, width: int) -> list[Orientation]:
    """All eight of a square, and the four that keep the frame of another rectangle."""
    return [(turns, mirrored) for turns in range(0, 4, 1 if height == width else 2) for mirrored in (False, True)]


def oriented(images: NDArray[np.floating], orientation: Orientation) -> NDArray[np.floating]:
    """Images N C H W in that orientation, a view."""
    turns, mirrored = orientation
    turned = np.rot90(images, turns, (2, 3))
    return turned[..., ::-1] if mirrored else turned


def nearest(queries: Sequence[Features], training: Features, own: NDArray[np.int64] | None = None) -> Nearest:
    """The nearest of M D training images.

    queries: the same N images in each orientation, N D each.  own: N, their rows where they are training images
    themselves; these do not count.
    """
    count = len(queries[0])
    best, rows, places = np.full(count, np.inf), np.zeros(count, np.int64), np.zeros(count, np.int64)
    for place, features in enumerate(queries):
        for part, squares in squared_distances(features, training):
            if own is not None:
                squares[np.arange(len(squares)), own[part]] = np.inf
            row = squares.argmin(1)
            distance = squares[np.arange(len(squares)), row]
            better = distance < best[part]
            best[part] = np.where(better, distance, best[part])
            rows[part] = np.where(better, row, rows[part])
            places[part] = np.where(better, place, places[part])
    return Nearest(np.sqrt(best), rows, places)


def memorisation(made: Features, held_out: Features) -> Memorisation:
    """Compare distances to the nearest training image, N of samples and M of held-out images.

    The threshold is the k-th smallest of M, k = M / 100 but at least 1; of N more values of the same distribution, a
    beta-binomial number with k and M + 1 - k lies below it. Meehan et al. (2020) compare the same two sets by ranks.

    >>> import numpy as np
    >>> told = memorisation(np.array([0.0] * 10 + [5.0] * 10), np.arange(1.0, 101.0))
    >>> told.share, told.p < 1e-5
    (0.5, True)
    """
    below = max(1, int(QUANTILE * len(held_out)))
    threshold = float(np.partition(held_out, below - 1)[below - 1])
    count = int((made < threshold).sum())
    chance = stats.betabinom(len(made), below, len(held_out) + 1 - below)
    middle = float(np.median(held_out))
    return Memorisation(
        threshold,
        count / len(made),
        float(chance.sf(count - 1)),
        float(np.median(made)) / middle if middle else float("nan"),
    )
