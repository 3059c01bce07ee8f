"""89 numbers that describe a single cell by its label image, after those of Murphy's group (Han et al., section 5.1).

The paper names "49 Zernike, 8 morphological, 5 edge, 3 convex hull, etc." and refers to its predecessors; the sets
that sum to 89 are these, and how labels take the places of stains is ours. The picture of a cell is 0 outside, 1
inside and 2 in mitochondria; objects are pieces of its mitochondria, whose pixels touch by edges or corners.

    49  Zernike      magnitudes of the moments of the picture to degree 12, on the disc around the cell's centroid
                     that reaches its farthest pixel
    13  Haralick     of grey levels that meet in the picture, the outside not counted: mean of four directions
     8  objects      number, Euler number, mean size, variance of sizes, largest to smallest; mean distance from the
                     cell's centroid, its variance, largest to smallest
     5  edges        share of the cell's pixels on an edge; homogeneity of intensity, of direction in two ways;
                     difference of opposite directions (Prewitt gradients)
     3  hull         share of it that is cell, roundness, eccentricity
     5  skeleton     of the cell: length, over the area of its hull, over that of the cell, share of the picture's
                     sum, branch points over length
     6  relation     of the outline and mitochondria: mean distance of the outline from the centroid of the
                     mitochondria, variance, largest to smallest; distance of the centroids; share of the cell that is
                     mitochondria; share of the outline within two pixels of them

Lengths are in pixels: compare images of one pixel size.
"""

from functools import cache
from math import factorial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import euler_number, label, regionprops
from skimage.morphology import skeletonize

from distgan.metrics.cells_shape import Cell, Mask
from distgan.metrics.texture import haralick

COUNTS = {"zernike": 49, "haralick": 13, "object": 8, "edge": 5, "hull": 3, "skeleton": 5, "relation": 6}
NAMES = tuple(f"{kind} {number}" for kind, count in COUNTS.items() for number in range(count))
DEGREE = 12
Values = NDArray[np.float64]


def shape_features(one: Cell) -> Values:
    """The 89 numbers of a cell, in the order of NAMES; finite."""
    picture = one.cell.astype(np.float64) + one.mitochondria
    found = np.concatenate(
        [
            zernike(picture, one.cell),
            haralick(picture.astype(np.uint8), 2),
            _objects(one),
            _edges(picture, one.cell),
            _hull(one.cell),
            _skeleton(picture, one.cell),
            _relation(one),
        ]
    )
    assert len(found) == len(NAMES)
    return np.nan_to_num(found, posinf=0.0, neginf=0.0)


def zernike(picture: Values, cell: Mask) -> Values:
    """Magnitudes |Z_nl| of n <= 12, l <= n of the same parity, 49 numbers: no rotation changes them, nor brightness.

    picture: H W.  cell: H W, of whose centroid the disc is.
    """
    y, x = np.nonzero(cell)
    dy, dx = y - y.mean(), x - x.mean()
    radius = np.hypot(dy, dx).max() + 1e-9
    rho, theta = np.hypot(dy, dx) / radius, np.arctan2(dy, dx)
    weights = picture[cell] / picture[cell].sum()
    powers = rho[None] ** np.arange(DEGREE + 1)[:, None]
    found = []
    for n in range(DEGREE + 1):
        for order in range(n % 2, n + 1, 2):
            radial = _radial(n, order) @ powers
            found.append((n + 1) / np.pi * abs((weights * radial * np.exp(-1j * order * theta)).sum()))
    return np.asarray(found)


@cache
def _radial(n: int, order: int) -> Values:
    """Coefficients of rho^0 ... rho^12 of the radial polynomial R_nl."""
    found = np.zeros(DEGREE + 1)
    for s in range((n - order) // 2 + 1):
        below = factorial(s) * factorial((n + order) // 2 - s) * factorial((n - order) // 2 - s)
        found[n - 2 * s] = (-1) ** s * factorial(n - s) / below
    return found


def _objects(one: Cell) -> Values:
    pieces = regionprops(label(one.mitochondria, connectivity=2))
    if not pieces:
        return np.zeros(8)
    sizes = np.asarray([piece.area for piece in pieces])
    centre = np.asarray(ndimage.center_of_mass(one.cell))
    away = np.asarray([np.hypot(*(np.asarray(piece.centroid) - centre)) for piece in pieces])
    holes = euler_number(one.mitochondria, connectivity=2)
    ratio = away.max() / max(away.min(), 0.5)
    spread = (sizes.mean(), sizes.var(), sizes.max() / sizes.min(), away.mean(), away.var(), ratio)
    return np.asarray([len(pieces), holes, *spread])


def _edges(picture: Values, cell: Mask) -> Values:
    dy, dx = ndimage.prewitt(picture, 0), ndimage.prewitt(picture, 1)
    strength = np.hypot(dy, dx)
    edge = strength > 0
    values, angles = strength[edge], np.arctan2(dy, dx)[edge]
    counts = np.histogram(angles, 8, (-np.pi, np.pi))[0].astype(np.float64)
    ordered = np.sort(counts)[::-1]
    intensity = np.histogram(values, 4, (0, values.max()))[0].max() / len(values)
    difference = abs(counts[:4] - counts[4:]).sum() / counts.sum()
    direction = ordered[0] / counts.sum(), ordered[0] / max(ordered[1], 1)
    return np.asarray([(edge & cell).sum() / cell.sum(), intensity, *direction, difference])


def _hull(cell: Mask) -> Values:
    hull = regionprops(np.pad(regionprops(cell.astype(np.uint8))[0].image_convex, 1).astype(np.uint8))[0]
    roundness = 4 * np.pi * hull.area / max(hull.perimeter, 1) ** 2
    return np.asarray([cell.sum() / hull.area, roundness, hull.eccentricity])


def _skeleton(picture: Values, cell: Mask) -> Values:
    line = skeletonize(cell)
    length = max(int(line.sum()), 1)
    neighbours = ndimage.convolve(line.astype(np.int64), np.ones((3, 3), np.int64), mode="constant") - line
    branches = (line & (neighbours > 2)).sum()
    hull = regionprops(cell.astype(np.uint8))[0].area_convex
    return np.asarray(
        [length, length / hull, length / cell.sum(), picture[line].sum() / picture.sum(), branches / length]
    )


def _relation(one: Cell) -> Values:
    outline = one.cell & ~ndimage.binary_erosion(one.cell)
    if not one.mitochondria.any():
        return np.zeros(6)
    places = np.argwhere(outline)
    centre, other = (np.asarray(ndimage.center_of_mass(mask)) for mask in (one.mitochondria, one.cell))
    away = np.hypot(*(places - centre).T)
    near = ndimage.distance_transform_edt(~one.mitochondria)[outline] <= 2
    shares = np.hypot(*(centre - other)), one.mitochondria.sum() / one.cell.sum(), near.mean()
    return np.asarray([away.mean(), away.var(), away.max() / max(away.min(), 0.5), *shares])
