"""Typical variation normalisation (Ando et al. 2017, doi:10.1101/161422): batches made alike by their controls.

All features are sphered by all controls. Then each batch is moved and turned so that its own controls have the mean and
the covariance of all (CORAL, Sun et al. 2016, with their ridge of 1). The authors changed covariances alone; moving the
means too removes what is added to a whole batch.
"""

import numpy as np
from numpy.typing import NDArray

from distgan.metrics.profiles import Floats, Texts, groups
from distgan.metrics.sphering import REGULARISATION, power, sphering
from storage.errors import DataError

RIDGE = 1.0


def typical_variation_normalised(
    values: Floats, batches: Texts, controls: NDArray[np.bool_], regularisation: float = REGULARISATION
) -> Floats:
    """values: N D.  batches: N.  controls: N, true for untreated.  Returns N D.

    Raises DataError: a batch has fewer than two controls.
    """
    sphered = sphering(values[controls], regularisation)(values).astype(np.float64)
    wanted = _power(sphered[controls], 0.5)
    found = np.empty_like(sphered)
    for rows in groups([batches]):
        own = sphered[rows[controls[rows]]]
        if len(own) < 2:
            raise DataError(
                f"batch {batches[rows[0]]} cannot be made like the others",
                f"it has {len(own)} controls",
                "Name the controls, or leave that batch out",
            )
        found[rows] = (sphered[rows] - own.mean(0)) @ _power(own, -0.5) @ wanted
    return found.astype(values.dtype)


def _power(controls: Floats, exponent: float) -> Floats:
    variances, directions = np.linalg.eigh(np.atleast_2d(np.cov(controls, rowvar=False)))
    return power(np.clip(variances, 0, None), directions, exponent, RIDGE)
