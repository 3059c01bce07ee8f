"""How many made single cells a linear SVM takes for real ones, by their shape features (Han et al., section 5.1)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

Values = NDArray[np.float64]
MOST, SHARE, FEWEST = 100, 0.6, 10
"""Cells of a group that are learned; their share of a small group; and the least group."""


@dataclass(frozen=True)
class RealOrMade:
    """Means over repeats, with their standard deviations.

    called_real: share of the made cells not learned that are called real.  real_called_real: of the real ones.
    """

    called_real: float
    called_real_sd: float
    real_called_real: float
    cells: int


def real_or_made(real: Values, made: Values, repeats: int, seed: int) -> RealOrMade | None:
    """Train an SVM (C = 1) on some cells of each group, and judge the others.

    real, made: N 89 and M 89; scaled by mean and spread of `real`.  Equally many of each are learned.  Returns None:
    there are fewer than `FEWEST` of one.
    """
    if min(len(real), len(made)) < FEWEST:
        return None
    spread = real.std(0)
    centre, scale = real.mean(0), np.where(spread > 1e-9, spread, 1)
    groups = (real - centre) / scale, (made - centre) / scale
    count = min(MOST, *(int(SHARE * len(group)) for group in groups))
    random = np.random.Generator(np.random.Philox(key=[seed, 11]))
    found = np.empty((repeats, 2))
    for repeat in found:
        orders = [random.permutation(len(group)) for group in groups]
        learned = np.concatenate([group[order[:count]] for group, order in zip(groups, orders, strict=True)])
        machine = SVC(kernel="linear", C=1.0).fit(learned, np.repeat([1, 0], count))
        for number, (group, order) in enumerate(zip(groups, orders, strict=True)):
            repeat[number] = machine.predict(group[order[count:]]).mean()
    of_real, of_made = found[:, 0], found[:, 1]
    return RealOrMade(float(of_made.mean()), float(of_made.std()), float(of_real.mean()), len(made))
