"""Intervals by resampling that hold what they say where they rest on few things."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t


def expanded_percentiles(resampled: NDArray[np.float64], units: int) -> tuple[float, float]:
    """The percentiles that hold 95 %, moved outwards as the t distribution does.  units: what was drawn, 2 or more.

    Hesterberg 2015, What teachers should know about the bootstrap, section 3.3: the expanded percentile interval.
    """
    outside = norm.cdf(-np.sqrt(units / (units - 1)) * t.ppf(0.975, units - 1))
    low, high = np.quantile(resampled, (outside, 1 - outside)).tolist()
    return low, high
