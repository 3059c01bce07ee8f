"""Which features are worth keeping: those that come back in replicates, and one of each set that say the same.

The first looks at which wells had the same treatment, never at mechanisms: a mild and published form of choosing on
what is judged, so say that it was done. As in the `predict_moa` vignette of cytominer (cytomining/cytominergallery).
"""

import numpy as np
from numpy.typing import NDArray

from distgan.metrics.profiles import Floats, Texts, groups


def reproducible(values: Floats, treatments: Texts, threshold: float = 0.5, seed: int = 0) -> NDArray[np.bool_]:
    """Features whose median correlation between two replicates, over treatments, is at least the threshold.

    values: N D.  treatments: N.  The replicates of each treatment are put in a seeded order; the first of all make one
    column, the second of all another, and pairs of columns with at least three treatments are compared.
    """
    random = np.random.default_rng(seed)
    found = [random.permutation(rows) for rows in groups([treatments])]
    depth = max(map(len, found))
    parts = []
    for one in range(depth):
        for other in range(one + 1, depth):
            both = [rows for rows in found if len(rows) > other]
            if len(both) >= 3:
                first, second = (values[[rows[at] for rows in both]] for at in (one, other))
                parts.append(_correlations(first, second))
    if not parts:
        return np.zeros(values.shape[1], np.bool_)
    return np.asarray(np.median(parts, axis=0) >= threshold)


def distinct(values: Floats, threshold: float = 0.95) -> NDArray[np.bool_]:
    """Features of which no two correlate beyond the threshold, either way.

    Of a pair, the one that correlates more with all others goes (caret's findCorrelation).  values: N D.
    """
    centred = values - values.mean(0)
    norms = np.linalg.norm(centred, axis=0)
    scaled = centred / np.where(norms > 0, norms, 1)
    alike = np.abs(scaled.T @ scaled)
    np.fill_diagonal(alike, 0)
    kept = np.ones(len(alike), np.bool_)
    mean = alike.mean(0)
    for one in np.argsort(-mean, kind="stable"):
        close = kept & (alike[one] > threshold)
        if close.any():
            kept[one] = False
    return kept


def _correlations(one: Floats, other: Floats) -> Floats:
    """Pearson's, of every feature: N D and N D -> D; nought where one of them does not vary."""
    one, other = one - one.mean(0), other - other.mean(0)
    scale = np.linalg.norm(one, axis=0) * np.linalg.norm(other, axis=0)
    return np.asarray((one * other).sum(0) / np.where(scale > 0, scale, 1))
