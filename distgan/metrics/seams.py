"""Whether the borders of tiles can be told in a large image, by its gradients.

Generators repeat a pattern of their strides, faintly, so a border is compared with the lines of the same phase, those
that lie a multiple of `unit` pixels from it, and with no others.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Lines = NDArray[np.float64]


@dataclass(frozen=True)
class Seams:
    """Borders of tiles against other lines of their phase.

    gradient: mean absolute gradient across the line.  jump: root mean square of the mean gradient across a tile's
    edge, which tells a tile that is brighter than its neighbour.  Both are ratios, 1 without seams; their z is how far
    the borders' mean is from the others', in standard errors by the spread of the others.
    """

    gradient: float
    gradient_z: float
    jump: float
    jump_z: float


def seams(bands: Iterable[NDArray[Any]], shape: tuple[int, ...], tile: tuple[int, int], unit: int) -> Seams:
    """Gradients across borders of tiles.

    bands: lines of tiles of an image, C h W, one after another.  shape: C H W of all.  tile: height and width.
    Raises ValueError: there are not two borders and two other lines of their phase.

    >>> image = np.random.default_rng(0).normal(size=(1, 256, 256))
    >>> round(seams([image[:, :128], image[:, 128:]], image.shape, (128, 64), 16).gradient, 1)
    1.0
    """
    _, height, width = shape
    across = np.zeros((2, height)), np.zeros((2, width))
    last, top = None, 0
    for image in bands:
        band = image.astype(np.float64)
        joined = band if last is None else np.concatenate([last, band], 1)
        bottom = top + band.shape[1]
        across[0][:, bottom - joined.shape[1] + 1 : bottom] = _of_lines(np.diff(joined, axis=1), tile[1])
        of_columns = np.diff(band, axis=2).swapaxes(1, 2)
        across[1][:, 1:] += band.shape[1] / height * _of_lines(of_columns, band.shape[1])
        last, top = band[:, -1:], bottom
    pairs = [(_divided(lines, edge, unit)) for lines, edge in zip(across, tile, strict=True)]
    borders, others = (np.concatenate(found, 1) for found in zip(*pairs, strict=True))
    if min(borders.shape[1], others.shape[1]) < 2:
        raise ValueError(f"seams need 2 borders and 2 other lines, found {borders.shape[1]} and {others.shape[1]}")
    gradient, jump = borders.mean(1)
    error = others.std(1, ddof=1) * np.sqrt(1 / borders.shape[1] + 1 / others.shape[1])
    gradient_z, jump_z = (borders.mean(1) - others.mean(1)) / np.where(error > 0, error, 1)
    return Seams(float(gradient), float(gradient_z), float(np.sqrt(jump)), float(jump_z))


def _of_lines(gradient: NDArray[np.float64], edge: int) -> Lines:
    """Of every line, the mean of |gradient|, and of the squares of its means over edges of tiles: 2 n.

    gradient: C n W.
    """
    whole = gradient[..., : max(gradient.shape[2] // edge, 1) * edge]
    means = whole.reshape(*gradient.shape[:2], -1, min(edge, whole.shape[2])).mean(3)
    return np.stack([np.abs(gradient).mean((0, 2)), (means**2).mean((0, 2))])


def _divided(lines: Lines, edge: int, unit: int) -> tuple[Lines, Lines]:
    """Those at borders of tiles, and the others of their phase, in units of the others' mean."""
    places = np.arange(unit, lines.shape[1], unit)
    border = places % edge == 0
    if border.all():
        return lines[:, places], lines[:, :0]
    scale = lines[:, places[~border]].mean(1, keepdims=True)
    scaled = lines[:, places] / np.where(scale > 0, scale, 1)
    return scaled[:, border], scaled[:, ~border]
