"""Smoothing, and what a microscope's uneven light did."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

from storage.operations import Image, Stack
from storage.operations.intensity import fitted
from storage.operations.kernels import kernel

LARGEST_NETWORK = 1000
"""Voxels of the largest box whose median a sorting network takes, there 7 times as fast as scipy; beyond, scipy."""
LANES = 256


def median(stack: Stack, *, size_zyx: Sequence[int]) -> Stack:
    """Median over a box of voxels, channel by channel; takes camera noise away (Wang's rosettes: 2 2 2).

    size_zyx: edges of the box, 1 or more. The dtype stays; the label images stay as they are.
    """
    if len(size_zyx) != 3 or min(size_zyx) < 1:
        raise ValueError(f"size_zyx is three numbers of 1 or more, found {list(size_zyx)}")
    return replace(stack, image=np.stack([box_median(channel, size_zyx) for channel in stack.image]))


def box_median(image: NDArray[Any], size_zyx: Sequence[int]) -> NDArray[Any]:
    """The image Z Y X that `scipy.ndimage.median_filter` makes with this box, to the bit, and many times sooner.

    Edges are mirrored (scipy's "reflect"); of an even number of voxels the upper median is taken, and an even
    edge reaches one voxel further back than ahead.
    """
    voxels = int(np.prod(size_zyx))
    if voxels > LARGEST_NETWORK or image.dtype.kind not in "uif" or image.dtype.itemsize not in (1, 2, 4, 8):
        return ndimage.median_filter(image, size=tuple(size_zyx))
    result = np.empty(image.shape, image.dtype)
    z, y, x = (_mirrored(size, edge) for size, edge in zip(image.shape, size_zyx, strict=True))
    depth, height, width = size_zyx
    _box_medians(image, z, y, x, depth, height, width, _network(voxels), result)
    return result


@cache
def _mirrored(size: int, edge: int) -> NDArray[np.int64]:
    """Which voxel each place of an axis has that is widened for a box of that edge."""
    return np.pad(np.arange(size), (edge // 2, edge - edge // 2 - 1), mode="symmetric")


@cache
def _network(count: int) -> NDArray[np.int64]:
    """Pairs (a, b), in order, such that putting the smaller of each at a and the larger at b brings the upper
    median of `count` values to place count // 2: Batcher's merge exchange (Knuth, Art of Computer Programming 3,
    5.2.2 M) without the pairs that the median does not need.
    """
    pairs = []
    top = 1 << max((count - 1).bit_length() - 1, 0)
    stride = top
    while stride > 0:
        merge, remainder, distance = top, 0, stride
        while True:
            pairs += [(a, a + distance) for a in range(count - distance) if a & stride == remainder]
            if merge == stride:
                break
            merge, remainder, distance = merge // 2, stride, merge - stride
        stride //= 2
    needed, kept = {count // 2}, []
    for pair in reversed(pairs):
        if not needed.isdisjoint(pair):
            needed.update(pair)
            kept.append(pair)
    return np.array(kept[::-1], np.int64).reshape(-1, 2)


@kernel
def _box_medians(
    image: NDArray[Any],
    place_z: NDArray[np.int64],
    place_y: NDArray[np.int64],
    place_x: NDArray[np.int64],
    depth: int,
    height: int,
    width: int,
    pairs: NDArray[np.int64],
    result: NDArray[Any],
) -> None:
    """Sort LANES boxes at once, lane by lane, so that a comparison is one instruction for many voxels."""
    padded = np.empty((len(place_z), len(place_y), len(place_x)), image.dtype)
    for z in range(len(place_z)):
        for y in range(len(place_y)):
            for x in range(len(place_x)):
                padded[z, y, x] = image[place_z[z], place_y[y], place_x[x]]
    lanes = np.empty((depth * height * width, LANES), padded.dtype)
    for z in range(result.shape[0]):
        for y in range(result.shape[1]):
            for x in range(0, result.shape[2], LANES):
                many = min(LANES, result.shape[2] - x)
                voxel = 0
                for dz in range(depth):
                    for dy in range(height):
                        for dx in range(width):
                            lanes[voxel, :many] = padded[z + dz, y + dy, x + dx : x + dx + many]
                            voxel += 1
                for p in range(len(pairs)):
                    a, b = lanes[pairs[p, 0]], lanes[pairs[p, 1]]
                    for lane in range(many):
                        one, other = a[lane], b[lane]
                        a[lane], b[lane] = min(one, other), max(one, other)
                result[z, y, x : x + many] = lanes[len(lanes) // 2, :many]


def illumination(stack: Stack, *, field: ArrayLike) -> Stack:
    """Divide every plane by the light that fell on it.

    field: C Y X, above 0, mean 1 (see `illumination_field`). The dtype stays: whole numbers are rounded, and cut
    to what it holds.
    """
    light = np.asarray(field, np.float32)
    channels, _, height, width = stack.image.shape
    if light.shape != (channels, height, width):
        raise ValueError(f"the field is C Y X = {light.shape}, but the image has {(channels, height, width)}")
    if not (light > 0).all():
        raise ValueError("the field of light has values that are not above 0")
    return replace(stack, image=fitted(stack.image / light[:, None], stack.image.dtype))


def illumination_field(mean_image: Image, *, smoothing_px: float, lowest: float = 0.1) -> NDArray[np.float32]:
    """The uneven light of a microscope, from the mean of many fields of view (Singh et al. 2014).

    mean_image: C Y X.  smoothing_px: standard deviation of the Gaussian, in pixels; wide against a cell.
    lowest: no pixel's light is taken for less than this part of the mean, or dark corners would be blown up.
    Returns C Y X, mean 1 in each channel; 1 everywhere in a channel without light.
    """
    if smoothing_px < 0:
        raise ValueError(f"smoothing_px is 0 or more, found {smoothing_px}")
    fields = np.ones(mean_image.shape, np.float32)
    for field, channel in zip(fields, mean_image, strict=True):
        smooth = _smoothed(channel.astype(np.float64), smoothing_px)
        if smooth.mean() > 0:
            light = np.maximum(smooth / smooth.mean(), lowest)
            field[:] = light / light.mean()
    return fields


def _smoothed(plane: NDArray[np.float64], deviation: float) -> NDArray[np.float64]:
    """A plane Y X, mirrored at its edges, under a Gaussian; by cosine transform, which costs the same for any width."""
    waves = fft.dctn(plane, norm="ortho")
    rows, columns = (np.exp(-0.5 * (deviation * np.pi * np.arange(n) / n) ** 2) for n in plane.shape)
    return fft.idctn(waves * rows[:, None] * columns, norm="ortho")
