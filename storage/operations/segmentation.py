"""Label images: finding nuclei and cells, and measuring where objects lie.

Planes are segmented in two dimensions when a stack is one plane deep, and in three otherwise.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from storage.operations import LabelImage, Stack
from storage.operations.channels import channel_place, label_image
from storage.operations.kernels import kernel


def threshold(stack: Stack, *, channel: str, above: float, name: str) -> Stack:
    """Add a label image, 1 where a channel is above a value and 0 elsewhere.

    Osokin et al. 2017 mask by their red channel above 0.
    """
    return _with_labels(stack, name, (_channel(stack, channel) > above).astype(np.uint8))


def segment_nuclei(
    stack: Stack,
    *,
    channel: str,
    name: str = "nucleus",
    smoothing_px: float = 1.0,
    min_area_px: int = 50,
    split: bool = True,
    distance_px: int = 7,
) -> Stack:
    """Add a label image of bright round objects, numbered from 1 (int32).

    Otsu's threshold of the smoothed channel, holes filled; touching ones are parted by a watershed of the
    distance to the background.
    smoothing_px: standard deviation of the Gaussian in pixels of y and x (and z as far in micrometres, where known).
    min_area_px: objects of fewer voxels are left out.  split: whether to part touching ones.
    distance_px: no two centres are closer, in pixels.
    """
    smooth, spacing = _smoothed(stack, channel, smoothing_px)
    bright = ndimage.binary_fill_holes(smooth > threshold_otsu(smooth))
    found = _numbered(ndimage.label(bright, np.ones((3,) * bright.ndim))[0], min_area_px)
    if split and found.any():
        depth = ndimage.distance_transform_edt(found, spacing)
        depth = ndimage.gaussian_filter(depth, [smoothing_px / edge for edge in spacing])
        centres = peak_local_max(depth, min_distance=distance_px, labels=found, exclude_border=False)
        seeds = np.zeros(found.shape, np.int32)
        seeds[tuple(centres.T)] = np.arange(1, len(centres) + 1)
        found = _numbered(watershed(-depth, seeds, mask=found), min_area_px)
    return _with_labels(stack, name, found)


def segment_cells(
    stack: Stack, *, channel: str, nuclei: str = "nucleus", name: str = "cell", smoothing_px: float = 2.0
) -> Stack:
    """Add a label image of the cells around nuclei; a cell has the number of its nucleus (int32).

    A watershed from the nuclei over the smoothed channel, brightest first, as far as it is above Otsu's
    threshold.  nuclei: name of their label image.
    """
    smooth, _ = _smoothed(stack, channel, smoothing_px)
    seeds = label_image(stack.labels, nuclei).astype(np.int32).reshape(smooth.shape)
    inside = ndimage.binary_fill_holes(smooth > threshold_otsu(smooth)) | (seeds != 0)
    return _with_labels(stack, name, watershed(-smooth, seeds, mask=inside).astype(np.int32))


def objects(labels: LabelImage) -> dict[str, NDArray[Any]]:
    """Where each object of a label image Z Y X lies: arrays of one entry per object, by increasing label.

    label, voxels: int64.  z, y, x: centre of mass, float64 indices.  z0, z1, y0, y1, x0, x1: its box, half
    open, int64.  touches_border: whether it reaches the first or last y or x, so part of it may be missing.
    """
    volume = np.ascontiguousarray(labels)
    flat = volume.reshape(-1)
    names = np.unique(np.append(flat[:1], flat[1:][flat[1:] != flat[:-1]]))
    names = names[names != 0]
    voxels, sums = np.zeros(len(names), np.int64), np.zeros((len(names), 3), np.int64)
    low, high = np.full((len(names), 3), np.iinfo(np.int64).max), np.zeros((len(names), 3), np.int64)
    _measure(volume, names, voxels, sums, low, high)
    centre = sums / voxels[:, None]
    found: dict[str, NDArray[Any]] = {"label": names.astype(np.int64), "voxels": voxels}
    for axis, letter in enumerate("zyx"):
        found[letter], found[f"{letter}0"], found[f"{letter}1"] = centre[:, axis], low[:, axis], high[:, axis]
    found["touches_border"] = (low[:, 1:] == 0).any(axis=1) | (high[:, 1:] == volume.shape[1:]).any(axis=1)
    return found


def _channel(stack: Stack, name: str) -> NDArray[Any]:
    return stack.image[channel_place(stack.channels, name)]


def _with_labels(stack: Stack, name: str, labels: NDArray[Any]) -> Stack:
    if name in stack.labels:
        raise ValueError(f"there is already a label image {name!r}")
    return replace(stack, labels={**stack.labels, name: labels.reshape(stack.image.shape[1:])})


def _smoothed(stack: Stack, channel: str, deviation: float) -> tuple[NDArray[Any], tuple[float, ...]]:
    """A channel under a Gaussian, Y X if it is one plane and else Z Y X, and the edges of a voxel in edges of x."""
    volume = _channel(stack, channel)
    z_um, y_um, x_um = stack.pixel_um
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0)
    if x_um is not None and y_um is not None:
        spacing = (1.0 if z_um is None else z_um / x_um, y_um / x_um, 1.0)
    if len(volume) == 1:
        volume, spacing = volume[0], spacing[1:]
    smooth = volume.astype(np.result_type(volume.dtype, np.float32))
    return ndimage.gaussian_filter(smooth, [deviation / edge for edge in spacing]), spacing


def _numbered(labels: NDArray[Any], smallest: int) -> NDArray[np.int32]:
    """The objects of at least so many voxels, numbered from 1 in their order."""
    wanted = np.bincount(labels.ravel()) >= smallest
    wanted[0] = False
    return np.where(wanted, np.cumsum(wanted), 0).astype(np.int32)[labels]


@kernel
def _measure(
    volume: NDArray[Any],
    names: NDArray[Any],
    voxels: NDArray[np.int64],
    sums: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
) -> None:
    last, at = volume.dtype.type(0), 0
    for z in range(volume.shape[0]):
        for y in range(volume.shape[1]):
            for x in range(volume.shape[2]):
                label = volume[z, y, x]
                if label == 0:
                    continue
                if label != last:
                    last, at = label, np.searchsorted(names, label)
                voxels[at] += 1
                for axis, place in enumerate((z, y, x)):
                    sums[at, axis] += place
                    low[at, axis] = min(low[at, axis], place)
                    high[at, axis] = max(high[at, axis], place + 1)
