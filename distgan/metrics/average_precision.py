"""Mean average precision of replicates (Kalinin et al. 2024, doi:10.1101/2024.04.01.587631): do they find one another?

Every profile ranks others by cosine: those of its own treatment should come before those of the rest. Its average
precision is compared with that of random orders of as many; a treatment's mean has a p-value against means of such.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from distgan.metrics.profiles import Floats, Rows, Texts, groups

BLOCK_VALUES = 1 << 22
"""Similarities that are sorted at once."""
Against = Literal["controls", "others"]
"""Told from untreated profiles (is there an effect?), or from all other treatments (is it one of its own?)."""


@dataclass(frozen=True)
class Retrieval:
    """Of every treatment.  names: T.  means: T, its mean average precision.  p_values: T, corrected for there being
    T of them (Benjamini and Hochberg 1995).  replicates: T.
    """

    names: Texts
    means: NDArray[np.float64]
    p_values: NDArray[np.float64]
    replicates: NDArray[np.int64]


def replicates(
    values: Floats,
    treatments: Texts,
    controls: NDArray[np.bool_],
    against: Against = "others",
    samples: int = 1000,
    seed: int = 0,
) -> Retrieval:
    """values: N D.  treatments: N.  controls: N, true for untreated; they are never asked themselves.

    samples: random orders per number of replicates.  Treatments of one profile are left out.
    """
    unit = values.astype(np.float32)
    norms = np.linalg.norm(unit, axis=1, keepdims=True)
    unit /= np.where(norms > 0, norms, 1)
    found = [rows for rows in groups([treatments]) if len(rows) > 1 and not controls[rows[0]]]
    _, codes = np.unique(treatments, return_inverse=True)
    untreated = np.flatnonzero(controls)
    treated = np.flatnonzero(~controls)
    precisions = np.full(len(values), np.nan)
    for rows in _blocks(found, len(values)):
        others = treated if against == "others" else np.union1d(rows, untreated)
        alike = unit[rows] @ unit[others].T
        same = codes[rows, None] == codes[others]
        itself = rows[:, None] == others
        alike[itself] = -np.inf
        ranked = same | ~same if against == "others" else same | controls[others]
        alike[~ranked] = -np.inf  # another treatment of this block, which is not asked about
        precisions[rows] = average_precisions(alike, same & ~itself)
    means = np.array([precisions[rows].mean() for rows in found])
    random = np.random.default_rng(seed)
    pool = len(treated) if against == "others" else len(untreated)
    chance: dict[int, NDArray[np.float64]] = {}
    p_values = []
    for rows, mean in zip(found, means, strict=True):
        count = len(rows)
        if count not in chance:
            ranked_total = pool - 1 if against == "others" else pool + count - 1
            drawn = by_chance(count - 1, ranked_total, samples * count, random)
            chance[count] = drawn.reshape(samples, count).mean(1)
        p_values.append((1 + (chance[count] >= mean - 1e-12).sum()) / (1 + samples))
    names = np.array([treatments[rows[0]] for rows in found], np.str_)
    return Retrieval(names, means, corrected(np.array(p_values)), np.array([len(rows) for rows in found], np.int64))


def average_precisions(scores: Floats, wanted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of each row of scores N M: the mean, over those wanted (N M), of the share of wanted ones down to its rank.

    Every row wants at least one.

    >>> import numpy as np
    >>> average_precisions(np.array([[3.0, 2.0, 1.0]]), np.array([[True, False, True]])).round(3).tolist()
    [0.833]
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    hits = np.take_along_axis(wanted, order, 1)
    row, rank = np.nonzero(hits)
    within = np.arange(len(row)) - np.searchsorted(row, row) + 1  # how many wanted ones so far in that row
    return np.asarray(np.bincount(row, within / (rank + 1), len(scores)) / hits.sum(1))


def by_chance(wanted: int, ranked: int, samples: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Average precisions of so many random orders of `ranked`, `wanted` of them to be found."""
    found = []
    step = max(1, BLOCK_VALUES // ranked)
    for start in range(0, samples, step):
        draws = random.random((min(step, samples - start), ranked), np.float32)
        ranks = np.sort(np.argpartition(draws, wanted - 1, axis=1)[:, :wanted], axis=1) + 1
        found.append((np.arange(1, wanted + 1) / ranks).mean(1))
    return np.concatenate(found)


def corrected(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini and Hochberg's: the least false discovery rate at which each is called.

    >>> import numpy as np
    >>> corrected(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    order = np.argsort(p_values)
    scaled = p_values[order] * len(p_values) / np.arange(1, len(p_values) + 1)
    least = np.minimum.accumulate(scaled[::-1])[::-1]
    found = np.empty_like(p_values)
    found[order] = np.minimum(least, 1)
    return found


def _blocks(found: Sequence[Rows], count: int) -> Iterator[Rows]:
    """All their rows, some whole treatments at a time."""
    block: list[Rows] = []
    for rows in found:
        if block and (sum(map(len, block)) + len(rows)) * count > BLOCK_VALUES:
            yield np.concatenate(block)
            block = []
        block.append(rows)
    if block:
        yield np.concatenate(block)
