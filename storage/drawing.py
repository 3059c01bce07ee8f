"""Drawing microscopy: smooth noise, scattered middles, filaments, and the camera. It knows no data set."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.random import Generator, Philox, SeedSequence
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def philox(*key: int) -> Generator:
    """Random numbers that depend on `key` alone: whatever has a key of its own can be drawn in any order."""
    return Generator(Philox(SeedSequence(key)))


def blur(image: Floats, sigma: Sequence[float]) -> Floats:
    """Gaussian blur of the last axes, `sigma` pixels along each; what leaves at one edge comes in at the other."""
    axes = tuple(range(-len(sigma), 0))
    spectrum = np.fft.rfftn(image, axes=axes)
    for axis, pixels in zip(axes, sigma, strict=True):
        waves = (np.fft.rfftfreq if axis == -1 else np.fft.fftfreq)(image.shape[axis])
        spectrum *= np.exp(-2 * np.square(np.pi * pixels * waves)).reshape(-1, *[1] * (-1 - axis))
    return np.asarray(np.fft.irfftn(spectrum, [image.shape[axis] for axis in axes], axes))


def smooth_noise(rng: Generator, shape: tuple[int, ...], sigma: Sequence[float]) -> Floats:
    """Normal noise, blurred over `sigma` pixels along the last axes, with mean 0 and standard deviation 1."""
    noise = blur(rng.normal(size=shape), sigma)
    return np.asarray((noise - noise.mean()) / noise.std())


def speckle(rng: Generator, shape: tuple[int, ...], sigma: Sequence[float], spread: float) -> Floats:
    """What to multiply light by to make it patchy: log-normal, mean 1, `spread` is the logarithm's deviation."""
    patches = np.exp(spread * smooth_noise(rng, shape, sigma))
    return np.asarray(patches / patches.mean())


def step(value: Floats | float, at: float, over: float) -> Floats:
    """From 0 to 1 as `value` passes `at`, smoothly: the logistic function of (value - at) / over."""
    return np.asarray(1 / (1 + np.exp(np.clip((at - np.asarray(value)) / over, -60, 60))))


def scattered(rng: Generator, count: int, size: tuple[int, int], tries: int = 12) -> Floats:
    """`count` places within `size` that keep apart: each is that of `tries` which is farthest from all; count 2."""
    places = rng.uniform(0, size, (1, 2))
    while len(places) < count:
        new = rng.uniform(0, size, (tries, 2))
        apart = np.linalg.norm(new[:, None] - places, axis=2).min(1)
        places = np.vstack([places, new[apart.argmax()]])
    return places[:count]


def filaments(rng: Generator, starts: Floats, angles: Floats, steps: int, bend: float) -> Floats:
    """Paths of `steps` half pixels from each of N 2 `starts`, turning by about `bend` at each; N steps 2."""
    heading = angles[:, None] + np.cumsum(rng.normal(0, bend, (len(starts), steps)), axis=1)
    return starts[:, None] + 0.5 * np.cumsum(np.stack([np.sin(heading), np.cos(heading)], axis=2), axis=1)


def splat(points: Floats, light: Floats, shape: tuple[int, int]) -> Floats:
    """The light of points N 2 added up in the pixels they lie in; those outside the image are lost."""
    pixels = np.rint(points).astype(np.intp)
    seen = ((pixels >= 0) & (pixels < shape)).all(1)
    places = pixels[seen, 0] * shape[1] + pixels[seen, 1]
    return np.asarray(np.bincount(places, light[seen], shape[0] * shape[1]).reshape(shape), np.float64)


def expose(
    rng: Generator, light: Floats, dtype: type[np.unsignedinteger[Any]], *, offset: float, gain: float, noise: float
) -> NDArray[Any]:
    """Photograph `light`, in counts: photons of `gain` counts each, and the camera's own `offset` and `noise`."""
    counts = rng.poisson(np.maximum(light, 0) / gain) * gain + rng.normal(offset, noise, light.shape)
    return counts.round().clip(0, np.iinfo(dtype).max).astype(dtype)
