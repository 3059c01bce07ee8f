"""Cells in a common pose (Johnson et al. 2017, section 3.1): along x, nucleus in the middle, skewed to the right.

Planes are turned and shifted; z stays. The middle of a plane is the point at H / 2, W / 2 from its edges, that
is the index (H - 1) / 2, (W - 1) / 2: so a mirrored plane has the same middle.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.operations import LabelImage, Stack
from storage.operations.channels import channel_place, label_image
from storage.operations.intensity import fitted
from storage.operations.kernels import kernel

SYMMETRIC = 1e-6
"""Skewness below which a distribution has no longer side."""


def align(stack: Stack, *, labels: str, centre: str | None = None) -> Stack:
    """Turn the planes so that the major axis of a label image lies along x.

    labels: its name; what is not 0 counts, all z together.  centre: name of the label image whose centre of
    mass comes to the middle; `labels` by default. Both in one interpolation, linear for the image (the dtype stays),
    nearest for label images; outside is 0. The plane becomes a square of even edge that holds all that was there,
    so crop or pad it afterwards. An axis has no direction: see `flip_by_skew`. Nothing turns when the label image
    is 0 everywhere or as wide as long.
    """
    _, y_um, x_um = stack.pixel_um
    if y_um is not None and x_um is not None and not math.isclose(y_um, x_um, rel_tol=0.01):
        raise ValueError(f"align needs square pixels, found {y_um} x {x_um} um: use resample before")
    angle = major_axis(label_image(stack.labels, labels))
    y, x = centre_of_mass(label_image(stack.labels, centre or labels))
    height, width = stack.image.shape[2:]
    farthest = max(
        math.hypot(corner_y - y, corner_x - x) for corner_y in (0, height - 1) for corner_x in (0, width - 1)
    )
    edge = 2 * math.ceil(farthest + 1)
    return _posed(stack, (edge, edge), (y, x), angle)


def centre_on(stack: Stack, *, labels: str) -> Stack:
    """Shift the planes so that the centre of mass of a label image comes to the middle.

    labels: its name; what is not 0 counts, all z together. Linear interpolation for the image (the dtype stays),
    nearest for label images; what leaves the plane is lost and what enters is 0.
    """
    height, width = stack.image.shape[2:]
    return _posed(stack, (height, width), centre_of_mass(label_image(stack.labels, labels)), 0.0)


def flip_by_skew(stack: Stack, *, labels: str, channel: str | None = None) -> Stack:
    """Mirror the planes along y and along x so that the longer tail lies to higher y and x.

    The third central moments along both axes, all z together, become positive or stay 0. labels: name of the
    label image whose inside counts.  channel: name of the channel that weighs it; by default all voxels weigh
    the same.
    """
    weights = (label_image(stack.labels, labels) != 0).sum(axis=0, dtype=np.float64)
    if channel is not None:
        inside = label_image(stack.labels, labels) != 0
        weights = (stack.image[channel_place(stack.channels, channel)] * inside).sum(axis=0, dtype=np.float64)
    rows, columns = (slice(None, None, -1 if skewness(weights.sum(axis)) < -SYMMETRIC else 1) for axis in (1, 0))
    return replace(
        stack,
        image=stack.image[..., rows, columns],
        labels={name: volume[..., rows, columns] for name, volume in stack.labels.items()},
    )


def major_axis(labels: LabelImage) -> float:
    """Angle in radians, -pi/2 .. pi/2, from x towards y, of the axis along which a label image Z Y X is longest.

    The direction of the largest second moment of what is not 0; 0 where no direction is longer.
    """
    z, y, x = np.nonzero(labels)
    if len(z) == 0:
        return 0.0
    y, x = y - y.mean(), x - x.mean()
    return math.atan2(2 * (x @ y), x @ x - y @ y) / 2


def centre_of_mass(labels: LabelImage) -> tuple[float, float]:
    """Mean index y, x of what is not 0 in a label image Z Y X; its middle where nothing is."""
    z, y, x = np.nonzero(labels)
    if len(z) == 0:
        return (labels.shape[1] - 1) / 2, (labels.shape[2] - 1) / 2
    return float(y.mean()), float(x.mean())


def skewness(weights: NDArray[np.float64]) -> float:
    """Third standardised moment of the place along an axis, weighted; 0 where there is no weight or no width."""
    total = weights.sum()
    if not total > 0:
        return 0.0
    place = np.arange(len(weights)) - (weights @ np.arange(len(weights))) / total
    variance = (weights @ place**2) / total
    return 0.0 if not variance > 0 else float((weights @ place**3) / total / variance**1.5)


def _posed(stack: Stack, shape: tuple[int, int], middle: tuple[float, float], angle: float) -> Stack:
    """Planes of a shape whose middle shows the place `middle`, and whose x axis lies at `angle`."""
    channels, depth, height, width = stack.image.shape
    planes = np.ascontiguousarray(stack.image).reshape(channels * depth, height, width)
    found = np.empty((len(planes), *shape), np.result_type(planes.dtype, np.float32))
    cosine, sine = math.cos(angle), math.sin(angle)
    _turn_linear(planes, *middle, cosine, sine, found)
    labels = {}
    for name, volume in stack.labels.items():
        labels[name] = np.empty((depth, *shape), volume.dtype)
        _turn_nearest(np.ascontiguousarray(volume), *middle, cosine, sine, labels[name])
    return replace(stack, image=fitted(found, planes.dtype).reshape(channels, depth, *shape), labels=labels)


@kernel
def _turn_linear(
    planes: NDArray[Any], middle_y: float, middle_x: float, cosine: float, sine: float, result: NDArray[Any]
) -> None:
    """Bilinear interpolation of planes N Y X, as if zeros surrounded them."""
    count, height, width = planes.shape
    for n in range(count):
        for i in range(result.shape[1]):
            dy = i - (result.shape[1] - 1) / 2
            for j in range(result.shape[2]):
                dx = j - (result.shape[2] - 1) / 2
                y = middle_y + dx * sine + dy * cosine
                x = middle_x + dx * cosine - dy * sine
                top, left = math.floor(y), math.floor(x)
                value = 0.0
                for row in (top, top + 1):
                    for column in (left, left + 1):
                        if 0 <= row < height and 0 <= column < width:
                            value += planes[n, row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
                result[n, i, j] = value


@kernel
def _turn_nearest(
    planes: NDArray[Any], middle_y: float, middle_x: float, cosine: float, sine: float, result: NDArray[Any]
) -> None:
    """The nearest voxel of planes N Y X, 0 outside."""
    count, height, width = planes.shape
    for n in range(count):
        for i in range(result.shape[1]):
            dy = i - (result.shape[1] - 1) / 2
            for j in range(result.shape[2]):
                dx = j - (result.shape[2] - 1) / 2
                row = math.floor(middle_y + dx * sine + dy * cosine + 0.5)
                column = math.floor(middle_x + dx * cosine - dy * sine + 0.5)
                inside = 0 <= row < height and 0 <= column < width
                result[n, i, j] = planes[n, row, column] if inside else 0
