"""How well a method makes images again that it was not trained on: squared error and signal-to-noise, per channel.

    mse, psnr              reconstructions            against  held-out images, in all and by channel
    mse_mean, psnr_mean    the mean training image    against  the same                 (the naive baseline)

Images are in [-1, 1]; PSNR = 10 log10(4 / MSE), in dB, for their range is 2.
"""

import math
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from distgan.data.batches import Feed
from distgan.evaluation import Evaluation, Sets
from distgan.method import Batch, Method
from distgan.plots import image_plots
from storage.errors import RecipeError

BATCH = 64
SHOWN = 32


@runtime_checkable
class Reconstructing(Protocol):
    """A method that makes images again."""

    def reconstruction(self, batch: Batch) -> Tensor:
        """The batch's images N C H W in [-1, 1], made again."""
        ...


class ReconstructionEvaluation(Evaluation):
    """Compares images with what a method makes of them: held-out ones, or training images if none are held out."""

    headline = "psnr"
    lower = ("mse", "mse_mean")

    def __init__(self, sets: Sets) -> None:
        super().__init__(sets)
        self.batches = {"": self._some(sets.held_out or sets.train)}
        if sets.validation:
            self.batches["validation/"] = self._some(sets.validation)
        self.title = "held out" if sets.held_out else "training"
        self.mean = self._some(sets.train).images.mean(0, keepdim=True)

    def before(self, method: Method) -> dict[str, float]:
        """What the mean training image would score, whatever the image, and what the untrained networks do."""
        found = self.measure(method)
        for prefix, batch in self.batches.items():
            error = (batch.images - self.mean).square().mean().item()
            found |= {f"{prefix}mse_mean": error, f"{prefix}psnr_mean": psnr(error)}
        return found

    def measure(self, method: Method) -> dict[str, float]:
        """Errors in all, and by channel.  Raises RecipeError: the method makes no image again."""
        found: dict[str, float] = {}
        for prefix, batch in self.batches.items():
            errors = (batch.images - reconstructed(method, batch)).square().mean((0, 2, 3))
            for name, error in {"": errors.mean(), **dict(zip(self._channels(), errors, strict=True))}.items():
                key = f"{prefix}{name}/" if name else prefix
                found |= {f"{key}mse": error.item(), f"{key}psnr": psnr(error.item())}
        return found

    def figures(self, method: Method, images_seen: int) -> dict[str, Figure]:
        """Images beside what the method makes of them."""
        batch = self.batches[""].part(slice(SHOWN))
        made = reconstructed(method, batch)
        panels = {f"made again, {images_seen:,} images seen": made, f"real, {self.title}": batch.images}
        shown = {title: images.cpu().numpy() for title, images in panels.items()}
        return {"reconstructions": image_plots.side_by_side(shown)}

    def _channels(self) -> tuple[str, ...]:
        return self.sets.sample.channels or tuple(map(str, range(self.sets.sample.shape[0])))

    def _some(self, feed: Feed) -> Batch:
        random = np.random.Generator(np.random.Philox(key=[self.sets.seed, 2]))
        return feed.rows(np.sort(random.permutation(len(feed.images))[: self.sets.samples]))


@torch.no_grad()
def reconstructed(method: Method, batch: Batch) -> Tensor:
    """The batch's images N C H W, made again, some at a time.

    Raises RecipeError: the method makes no image again.
    """
    if not isinstance(method, Reconstructing):
        raise RecipeError(
            f"{method.config.name} makes no image again",
            "evaluate.metrics names reconstruction",
            "Take it out, or choose autoencoder, vae, bigan or began",
        )
    starts = range(0, len(batch), BATCH)
    return torch.cat([method.reconstruction(batch.part(slice(start, start + BATCH))) for start in starts])


def psnr(error: float) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error of images in [-1, 1].

    >>> psnr(0.04)
    20.0
    """
    return 10 * math.log10(4 / error) if error else math.inf
