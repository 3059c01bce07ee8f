"""Mechanism of action by the nearest neighbour, as CytoGAN and the field before it score profiles (Ljosa et al. 2013).

    NSC    a treatment's mechanism is that of its nearest treatment of another compound  (not same compound)
    NSCB   the same, of another batch too: a mechanism found by what a batch has in common does not count

Some treatments have no neighbour from which they could learn their mechanism (NSCB: it occurs in one batch only). They
count as not found, and both denominators are told.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from distgan.metrics.profiles import Floats, Texts, groups

Mask = NDArray[np.bool_]
Distance = Literal["cosine", "euclidean"]
BLOCK = 1024
"""Treatments whose distances to all others are held at once."""


@dataclass(frozen=True)
class Treatments:
    """One profile per treatment, no controls.  values: N D.  compounds, mechanisms, batches: N; "" if unknown."""

    values: Floats
    compounds: Texts
    mechanisms: Texts
    batches: Texts


@dataclass(frozen=True)
class Matched:
    """What the nearest neighbours say.  nearest: N, the row of each treatment's neighbour, -1 if it may have none.

    possible: N, whether any treatment it may learn from has its mechanism.
    """

    treatments: Treatments
    nearest: NDArray[np.int64]
    possible: Mask

    @property
    def found(self) -> Mask:
        """Whose mechanism is its neighbour's, N."""
        return self._found(self.treatments.mechanisms)

    @property
    def of_treatments(self) -> float:
        """The share of the treatments whose mechanism was found."""
        return float(self.found.mean())

    @property
    def of_compounds(self) -> float:
        """The mean over compounds of the share of their treatments: CytoGAN's figure."""
        return float(np.mean([self.found[rows].mean() for rows in groups([self.treatments.compounds])]))

    def by_chance(self, times: int = 1000, seed: int = 0) -> NDArray[np.float64]:
        """`of_treatments` when the mechanisms are dealt anew to the compounds, so many times."""
        random = np.random.default_rng(seed)
        compounds, first, of = np.unique(self.treatments.compounds, return_index=True, return_inverse=True)
        mechanisms = self.treatments.mechanisms[first]
        return np.array([self._found(mechanisms[random.permutation(len(compounds))][of]).mean() for _ in range(times)])

    def confusion(self) -> tuple[list[str], NDArray[np.int64]]:
        """Mechanisms, sorted, and how many treatments of each (rows) were given each (columns)."""
        names, number = np.unique(self.treatments.mechanisms, return_inverse=True)
        table = np.zeros((len(names), len(names)), np.int64)
        known = self.nearest >= 0
        np.add.at(table, (number[known], number[self.nearest[known]]), 1)
        return [str(name) for name in names], table

    def _found(self, mechanisms: Texts) -> Mask:
        return (mechanisms[self.nearest] == mechanisms) & (self.nearest >= 0)


def matched(treatments: Treatments, *, other_batch: bool = False, distance: Distance = "cosine") -> Matched:
    """Each treatment's nearest of another compound (NSC), and of another batch too if that is wanted (NSCB).

    Of equally near ones the first is taken.
    """
    values = treatments.values.astype(np.float64)
    if distance == "cosine":
        norms = np.linalg.norm(values, axis=1, keepdims=True)
        values = values / np.where(norms > 0, norms, 1)
    squares = (values**2).sum(1)
    nearest, possible = [], []
    for start in range(0, len(values), BLOCK):
        rows = slice(start, start + BLOCK)
        allowed = treatments.compounds[rows, None] != treatments.compounds
        if other_batch:
            allowed &= treatments.batches[rows, None] != treatments.batches
        apart = squares[rows, None] + squares - 2 * values[rows] @ values.T
        best = np.where(allowed, apart, np.inf).argmin(1)
        nearest.append(np.where(allowed.any(1), best, -1))
        possible.append((allowed & (treatments.mechanisms[rows, None] == treatments.mechanisms)).any(1))
    return Matched(treatments, np.concatenate(nearest), np.concatenate(possible))


def p_value(score: float, by_chance: NDArray[np.float64]) -> float:
    """How often chance does as well, never nought: (1 + as good) / (1 + tried).

    >>> import numpy as np
    >>> p_value(0.5, np.array([0.1, 0.5, 0.2]))
    0.5
    """
    return float((1 + (by_chance >= score - 1e-12).sum()) / (1 + len(by_chance)))
