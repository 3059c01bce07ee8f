"""Single cells out of label images of tissue, and statistics over all of them (Han et al., section 5.1).

A cell is a piece of what is left of an image without its membranes, which are first widened, so that small gaps close;
then it gets back all but one pixel of that. Cells and mitochondria that touch the border of the image are left out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label, perimeter_crofton, regionprops
from skimage.morphology import disk

Mask = NDArray[np.bool_]
EDGES: Mapping[str, NDArray[np.float64]] = {
    "cell size": np.geomspace(8, 512, 21),
    "mitochondrion size": np.geomspace(4, 256, 21),
    "roundness": np.linspace(0, 1, 21),
}
"""Of the bins of the histograms that are compared: equivalent diameters in pixels, in octaves of a fifth or so, and
roundness; what is beyond the ends is in the last bins."""


@dataclass(frozen=True)
class Cell:
    """One cell, cut out with a frame of one pixel.  cell, mitochondria: H W; mitochondria lie inside the cell."""

    cell: Mask
    mitochondria: Mask


def inner(membranes: Mask, closing: int, smallest: int) -> NDArray[np.int64]:
    """Cells of an image H W that do not touch its border, numbered from 1; 0 elsewhere.

    closing: by how many pixels membranes are widened.  smallest: pixels of a cell.
    """
    wide = ndimage.binary_dilation(membranes, disk(closing)) if closing else membranes
    cells = label(~wide, connectivity=1)
    border = np.unique(np.concatenate([cells[0], cells[-1], cells[:, 0], cells[:, -1]]))
    sizes = np.bincount(cells.ravel())
    unwanted = sizes < smallest
    unwanted[border] = True
    cells[unwanted[cells]] = 0
    if closing > 1:
        cells = ndimage.grey_dilation(cells, footprint=disk(closing - 1))
    found: NDArray[np.int64] = cells
    return found


def single_cells(membranes: Mask, mitochondria: Mask, closing: int, smallest: int, least: int) -> list[Cell]:
    """The cells of an image H W that have `least` or more pixels of mitochondria."""
    found = []
    for one in regionprops(inner(membranes, closing, smallest)):
        inside = mitochondria[one.slice] & one.image
        if inside.sum() >= least:
            found.append(Cell(np.pad(one.image, 1), np.pad(inside, 1)))
    return found


@dataclass(frozen=True)
class Population:
    """What is measured in many images.

    measured: by the names of EDGES, the sizes of inner cells and mitochondria (equivalent diameters in pixels) and the
    roundness of mitochondria, 4 pi area / perimeter^2, at most 1.  per_cell: inner mitochondria for each inner cell.
    """

    measured: Mapping[str, NDArray[np.float64]]
    per_cell: float

    def means(self) -> dict[str, float]:
        """Of each; nan where there is none."""
        of = {name: float(values.mean()) if len(values) else float("nan") for name, values in self.measured.items()}
        return of | {"mitochondria per cell": self.per_cell}


def population(images: Iterable[tuple[Mask, Mask]], closing: int, smallest: int, least: int) -> Population:
    """Measure the inner cells and mitochondria of images: membranes and mitochondria, H W each.

    least: pixels of a mitochondrion.  The others are as of `inner`.
    """
    cells: list[float] = []
    sizes: list[float] = []
    roundness: list[float] = []
    for membranes, mitochondria in images:
        cells += [one.equivalent_diameter_area for one in regionprops(inner(membranes, closing, smallest))]
        height, width = mitochondria.shape
        for one in regionprops(label(mitochondria, connectivity=2)):
            top, left, bottom, right = one.bbox
            if one.area >= least and top > 0 and left > 0 and bottom < height and right < width:
                sizes.append(one.equivalent_diameter_area)
                length = perimeter_crofton(np.pad(one.image, 1), directions=4)
                roundness.append(min(1.0, 4 * np.pi * one.area / length**2))
    measured = dict(zip(EDGES, map(np.asarray, (cells, sizes, roundness)), strict=True))
    return Population(measured, len(sizes) / len(cells) if cells else float("nan"))


def chi_squared(one: Population, other: Population) -> dict[str, float]:
    """Half the sum of (p - q)^2 / (p + q) over the bins of EDGES: 0 of equal histograms, 1 of such that do not meet.

    nan where one of them has nothing to measure.
    """
    found = {}
    for name, edges in EDGES.items():
        p, q = (_shares(of.measured[name], edges) for of in (one, other))
        total = np.where(p + q > 0, p + q, 1)
        found[name] = float(0.5 * ((p - q) ** 2 / total).sum())
    return found


def _shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    return counts / counts.sum() if counts.sum() else np.full(len(counts), np.nan)
