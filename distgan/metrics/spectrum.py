"""Power spectra of images, averaged over directions: blur, checkerboards and noise are plain in them.

Networks that enlarge by transposed convolutions miss the spectrum of real images (Durall et al. 2020).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
IMAGES = 256
"""That are transformed at once."""


@dataclass(frozen=True)
class Spectrum:
    """frequencies: F, in cycles per pixel, up to 0.5 along the shorter edge.  power: C F, in squared units of the
    images.
    """

    frequencies: Floats
    power: Floats


def radial_spectrum(images: NDArray[np.floating]) -> Spectrum:
    """The mean power spectrum of images N C H W, averaged over rings.

    The mean of each channel of each image is taken off, and a Hann window keeps what the edges cut from leaking.
    """
    count, channels, height, width = images.shape
    y, x = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    edge = min(height, width)
    rings = np.rint(np.hypot(y, x) * edge).astype(int).ravel()
    kept = edge // 2
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]
    total = np.zeros((channels, height * width))
    for start in range(0, count, IMAGES):
        part = images[start : start + IMAGES].astype(np.float64)
        part = (part - part.mean((2, 3), keepdims=True)) * window
        total += (np.abs(np.fft.fft2(part)) ** 2).sum(0).reshape(channels, -1)
    total /= count * (window**2).sum()
    size = np.bincount(rings)
    power = np.stack([np.bincount(rings, one) / np.maximum(size, 1) for one in total])
    return Spectrum(np.arange(1, kept + 1) / edge, power[:, 1 : kept + 1])


def log_distance(one: Spectrum, other: Spectrum) -> Floats:
    """Root mean square over frequencies of 10 log10 of the ratio of powers, in dB: C.

    >>> import numpy as np
    >>> at = np.array([0.25, 0.5])
    >>> log_distance(Spectrum(at, np.array([[1.0, 1.0]])), Spectrum(at, np.array([[10.0, 0.1]]))).tolist()
    [10.0]
    """
    ratio = 10 * np.log10(_positive(one.power) / _positive(other.power))
    return np.asarray(np.sqrt((ratio**2).mean(1)))


def _positive(power: Floats) -> Floats:
    """Nought has no logarithm; 120 dB below the strongest stands for it."""
    return np.maximum(power, max(1e-12 * float(power.max()), np.finfo(np.float64).tiny))
