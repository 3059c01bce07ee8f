"""Features in units of their spread among the controls of the same plate, so that plates can be compared."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from distgan.metrics.profiles import Floats, Texts, groups
from storage.errors import DataError

Centre = Literal["standard", "robust"]
"""Mean and standard deviation (of a sample: ddof 1), or median and 1.4826 times the median absolute deviation."""
Constant = Literal["unscaled", "divided", "dropped"]
"""What becomes of a feature that does not vary among the controls of a plate: it keeps its units; it is divided by its
spread of nought plus TINY, as everything is, and drowns all others; or it is left out on every plate.
"""
TINY = 1e-9


def normalised(
    values: Floats,
    plates: Texts,
    controls: NDArray[np.bool_],
    centre: Centre = "standard",
    constant: Constant = "unscaled",
) -> tuple[Floats, NDArray[np.bool_]]:
    """Scale each plate by its controls.

    values: N D.  plates: N.  controls: N, true for untreated profiles.  Returns N D' of the same dtype (D' < D where
    features are dropped), and which features are kept, D.
    Raises DataError: a plate has fewer than two controls.
    """
    found = np.empty_like(values)
    kept = np.ones(values.shape[1], np.bool_)
    for rows in groups([plates]):
        own = rows[controls[rows]]
        if len(own) < 2:
            raise DataError(
                f"plate {plates[rows[0]]} cannot be scaled by its controls",
                f"it has {len(own)} of them",
                "Name the controls, or leave that plate out",
            )
        middle, spread = (_standard if centre == "standard" else _robust)(values[own].astype(np.float64))
        still = spread <= 1e-12 * np.abs(middle)  # a constant's spread may be a rounding error
        kept &= ~still
        spread = spread + TINY if constant == "divided" else np.where(still, 1.0, spread)
        found[rows] = (values[rows] - middle) / spread
    if constant != "dropped":
        kept[:] = True
    return found[:, kept], kept


def _standard(values: Floats) -> tuple[Floats, Floats]:
    return values.mean(0), values.std(0, ddof=1)


def _robust(values: Floats) -> tuple[Floats, Floats]:
    middle = np.median(values, axis=0)
    return middle, 1.4826 * np.median(np.abs(values - middle), axis=0)
