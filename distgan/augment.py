"""Mirrored and turned images, on the device.

What happens to an image is a function of the seed and its position in the stream, and of nothing else; so it
is the same on any number of workers and after a resume, and another one when the image comes again.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distgan.sections import Augment
from storage.errors import RecipeError


def check_augment(augment: Augment, shape: tuple[int, ...]) -> None:
    """Raises RecipeError: images of that shape (.. H W) cannot be turned by a quarter."""
    if augment.quarter_turns and shape[-2] != shape[-1]:
        raise RecipeError(
            "images that are not square cannot be turned by a quarter",
            f"augment.quarter_turns = true, and images of {shape[-2]} x {shape[-1]}",
            "Set augment.quarter_turns = false; augment.flip does not mind",
        )


def augmented(images: Tensor, augment: Augment, seed: int, position: int) -> Tensor:
    """The images as they are trained on.

    images: N C H W or N C D H W, of which H and W are mirrored and turned.  position: of the first in the stream.
    """
    bits = random_bits(seed, position, len(images))
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


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _where(chosen: NDArray[Any], changed: Tensor, images: Tensor) -> Tensor:
    mask = torch.from_numpy(chosen != 0).to(images.device)
    return torch.where(mask.view(-1, *[1] * (images.ndim - 1)), changed, images)
