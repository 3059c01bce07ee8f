"""Brightness: which values become black and which become white."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from storage.operations import Image, Stack
from storage.operations.kernels import kernel

WHITE = 255.0


def display_range(stack: Stack, *, low: float, high: float) -> Stack:
    """Map the values low..high to 0..255 and cut what is outside; the result is uint8."""
    if not -np.inf < low < high < np.inf:
        raise ValueError(f"low must be less than high, found {low} and {high}")
    count = len(stack.image)
    return replace(stack, image=to_bytes(stack.image, np.full(count, low), np.full(count, high)))


def percentile_range(stack: Stack, *, low: float = 0.0, high: float = 100.0) -> Stack:
    """Map the range between two percentiles of each channel to 0..255 and cut what is outside; the result is uint8.

    low, high: in per cent, 0 <= low < high <= 100, of the voxels of this image; see `percentiles`.
    """
    if not 0 <= low < high <= 100:
        raise ValueError(f"percentiles are 0 <= low < high <= 100, found {low} and {high}")
    return replace(stack, image=to_bytes(stack.image, *percentiles(stack.image, low, high)))


def rescale_max(stack: Stack) -> Stack:
    """Divide each channel by its maximum and map 0..1 to 0..255; the result is uint8.

    CytoGAN does so with every cell ("normalize luminance", Goldsborough et al. 2017). It takes absolute
    brightness away, which may be what a treatment changed. A channel without values above 0 becomes 0.
    """
    brightest = np.nanmax(stack.image, axis=(1, 2, 3), initial=0).astype(np.float64)
    return replace(stack, image=to_bytes(stack.image, np.zeros(len(brightest)), brightest))


def subtract_mode(stack: Stack) -> Stack:
    """Subtract from each channel its most frequent value, the background; what was darker becomes 0.

    The smallest of equally frequent values counts (Johnson et al. 2017, section 3.1). The dtype stays.
    Whole numbers of 8 or 16 bits only: among real numbers none is frequent.
    """
    if not _countable(stack.image):
        raise ValueError(f"subtract_mode takes whole numbers of 8 or 16 bits, found {stack.image.dtype}")
    result = np.empty(stack.image.shape, stack.image.dtype)
    channels = len(result)
    image = np.ascontiguousarray(stack.image).reshape(channels, -1)
    _above_modes(image, int(np.iinfo(image.dtype).max), result.reshape(channels, -1))
    return replace(stack, image=result)


def percentiles(image: Image, low: float, high: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two percentiles of each C of an image C Z Y X.

    The percentile p is the smallest value that at least p per cent of the voxels do not exceed, so a value that
    occurs: numpy's method "inverted_cdf". What is not finite does not count; where nothing is, both are 0.
    """
    found = np.zeros((2, len(image)))
    if _countable(image):
        _percentiles(np.ascontiguousarray(image).reshape(len(image), -1), low / 100, high / 100, found)
        return found[0], found[1]
    for c, channel in enumerate(image):
        if (finite := channel[np.isfinite(channel)]).size:
            found[:, c] = np.percentile(finite, (low, high), method="inverted_cdf")
    return found[0], found[1]


def to_bytes(image: Image, low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Map low..high of each C to 0..255, rounded to even and cut; where they are equal, all above is 255.

    image: C Z Y X.  low, high: one value per C. NaN becomes 0. Single precision for 8 and 16 bits and float32.
    """
    precise = np.result_type(image.dtype, np.float32)
    scale = np.divide(WHITE, high - low, out=np.zeros(len(low)), where=high > low)
    result = np.empty(image.shape, np.uint8)
    low, high, scale = (column.astype(precise) for column in (low, high, scale))
    _to_bytes(np.ascontiguousarray(image).reshape(len(image), -1), low, high, scale, result.reshape(len(image), -1))
    return result


def fitted(values: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Values as `dtype`: rounded to even and cut to what it holds where it is whole numbers."""
    wanted = np.dtype(dtype)
    if wanted.kind == "f":
        return values.astype(wanted, copy=False)
    limits = np.iinfo(wanted)
    return np.clip(np.rint(values), limits.min, limits.max).astype(wanted)


def _countable(image: Image) -> bool:
    """Whether there are few enough different values to count each."""
    return image.dtype.kind in "ui" and image.dtype.itemsize <= 2


@kernel
def _to_bytes(
    image: NDArray[Any], low: NDArray[Any], high: NDArray[Any], scale: NDArray[Any], result: NDArray[np.uint8]
) -> None:
    for c in range(len(image)):
        bottom, top, factor = low[c], high[c], scale[c]
        for i in range(image.shape[1]):
            value = low.dtype.type(image[c, i])
            if value > top:
                result[c, i] = 255
            elif value > bottom:
                result[c, i] = np.uint8(np.rint((value - bottom) * factor))
            else:
                result[c, i] = 0


@kernel
def _counts(values: NDArray[Any]) -> tuple[np.int64, NDArray[np.uint32]]:
    """The smallest of some whole numbers, and how often it and each one after it occur, up to the largest."""
    smallest, largest = values[0], values[0]
    for i in range(len(values)):  # comparisons, of which numba makes faster code than of min and max
        smallest = values[i] if values[i] < smallest else smallest
        largest = values[i] if values[i] > largest else largest
    counts = np.zeros(np.int64(largest) - np.int64(smallest) + 1, np.uint32)
    for i in range(len(values)):  # at places without a sign, which cannot mean the other end
        counts[np.uint64(np.int64(values[i]) - np.int64(smallest))] += np.uint32(1)
    return np.int64(smallest), counts


@kernel
def _percentiles(image: NDArray[Any], low: float, high: float, found: NDArray[np.float64]) -> None:
    for c in range(len(image)):
        first, counts = _counts(image[c])
        for which, part in ((0, low), (1, high)):
            wanted = part * image.shape[1]
            value, seen = 0, np.int64(counts[0])
            while seen < wanted:
                value += 1
                seen += counts[value]
            found[which, c] = first + value


@kernel
def _above_modes(image: NDArray[Any], most: int, result: NDArray[Any]) -> None:
    for c in range(len(image)):
        first, counts = _counts(image[c])
        mode = image.dtype.type(first + np.argmax(counts))
        if mode >= 0:
            for i in range(image.shape[1]):
                result[c, i] = image[c, i] - mode if image[c, i] > mode else 0
        else:  # the difference may be more than the dtype holds
            for i in range(image.shape[1]):
                result[c, i] = min(max(np.int64(image[c, i]) - np.int64(mode), 0), most)
