"""Which part of space a stack shows, and on which grid. Label images follow the image."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from storage.operations import Stack
from storage.operations.intensity import fitted

Volume = NDArray[Any]
"""Z Y X."""


def max_projection(stack: Stack) -> Stack:
    """The brightest value along z, and the highest label: one plane, whose depth in micrometres is unknown."""
    return replace(
        stack,
        image=stack.image.max(axis=1, keepdims=True),
        labels={name: labels.max(axis=0, keepdims=True) for name, labels in stack.labels.items()},
        pixel_um=(None, *stack.pixel_um[1:]),
    )


def resample(stack: Stack, *, pixel_um: float | Sequence[float]) -> Stack:
    """Show the same space with voxels of another size.

    pixel_um: micrometres; one number for y and x, or two for y, x, or three for z, y, x.
    The voxels have exactly this size, and the field of view changes by less than half of one on each side; the
    middle stays in the middle. See `resize` for the interpolation.
    """
    wanted = [pixel_um] * 2 if isinstance(pixel_um, (int, float)) else list(pixel_um)
    if len(wanted) not in (2, 3) or min(wanted) <= 0:
        raise ValueError(f"pixel_um is one, two or three numbers above 0, found {pixel_um}")
    step = [1.0] * (3 - len(wanted))
    for axis, new in zip("zyx"[-len(wanted) :], wanted, strict=True):
        if (old := stack.pixel_um["zyx".index(axis)]) is None:
            raise ValueError(f"the size of a voxel in {axis} is not known, so it cannot become {new} um")
        step.append(new / old)
    shape = [max(1, round(n / s)) for n, s in zip(stack.image.shape[1:], step, strict=True)]
    z_um = stack.pixel_um[0] if len(wanted) == 2 else float(wanted[0])
    return replace(_on_grid(stack, shape, step), pixel_um=(z_um, float(wanted[-2]), float(wanted[-1])))


def resize(stack: Stack, *, size: Sequence[int]) -> Stack:
    """Show the same space with this many voxels.

    size: H W, or D H W. Images are interpolated linearly, after a Gaussian of (factor - 1) / 2 pixels where
    they shrink, and whole numbers are rounded: the dtype stays. Label images take the nearest voxel.
    """
    old, new = stack.image.shape[1:], _size(size, stack.image.shape[1:])
    step = [n / m for n, m in zip(old, new, strict=True)]
    z, y, x = (None if um is None else um * s for um, s in zip(stack.pixel_um, step, strict=True))
    return replace(_on_grid(stack, new, step), pixel_um=(z, y, x))


def pad(stack: Stack, *, size: Sequence[int]) -> Stack:
    """Add zeros around the stack until it has this size; edges that are longer stay.

    size: H W, or D H W. An odd number of zeros puts one more behind than before.
    """
    missing = [max(0, m - n) for n, m in zip(stack.image.shape[1:], _size(size, stack.image.shape[1:]), strict=True)]
    around = [(zeros // 2, zeros - zeros // 2) for zeros in missing]
    return _each(stack, lambda volume: np.pad(volume, around), lambda volume: np.pad(volume, around))


def centre_crop(stack: Stack, *, size: Sequence[int]) -> Stack:
    """Cut away what surrounds the middle of this size; edges that are shorter stay.

    size: H W, or D H W. An odd number of voxels is cut by one more behind than before; so it undoes `pad`.
    """
    old, new = stack.image.shape[1:], _size(size, stack.image.shape[1:])
    starts = [max(0, n - m) // 2 for n, m in zip(old, new, strict=True)]
    box = tuple(slice(start, start + m) for start, m in zip(starts, new, strict=True))
    return _each(stack, lambda volume: volume[box], lambda volume: volume[box])


def resampled(volume: Volume, shape: Sequence[int], step: Sequence[float], *, nearest: bool) -> Volume:
    """A volume Z Y X on another grid with the same middle.

    shape: of the new grid.  step: distance of its points along z, y, x, in voxels of the old one.
    nearest: take the nearest voxel, instead of interpolating linearly what was smoothed where it shrinks.
    """
    offset = [(n - 1 - s * (m - 1)) / 2 for n, m, s in zip(volume.shape, shape, step, strict=True)]
    if nearest:
        return ndimage.affine_transform(volume, np.array(step), offset, tuple(shape), order=0, mode="nearest")
    blur = [max(0.0, (s - 1) / 2) for s in step]
    smooth = ndimage.gaussian_filter(volume.astype(np.result_type(volume.dtype, np.float32)), blur, mode="nearest")
    found = ndimage.affine_transform(smooth, np.array(step), offset, tuple(shape), order=1, mode="nearest")
    return fitted(found, volume.dtype)


def _on_grid(stack: Stack, shape: Sequence[int], step: Sequence[float]) -> Stack:
    return _each(
        stack,
        lambda volume: resampled(volume, shape, step, nearest=False),
        lambda volume: resampled(volume, shape, step, nearest=True),
    )


def _each(stack: Stack, of_channel: Callable[[Volume], Volume], of_labels: Callable[[Volume], Volume]) -> Stack:
    return replace(
        stack,
        image=np.stack([of_channel(channel) for channel in stack.image]),
        labels={name: of_labels(labels) for name, labels in stack.labels.items()},
    )


def _size(size: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """D H W, where D stays when two numbers are given."""
    if len(size) not in (2, 3) or min(size) < 1:
        raise ValueError(f"size is H W or D H W, each 1 or more, found {list(size)}")
    return (*shape[: 3 - len(size)], *size)
