"""Whether the borders of tiles can be told in a large image, by its gradients.

Generators repeat a pattern of their strides, faintly, so a border is compared with the lines of the same phase, those
that lie a multiple of `unit` pixels from it, and with no others.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Seams:
    """Mean absolute gradient across borders of tiles, over that across other lines of their phase.

    ratio: 1 without seams.  z: how far the borders' mean is from the others', in standard errors of both.
    """

    ratio: float
    z: float


def seams(bands: Iterable[tuple[slice, NDArray[Any]]], shape: tuple[int, ...], tile: int, unit: int) -> Seams:
    """Gradients across borders of tiles.

    bands: rows, and the image of those rows, C H W, one after another.  shape: C H W of all.  tile: edge of a tile.
    Raises ValueError: there are not two borders and two other lines of their phase.

    >>> image = np.random.default_rng(0).normal(size=(1, 256, 256))
    >>> round(seams([(slice(0, 256), image)], image.shape, 64, 16).ratio, 1)
    1.0
    """
    _, height, width = shape
    across_rows, across_columns = np.zeros(height), np.zeros(width)
    last: NDArray[Any] | None = None
    for rows, image in bands:
        band = image.astype(np.float64)
        joined = band if last is None else np.concatenate([last, band], 1)
        across_rows[rows.stop - joined.shape[1] + 1 : rows.stop] = np.abs(np.diff(joined, axis=1)).mean((0, 2))
        across_columns[1:] += np.abs(np.diff(band, axis=2)).sum((0, 1))
        last = band[:, -1:]
    across_columns /= shape[0] * height
    at_border, elsewhere = [], []
    for lines in (across_rows, across_columns):
        places = np.arange(unit, len(lines), unit)
        border = places % tile == 0
        at_border.append(lines[places[border]])
        elsewhere.append(lines[places[~border]])
    border_lines, other_lines = np.concatenate(at_border), np.concatenate(elsewhere)
    if min(len(border_lines), len(other_lines)) < 2:
        raise ValueError(f"seams need 2 borders and 2 other lines, found {len(border_lines)} and {len(other_lines)}")
    error = np.sqrt(sum(one.var(ddof=1) / len(one) for one in (border_lines, other_lines)))
    apart = border_lines.mean() - other_lines.mean()
    return Seams(float(border_lines.mean() / other_lines.mean()), float(apart / error) if error else 0.0)
