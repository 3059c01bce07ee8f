"""How good training gets with ever more labels, as a power law: value = a + b n^-c.

The form is that of Hestness et al. 2017 (arXiv:1712.00409), where it described errors over orders of magnitude of
samples. Beyond the most labels tried it is an extrapolation, and is called one.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

FEWEST = 4
"""Numbers of labels, of which one is left to contradict three parameters."""
SLOWEST, FASTEST = 0.05, 4.0
"""Limits of c: a slower curve is a logarithm, a faster one a step."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LearningCurve:
    """value = a + b n^-c for n labels; a is the value with endless labels.  fewest, most: labels it was fitted to."""

    a: float
    b: float
    c: float
    fewest: float
    most: float

    def at(self, labels: Floats) -> Floats:
        """The value with so many labels."""
        return self.a + self.b * labels**-self.c

    def needed(self, target: float, direction: Literal["max", "min"]) -> float:
        """The fewest labels, of those tried or more, with which the value is as good as the target; inf if none are."""
        sign = 1.0 if direction == "max" else -1.0
        first, last = sign * (self.at(np.asarray([self.fewest]))[0] - target), sign * (self.a - target)
        if first >= 0:
            return self.fewest
        if last <= 0:
            return float("inf")
        with np.errstate(over="ignore"):
            return float(((target - self.a) / self.b) ** (-1.0 / self.c))


def fitted(labels: Floats, values: Floats, weights: Floats | None = None) -> LearningCurve | None:
    """Least squares; for a given c the other two follow, so one parameter is searched.

    labels, values: K each.  weights: of the squared errors, such as 1 / variance.
    None: there are fewer than four numbers of labels, or they do not tell.
    """
    known = np.isfinite(values)
    n, y = labels[known], values[known]
    if len(np.unique(n)) < FEWEST:
        return None
    root = np.ones(len(n)) if weights is None else np.sqrt(weights[known] / weights[known].max())

    def solved(log_c: float) -> tuple[float, Floats]:
        design = np.stack([np.ones(len(n)), (n / n.min()) ** -np.exp(log_c)], 1)
        found = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]
        return float((((design @ found - y) * root) ** 2).sum()), found

    grid = np.linspace(np.log(SLOWEST), np.log(FASTEST), 25)
    best = int(np.argmin([solved(one)[0] for one in grid]))
    bounds = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    log_c = minimize_scalar(lambda one: solved(one)[0], bounds=bounds, method="bounded").x
    a, b = solved(log_c)[1]
    c = float(np.exp(log_c))
    return LearningCurve(float(a), float(b * n.min() ** c), c, float(n.min()), float(n.max()))
