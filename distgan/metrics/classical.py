"""Classical features of cells, of every channel by itself and of every two: what learned features are compared with.

After the families of CellProfiler (Carpenter et al. 2006); which of each are taken, and their settings, are ours. An
image is a cell, dark around, its channels from 0 to 1; the object of a channel is the largest piece above Otsu's
threshold.

    5  intensity    mean, standard deviation, skewness, kurtosis, largest
    5  shape        of the object: area, eccentricity, solidity, extent, form factor
    4  radial       share of the light in rings about the middle of the image, each as wide as an eighth of its edge
    5  granularity  share of the light that goes as openings grow from 1 to 5 pixels (Ravkin and Temov 1988)
   26  texture      Haralick's first 13 of eight grey levels, of neighbours at 1 and at 3 pixels, the dark not counted
    1  of every two channels: their correlation over the image

Lengths are in pixels: compare images of one pixel size.
"""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops

from distgan.metrics.texture import haralick

RINGS, OPENINGS, LEVELS, STEPS = 4, 5, 8, (1, 3)
OF_CHANNEL = 5 + 5 + RINGS + OPENINGS + 13 * len(STEPS)
Values = NDArray[np.float64]


def size(channels: int) -> int:
    """How many features there are of an image of so many channels."""
    return channels * OF_CHANNEL + channels * (channels - 1) // 2


def classical(images: NDArray[np.floating]) -> NDArray[np.float32]:
    """Features of images N C H W in [0, 1]: N `size(C)`, finite, channel by channel and then the correlations."""
    return np.stack([_of_image(image.astype(np.float64)) for image in images]).astype(np.float32)


def _of_image(image: Values) -> Values:
    """C H W -> D."""
    parts = [one for channel in image for one in (_of_channel(channel))]
    pairs = [_correlation(one, other) for one, other in combinations(image, 2)]
    return np.nan_to_num(np.concatenate([*parts, np.asarray(pairs)]), posinf=0.0, neginf=0.0)


def _of_channel(channel: Values) -> list[Values]:
    levels = np.minimum(np.ceil(channel * LEVELS), LEVELS).astype(np.uint8)
    textures = [haralick(levels, LEVELS, step) for step in STEPS]
    return [_intensity(channel), _shape(channel), _radial(channel), _granularity(channel), *textures]


def _intensity(channel: Values) -> Values:
    centred, deviation = channel - channel.mean(), channel.std()
    scale = max(deviation, 1e-9)
    moments = [(centred**power).mean() / scale**power for power in (3, 4)]
    return np.asarray([channel.mean(), deviation, *moments, channel.max()])


def _shape(channel: Values) -> Values:
    if np.ptp(channel) == 0:
        return np.zeros(5)
    found = regionprops(label(channel > threshold_otsu(channel)))
    one = max(found, key=lambda region: region.area)
    around = max(one.perimeter, 1.0)
    return np.asarray([one.area, one.eccentricity, one.solidity, one.extent, 4 * np.pi * one.area / around**2])


def _radial(channel: Values) -> Values:
    height, width = channel.shape
    y, x = np.indices(channel.shape)
    away = np.hypot((y - (height - 1) / 2) / height, (x - (width - 1) / 2) / width)
    ring = np.minimum(away * 2 * RINGS, RINGS).astype(np.int64)  # corners are in none
    light = np.bincount(ring.ravel(), channel.ravel(), RINGS + 1)[:RINGS]
    return light / max(channel.sum(), 1e-9)


def _granularity(channel: Values) -> Values:
    """Each opening is of what the one before has left."""
    light = [channel.sum()]
    opened = channel
    for radius in range(1, OPENINGS + 1):
        opened = ndimage.grey_opening(channel, footprint=_disc(radius))
        light.append(opened.sum())
    return -np.diff(light) / max(light[0], 1e-9)


def _disc(radius: int) -> NDArray[np.bool_]:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x**2 + y**2 <= radius**2)


def _correlation(one: Values, other: Values) -> float:
    spread = one.std() * other.std()
    return float(((one - one.mean()) * (other - other.mean())).mean() / spread) if spread > 1e-12 else 0.0
