"""Kernel Inception Distance (Binkowski et al. 2018), in whatever features it is given.

KID is the squared maximum mean discrepancy under the kernel (x.y / d + 1)^3. It is unbiased, so that small
samples do not look worse, and 0 is what two samples of one distribution give on average; it may be
slightly negative.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

BLOCKS = 10
FEWEST = 2 * BLOCKS
Features = NDArray[np.float64]
"""N D."""


@dataclass(frozen=True)
class Kid:
    """An estimate with its 95 % interval.  samples: of the smaller side."""

    value: float
    low: float
    high: float
    samples: int


def kid(one: Features, other: Features, blocks: int = BLOCKS) -> Kid:
    """The distance between two samples, over all their pairs.

    one, other: N D and M D.  blocks: the interval is that of the mean of so many disjoint blocks (a
    block test, Zaremba et al. 2013): a little wide, and honest only as far as the samples are independent.
    Raises ValueError: fewer than two samples per block on a side.
    """
    size = min(len(one), len(other)) // blocks
    if size < 2:
        raise ValueError(f"kid needs at least {2 * blocks} samples on each side, found {len(one)} and {len(other)}")
    value = squared_discrepancy(one, other)
    parts = [
        squared_discrepancy(one[i * size : (i + 1) * size], other[i * size : (i + 1) * size]) for i in range(blocks)
    ]
    half = float(stats.t.ppf(0.975, blocks - 1) * np.std(parts, ddof=1) / np.sqrt(blocks))
    return Kid(value, value - half, value + half, min(len(one), len(other)))


def squared_discrepancy(one: Features, other: Features) -> float:
    """Unbiased squared maximum mean discrepancy under the cubic kernel (Gretton et al. 2012, eq. 3).

    >>> import numpy as np
    >>> round(squared_discrepancy(np.array([[0.0], [0.0]]), np.array([[1.0], [1.0]])), 6)
    7.0
    """
    n, m = len(one), len(other)
    within_one, within_other, between = _kernel(one, one), _kernel(other, other), _kernel(one, other)
    return float(
        (within_one.sum() - np.trace(within_one)) / (n * (n - 1))
        + (within_other.sum() - np.trace(within_other)) / (m * (m - 1))
        - 2 * between.mean()
    )


def _kernel(one: Features, other: Features) -> Features:
    return (one @ other.T / one.shape[1] + 1) ** 3
