"""A parametric model of single cells, to compare others with: a Gaussian in a space of shapes.

Han et al. compare with CellOrganizer, whose nuclei are mitochondria here; this is a stand-in of ours, after the shape
spaces of Murphy's group: principal components of signed distances to the outlines of cells and mitochondria.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.transform import resize

from distgan.metrics.cells_shape import Cell, Mask

EDGE = 48
KEPT = 0.95
"""Share of the variance that the components keep."""


def parametric_cells(cells: Sequence[Cell], count: int, least: int, seed: int) -> list[Cell]:
    """Cells of the model of these cells, `count` at most, with `least` or more pixels of mitochondria.

    Every cell is centred in a square as large as the largest one, at the scale of `EDGE` pixels.
    """
    edge = max(max(one.cell.shape) for one in cells) + 2
    vectors = np.stack([_vector(one, edge) for one in cells])
    mean = vectors.mean(0)
    _, spread, axes = np.linalg.svd(vectors - mean, full_matrices=False)
    kept = int(np.searchsorted(np.cumsum(spread**2) / (spread**2).sum(), KEPT)) + 1
    random = np.random.Generator(np.random.Philox(key=[seed, 13]))
    codes = random.normal(size=(4 * count, kept)) * spread[:kept] / np.sqrt(len(cells) - 1)
    drawn = (_cell(mean + code @ axes[:kept], edge, least) for code in codes)
    return [one for one in drawn if one is not None][:count]


def _vector(one: Cell, edge: int) -> NDArray[np.float64]:
    """Signed distances to both outlines, positive inside, on the common grid."""
    distances = []
    for mask in (one.cell, one.mitochondria):
        y, x = (np.round(ndimage.center_of_mass(one.cell)).astype(int) - edge // 2).tolist()
        square = np.zeros((3 * edge, 3 * edge), np.bool_)
        square[edge : edge + mask.shape[0], edge : edge + mask.shape[1]] = mask
        square = square[edge + y : 2 * edge + y, edge + x : 2 * edge + x]
        inside, outside = ndimage.distance_transform_edt(square), ndimage.distance_transform_edt(~square)
        distances.append(resize(inside - outside, (EDGE, EDGE), order=1))
    return np.concatenate([one.ravel() for one in distances])


def _cell(vector: NDArray[np.float64], edge: int, least: int) -> Cell | None:
    cell, mitochondria = (resize(one.reshape(EDGE, EDGE), (edge, edge), order=1) > 0 for one in np.split(vector, 2))
    whole = _largest(cell)
    inside = mitochondria & whole
    return Cell(np.pad(whole, 1), np.pad(inside, 1)) if inside.sum() >= least else None


def _largest(mask: Mask) -> Mask:
    pieces, count = ndimage.label(mask)
    found: Mask = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1 if count else mask
    return found
