"""NPY files: one array, mapped into memory, never unpickled."""

from pathlib import Path

import numpy as np

from storage.image_facts import BadFile, Box, Frames, ImageFacts, Limits, channel_names, sample_names


def survey(path: Path, limits: Limits) -> tuple[ImageFacts, ...]:
    """The one array of the file: Y X, Z Y X, Y X C, C Z Y X or Z Y X C; C is last where that axis is at most 4 long.

    Raises BadFile.
    """
    array = _open(path)
    limits.check(array.nbytes, path.stat().st_size)
    shape = _tczyx(array).shape
    colours = array.ndim > 2 and _samples_last(array)
    names = sample_names(shape[1]) if colours else channel_names(shape[1])
    dtype = "uint8" if array.dtype == bool else array.dtype.name
    return (ImageFacts(shape, array.shape, dtype, array.dtype.name, names),)


def read(path: Path, facts: ImageFacts, box: Box, limits: Limits) -> Frames:
    """The pixels in `box`, T C Z Y X.

    Raises BadFile.
    """
    if survey(path, limits) != (facts,):
        raise BadFile("changed", "another header than before")
    return np.array(_tczyx(_open(path))[box], facts.dtype, order="C")


def _open(path: Path) -> np.memmap:
    with path.open("rb") as stream:
        if stream.read(6) != b"\x93NUMPY":
            raise BadFile("not_an_image", "it does not begin as an NPY file does")
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim not in (2, 3, 4) or array.dtype.kind not in "buif":
        raise BadFile("unsupported", f"an array of shape {array.shape} and dtype {array.dtype}")
    if not array.size:
        raise BadFile("empty", f"an array of shape {array.shape}")
    return array


def _samples_last(array: Frames) -> bool:
    return array.shape[-1] <= 4


def _tczyx(array: Frames) -> Frames:
    if array.ndim == 2:
        return array[None, None, None]
    if _samples_last(array):
        planes = np.moveaxis(array, -1, 0)
        return planes[None] if array.ndim == 4 else planes[None, :, None]
    return array[None] if array.ndim == 4 else array[None, None]
