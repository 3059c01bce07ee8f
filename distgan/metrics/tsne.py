"""t-SNE (van der Maaten and Hinton 2008): a map of the plane on which neighbours stay neighbours."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
PERPLEXITY = 30.0


def tsne(
    values: NDArray[np.floating], seed: int = 0, metric: Literal["euclidean", "cosine", "precomputed"] = "euclidean"
) -> Values:
    """Places N 2 of N vectors N D, N at least 4; distances on the map have no unit, and those of far points no meaning.

    The perplexity is 30, or a third of the vectors where they are fewer than 91. Of equal vectors it is the same.
    metric: between vectors; "precomputed": the values are the distances, N N, and the map begins at random.
    """
    from sklearn.manifold import TSNE

    few, init = min(PERPLEXITY, (len(values) - 1) / 3), "random" if metric == "precomputed" else "pca"
    map_ = TSNE(2, perplexity=few, metric=metric, init=init, random_state=seed, learning_rate="auto", n_jobs=1)
    found: Values = map_.fit_transform(values).astype(np.float64)
    return found
