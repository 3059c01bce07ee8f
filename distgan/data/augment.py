"""Images as they are trained on, changed as a microscope could have changed them; on the device, in batches.

In the order in which light goes: the place (mirrored, turned, shifted), the optics (blurred), the intensity, and the
camera (noise). Channels are of different dyes, so each is drawn by itself and none is mixed with another. Slices of a
volume are not mixed either: what is done is done along H and W.

What happens to an image is a function of the seed and its position in the stream, and of nothing else; so it
is the same on any number of workers and after a resume, and another one when the image comes again. Hence only
operations that IEEE 754 rounds correctly touch pixels (+, -, x, square root, and a table for the normal distribution):
their bits depend neither on the batch nor on the device.
"""

from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from distgan.config.sections import Augment
from storage.errors import RecipeError

GOLDEN_GAMMA = 0x9E3779B97F4A7C15
"""By what the state of SplitMix64 grows (Steele et al. 2014)."""
SHIFT, BLUR, INTENSITY, NOISE, PIXELS = range(1, 6)
"""What the random numbers are for; each has a stream of its own."""
BLUR_SIGMAS = 3
"""Where a blur's kernel ends, in standard deviations."""


def check_augment(augment: Augment, shape: tuple[int, ...]) -> None:
    """Raises RecipeError: images of that shape (.. H W) cannot be turned, shifted or blurred as asked."""
    size = f"images of {shape[-2]} x {shape[-1]}"
    if augment.quarter_turns and shape[-2] != shape[-1]:
        raise RecipeError(
            "images that are not square cannot be turned by a quarter",
            f"augment.quarter_turns = true, and {size}",
            "Set augment.quarter_turns = false; augment.flip does not mind",
        )
    most = min(shape[-2:]) - 1
    if augment.shift_px > most:
        raise RecipeError(
            "images cannot be shifted by their own size",
            f"augment.shift_px = {augment.shift_px}, and {size}",
            f"Set augment.shift_px to {most} or less; a tenth of the size is usual",
        )
    if _blur_radius(augment) > most:
        raise RecipeError(
            "a blur's kernel cannot be wider than the image",
            f"augment.blur_px = {augment.blur_px}, so {_blur_radius(augment)} pixels to each side, and {size}",
            f"Set augment.blur_px to {most // BLUR_SIGMAS} or less; 1 is usual",
        )


def augmented(images: Tensor, augment: Augment, seed: int, position: int) -> Tensor:
    """The images as they are trained on.

    images: N C H W or N C D H W, float32 in [-1, 1], and so is what is returned.  position: of the first in the
    stream.
    """
    bits = random_bits(seed, position, len(images))
    images = _turned(images, augment, bits)
    if augment.shift_px:
        images = _shifted(images, augment, bits)
    if augment.blur_px:
        images = _blurred(images, augment, bits)
    if augment.gain or augment.offset or augment.gamma:
        images = _brightened(images, augment, bits)
    if augment.noise or augment.shot_noise:
        images = _noisy(images, augment, bits)
    return images


def moved(labels: Tensor, augment: Augment, seed: int, position: int) -> Tensor:
    """Label images, N H W or N D H W, in the places to which `augmented` brings their images; nought comes in as black.

    A shift by parts of a pixel is rounded: labels have no values in between.
    """
    bits = random_bits(seed, position, len(labels))
    found = _turned(labels[:, None], augment, bits)
    return (_shifted(found, augment, bits, nearest=True, black=0) if augment.shift_px else found)[:, 0]


def _turned(images: Tensor, augment: Augment, bits: NDArray[np.uint64]) -> Tensor:
    if augment.flip:
        images = _where(bits & 1, images.flip(-1), images)
        images = _where(bits & 2, images.flip(-2), images)
    if augment.quarter_turns:
        images = _where(bits & 4, images.flip(-2, -1), images)
        images = _where(bits & 8, images.rot90(1, (-2, -1)), images)
    return images


def random_bits(seed: int, position: int, count: int) -> NDArray[np.uint64]:
    """64 random bits for each of `count` positions: the finaliser of SplitMix64 (Steele et al. 2014), twice."""
    positions = np.arange(position, position + count, dtype=np.uint64)
    return _mixed(positions ^ _mixed(np.array([seed], np.uint64)))


def normal(keys: NDArray[np.uint64], count: int, device: torch.device) -> Tensor:
    """Standard normal numbers, `count` for each key, N x count, the same on every device.

    Each 64 bits of the SplitMix64 that begins at the key look up four of 65,536 quantiles; the largest is 4.3.
    """
    first = torch.from_numpy(keys.view(np.int64)).to(device)
    steps = torch.arange(1, (count + 3) // 4 + 1, device=device)
    values = first[:, None] + steps * _signed(GOLDEN_GAMMA)
    values = (values ^ _shifted_right(values, 30)).mul_(_signed(0xBF58476D1CE4E5B9))
    values = (values ^ _shifted_right(values, 27)).mul_(_signed(0x94D049BB133111EB))
    values ^= _shifted_right(values, 31)
    places = values.view(torch.int16)[:, :count].to(torch.int32).add_(1 << 15)
    return _quantiles(device).index_select(0, places.reshape(-1)).view(len(keys), count)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = values + np.uint64(GOLDEN_GAMMA)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _signed(value: int) -> int:
    """The same 64 bits as torch has them."""
    return value - (1 << 64) if value >> 63 else value


def _shifted_right(values: Tensor, places: int) -> Tensor:
    """As of unsigned numbers."""
    return (values >> places).bitwise_and_((1 << (64 - places)) - 1)


@cache
def _quantiles(device: torch.device) -> Tensor:
    middles = (torch.arange(1 << 16, dtype=torch.float64) + 0.5) / (1 << 16)
    found = torch.special.ndtri(middles)
    return (found / found.square().mean().sqrt()).to(device, torch.float32)


def _keys(bits: NDArray[np.uint64], purpose: int) -> NDArray[np.uint64]:
    return _mixed(bits ^ np.uint64(purpose))


def _strengths(bits: NDArray[np.uint64], purpose: int, probability: float, *shape: int) -> NDArray[np.float64]:
    """Uniform in [-1, 1), or 0 for the images to which the operation does not happen; N x shape."""
    steps = np.arange(1 + int(np.prod(shape)), dtype=np.uint64) * np.uint64(GOLDEN_GAMMA)
    draws = (_mixed(_keys(bits, purpose)[:, None] + steps) >> np.uint64(11)) * 2.0**-53
    found = np.where(draws[:, :1] < probability, 2.0 * draws[:, 1:] - 1.0, 0.0)
    return found.reshape(len(bits), *shape)


def _per_channel(strengths: NDArray[Any], images: Tensor) -> Tensor:
    """N x C numbers, to be multiplied with images."""
    found = torch.from_numpy(strengths.astype(np.float32)).to(images.device)
    return found.view(*found.shape, *[1] * (images.ndim - 2))


def _where(chosen: NDArray[Any], changed: Tensor, images: Tensor) -> Tensor:
    mask = torch.from_numpy(chosen != 0).to(images.device)
    return torch.where(mask.view(-1, *[1] * (images.ndim - 1)), changed, images)


def _shifted(
    images: Tensor, augment: Augment, bits: NDArray[np.uint64], *, nearest: bool = False, black: int = -1
) -> Tensor:
    draws = _strengths(bits, SHIFT, augment.shift_probability, 2)
    most = augment.shift_px
    shifts = draws * most if augment.subpixel else np.rint(draws * (most + 0.5)).clip(-most, most)
    shifts = np.rint(shifts) if nearest else shifts
    for axis in (-2, -1):
        whole = np.floor(shifts[:, axis])
        near = _moved(images, axis, whole, augment.border, black)
        if augment.subpixel and not nearest:
            part = _per_channel((shifts[:, axis] - whole)[:, None], images)
            near = near + part * (_moved(images, axis, whole + 1, augment.border, black) - near)
        images = near
    return images


def _moved(
    images: Tensor, axis: int, by: NDArray[np.float64], border: Literal["reflect", "black"], black: int
) -> Tensor:
    """Each image moved along an axis by its own whole number of pixels."""
    last = images.shape[axis] - 1
    shifts = torch.from_numpy(by.astype(np.int64)).to(images.device)
    places = torch.arange(last + 1, device=images.device) - shifts[:, None]
    shape = [len(images)] + [1] * (images.ndim - 1)
    shape[axis] = last + 1
    places = places.view(shape)
    reflected = last - (last - places.abs()).abs()
    found = images.gather(axis, reflected.expand_as(images))
    return found if border == "reflect" else torch.where((places >= 0) & (places <= last), found, black)


def _blur_radius(augment: Augment) -> int:
    return int(np.ceil(BLUR_SIGMAS * augment.blur_px))


def _blurred(images: Tensor, augment: Augment, bits: NDArray[np.uint64]) -> Tensor:
    """Convolved along H and W with Gaussians, borders reflected.

    Summed by hand: a convolution of a library may choose another order of summation for another batch.
    """
    radius = _blur_radius(augment)
    sigmas = augment.blur_px * np.abs(_strengths(bits, BLUR, augment.blur_probability, images.shape[1]))
    places = np.arange(radius + 1)
    kernels = np.exp(-0.5 * (places / np.maximum(sigmas, 1e-3)[..., None]) ** 2)
    kernels /= 2.0 * kernels.sum(-1, keepdims=True) - 1.0
    weights = [_per_channel(kernels[..., place], images) for place in places]
    for axis in (-2, -1):
        size = images.shape[axis]
        pad = [radius, radius, 0, 0] if axis == -1 else [0, 0, radius, radius]
        padded = functional.pad(images.flatten(1, -3), pad, "reflect").unflatten(1, images.shape[1:-2])
        images = images * weights[0]
        for place in places[1:]:
            pair = padded.narrow(axis, radius - place, size) + padded.narrow(axis, radius + place, size)
            images += pair.mul_(weights[place])
    return images.clamp_(-1.0, 1.0)


def _brightened(images: Tensor, augment: Augment, bits: NDArray[np.uint64]) -> Tensor:
    """Strengths of 0 leave every bit."""
    draws = _strengths(bits, INTENSITY, augment.intensity_probability, 3, images.shape[1])
    gamma, gain, offset = (_per_channel(draws[:, number], images) for number in range(3))
    if augment.gamma:
        intensity = _intensity(images)
        bent = torch.where(gamma > 0, intensity.square(), intensity.sqrt())
        images = bent.sub_(intensity).mul_(2.0 * augment.gamma * gamma.abs()).add_(images)
    if augment.gain:
        images = images.add(1.0).mul_(augment.gain * gain).add_(images)
    if augment.offset:
        images = images + 2.0 * augment.offset * offset
    return images.clamp_(-1.0, 1.0)


def _noisy(images: Tensor, augment: Augment, bits: NDArray[np.uint64]) -> Tensor:
    draws = _strengths(bits, NOISE, augment.noise_probability, 2, images.shape[1])
    read, shot = (_per_channel(draws[:, number], images) for number in range(2))
    variance = (augment.noise * read).square()
    if augment.shot_noise:
        variance = variance + (augment.shot_noise * shot).square() * _intensity(images)
    drawn = normal(_keys(bits, PIXELS), images[0].numel(), images.device).view(images.shape)
    return drawn.mul_(variance.sqrt().mul_(2.0)).add_(images).clamp_(-1.0, 1.0)


def _intensity(images: Tensor) -> Tensor:
    """[-1, 1] -> from 0, black, to 1, white."""
    return images.add(1.0).mul_(0.5).clamp_(0.0, 1.0)
