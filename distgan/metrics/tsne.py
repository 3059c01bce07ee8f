"""t-SNE (van der Maaten and Hinton 2008): a map of the plane on which neighbours stay neighbours."""

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

Values = NDArray[np.float64]
PERPLEXITY = 30.0


def tsne(values: Values, seed: int) -> Values:
    """Places N 2 of N vectors N D, N at least 4; distances on the map have no unit, and those of far points no meaning.

    The perplexity is 30, or a third of the vectors where they are fewer than 91.
    """
    perplexity = min(PERPLEXITY, (len(values) - 1) / 3)
    map_ = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, learning_rate="auto", n_jobs=1)
    found: Values = map_.fit_transform(values).astype(np.float64)
    return found
