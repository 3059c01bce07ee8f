"""Textures: Haralick's numbers of how grey levels meet (Haralick et al. 1973)."""

import numpy as np
from numpy.typing import NDArray
from skimage.feature import graycomatrix

Values = NDArray[np.float64]


def haralick(picture: NDArray[np.uint8], levels: int, step: int = 1) -> Values:
    """Haralick's first 13 of a picture H W, the mean over four directions.

    picture: grey levels 1 to `levels`; pairs with a 0 are not counted.  step: how far neighbours are apart, in pixels.
    """
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    counts = graycomatrix(picture, [step], angles, levels=levels + 1, symmetric=True)[1:, 1:, 0]
    return np.mean([_of_matrix(counts[..., one].astype(np.float64)) for one in range(4)], 0)


def _of_matrix(counts: Values) -> Values:
    p = counts / max(counts.sum(), 1)
    i, j = np.indices(p.shape) + 1
    own = p.sum(0)
    levels = np.arange(1, len(own) + 1)
    mean, variance = (own * levels).sum(), (own * (levels - (own * levels).sum()) ** 2).sum()
    sums: Values = np.bincount((i + j).ravel(), p.ravel()).astype(np.float64)
    differences: Values = np.bincount(abs(i - j).ravel(), p.ravel()).astype(np.float64)
    places, apart = np.arange(len(sums)), np.arange(len(differences))
    sum_mean = (places * sums).sum()
    both, alone = np.outer(own, own), _entropy(own)
    cross = -(p * np.log2(np.where(both > 0, both, 1))).sum()
    independent = _entropy(both)
    entropy = _entropy(p)
    return np.asarray(
        [
            (p**2).sum(),
            (differences * apart**2).sum(),
            ((i * j * p).sum() - mean**2) / variance if variance > 1e-12 else 1.0,
            variance,
            (p / (1 + (i - j) ** 2)).sum(),
            sum_mean,
            (sums * (places - sum_mean) ** 2).sum(),
            _entropy(sums),
            entropy,
            (differences * (apart - (apart * differences).sum()) ** 2).sum(),
            _entropy(differences),
            (entropy - cross) / alone if alone > 1e-12 else 0.0,
            np.sqrt(max(0.0, 1 - np.exp(-2 * (independent - entropy)))),
        ]
    )


def _entropy(p: Values) -> float:
    some = p[p > 0]
    return float(-(some * np.log2(some)).sum())
