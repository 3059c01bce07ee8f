"""Whether people tell made images from real ones: rates, sensitivity, intervals and agreement.

Answers are counted where a made image was called made (a hit), and where a real one was called so (a false alarm).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Bools = NDArray[np.bool_]
Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]
Interval = tuple[float, float]
RESAMPLES = 2000
LEVEL = 0.95


def wilson(successes: int, trials: int) -> Interval:
    """95 % interval of a share (Wilson 1927); all of [0, 1] where nothing was tried.

    >>> [round(edge, 4) for edge in wilson(5, 10)]
    [0.2366, 0.7634]
    """
    if not trials:
        return 0.0, 1.0
    found = stats.binomtest(successes, trials).proportion_ci(LEVEL, "wilson")
    return float(found.low), float(found.high)


def d_prime(hits: float, made: float, false_alarms: float, real: float) -> float:
    """How far apart made and real images are to a person: z(hit rate) - z(false alarm rate), 0 if not at all.

    Half an answer is added to each count and one to each number, so that no rate is 0 or 1 (Hautus 1995).

    >>> d_prime(25, 50, 25, 50)
    0.0
    """
    return float(stats.norm.ppf((hits + 0.5) / (made + 1)) - stats.norm.ppf((false_alarms + 0.5) / (real + 1)))


def criterion(hits: float, made: float, false_alarms: float, real: float) -> float:
    """How unwilling a person is to call an image made: above 0 says "real" too often, below 0 "made"."""
    rates = (hits + 0.5) / (made + 1), (false_alarms + 0.5) / (real + 1)
    return float(0.0 - 0.5 * sum(stats.norm.ppf(rates)))


def accuracy(made: Bools, called_made: Bools, weights: Floats | None = None) -> float:
    """Share of right answers; 0.5 is what a coin gets."""
    return float(np.average(made == called_made, weights=weights))


def balanced_accuracy(made: Bools, called_made: Bools, weights: Floats | None = None) -> float:
    """Mean share of right answers among made images and among real ones; 0.5 is chance, NaN without both."""
    weights = np.ones(len(made)) if weights is None else weights
    right = weights * (made == called_made)
    with np.errstate(invalid="ignore"):
        return float(np.mean([right[side].sum() / weights[side].sum() for side in (made, ~made)]))


def fooled(made: Bools, called_made: Bools, weights: Floats | None = None) -> float:
    """Share of the made images taken for real; NaN without any."""
    weights = np.ones(len(made)) if weights is None else weights
    with np.errstate(invalid="ignore"):
        return float((weights * ~called_made)[made].sum() / weights[made].sum())


def interval(
    measure: Callable[[Bools, Bools, Floats], float],
    made: Bools,
    called_made: Bools,
    people: Numbers,
    images: Numbers,
    seed: int = 0,
) -> Interval:
    """95 % bootstrap interval of a measure of all answers: people and images are both drawn again.

    made, called_made: N answers.  people, images: N numbers of who answered and of what was shown, from 0.
    Answers of one person are alike, and so are those on one image; so both are drawn with replacement, and an answer
    counts as often as its person times its image (Owen 2007, the pigeonhole bootstrap: rather too wide). One person
    alone is not drawn, and the interval then says nothing of others.
    """
    random = np.random.Generator(np.random.Philox(key=[seed, 0]))
    found = [measure(made, called_made, _counts(random, people) * _counts(random, images)) for _ in range(RESAMPLES)]
    known = np.array([value for value in found if np.isfinite(value)])
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _counts(random: np.random.Generator, of: Numbers) -> Floats:
    """How often each answer's person (or image) is drawn."""
    count = int(of.max()) + 1
    if count == 1:
        return np.ones(len(of))
    return random.multinomial(count, np.full(count, 1 / count)).astype(np.float64)[of]


def kappa(images: Numbers, called_made: Bools) -> float:
    """Fleiss' kappa: how much people agree beyond what their habits give; 1 is wholly, 0 as chance does.

    Images with fewer than two answers do not count; their number of answers may differ.
    Returns NaN where no image has two, or all answers are the same.

    >>> kappa(np.array([0, 0, 1, 1]), np.array([True, True, False, False]))
    1.0
    """
    count = np.bincount(images)
    yes = np.bincount(images, called_made, minlength=len(count))
    kept = count > 1
    if not kept.any():
        return float("nan")
    count, yes = count[kept], yes[kept]
    no = count - yes
    agreed = float(((yes * (yes - 1) + no * (no - 1)) / (count * (count - 1))).mean())
    share = yes.sum() / count.sum()
    chance = share**2 + (1 - share) ** 2
    return float((agreed - chance) / (1 - chance)) if chance < 1 else float("nan")
