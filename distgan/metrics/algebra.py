"""Sums and differences of profiles: is what comes out near the treatment that it should be?

An analogy is `plus - minus + other`, as in Mikolov et al. 2013 and, of cells, in CytoGAN (Goldsborough et al. 2017).
What comes out is compared with candidates. Its own terms are none of them: the sum is mostly nearest to one, whatever
the difference does (Linzen 2016, "Issues in evaluating semantic spaces using word analogies").
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distgan.metrics.moa import Distance
from distgan.metrics.profiles import Floats

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Analogy:
    """plus - minus + other, profiles of D.  alone: the profile that the simple baseline takes for the result, D.

    right: of N candidates those that should be near.  left_out: those that are no candidates.  terms: of these the ones
    that only are none because they are terms.  group: what is resampled together.
    """

    name: str
    plus: Floats
    minus: Floats
    other: Floats
    alone: Floats
    right: Mask
    left_out: Mask
    terms: Mask
    group: str

    @property
    def result(self) -> Floats:
        """What comes out, D."""
        return np.asarray(self.plus - self.minus + self.other)


@dataclass(frozen=True)
class Judged:
    """Of A analogies, A each.  nearest: row of the nearest candidate.  found: whether it is right.

    nearer: share of pairs of a right and a wrong candidate of which the right one is nearer; 0.5 by chance.
    with_terms: whether the nearest is right where terms are candidates, too, as in CytoGAN's code.  alone,
    nearer_alone: found and nearer of the baseline.  chance: share of the candidates that are right.
    """

    nearest: NDArray[np.int64]
    found: Mask
    nearer: Floats
    with_terms: Mask
    alone: Mask
    nearer_alone: Floats
    chance: Floats


def judged(analogies: Sequence[Analogy], candidates: Floats, distance: Distance) -> Judged:
    """Judge analogies among candidates N D; each has a right and a wrong candidate."""
    rows = []
    for one in analogies:
        allowed = ~one.left_out
        own, alone = (apart(profile, candidates, distance) for profile in (one.result, one.alone))
        with_terms = int(np.where(allowed | one.terms, own, np.inf).argmin())
        nearest = int(np.where(allowed, own, np.inf).argmin())
        nearest_alone = int(np.where(allowed, alone, np.inf).argmin())
        right, wrong = allowed & one.right, allowed & ~one.right
        shares = [_nearer(values[right], values[wrong]) for values in (own, alone)]
        chance = right.sum() / allowed.sum()
        right_ones = (one.right[nearest], shares[0], one.right[with_terms], one.right[nearest_alone])
        rows.append((nearest, *right_ones, shares[1], chance))
    nearest_rows, found, nearer, terms, found_alone, nearer_alone, chances = map(np.array, zip(*rows, strict=True))
    return Judged(nearest_rows, found, nearer, terms, found_alone, nearer_alone, chances)


def apart(profile: Floats, candidates: Floats, distance: Distance) -> Floats:
    """Distances of a profile D to candidates N D: N."""
    if distance == "euclidean":
        return np.asarray(np.linalg.norm(candidates - profile, axis=1))
    norms = np.linalg.norm(candidates, axis=1) * np.linalg.norm(profile)
    return np.asarray(1 - candidates @ profile / np.where(norms > 0, norms, 1))


def interval(values: Floats, groups: Sequence[str], resamples: int, seed: int) -> tuple[float, float] | None:
    """95 % of the mean of N values, whole groups resampled; None of a single group."""
    names, number = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        return None
    sums, counts = np.bincount(number, values), np.bincount(number)
    random = np.random.default_rng(seed)
    drawn = random.integers(0, len(names), (resamples, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def _nearer(right: Floats, wrong: Floats) -> float:
    return float((right[:, None] < wrong).mean() + 0.5 * (right[:, None] == wrong).mean())
