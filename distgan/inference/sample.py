"""Images out of a trained generator."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
import torch

from distgan.data.batches import from_unit_range
from distgan.method import Batch, Step
from distgan.model import Model
from distgan.plots import image_plots
from storage.datasets import Progress
from storage.durable import disk_errors
from storage.errors import RecipeError
from storage.patches import Patches

BATCH = 64
SUFFIXES = (".png", ".npy", ".tif")


def sample(model: Model, count: int, seed: int) -> Iterator[torch.Tensor]:
    """`count` images in batches N C H W in [-1, 1]; image i depends on the seed and on i alone."""
    for shard, start in enumerate(range(0, count, BATCH)):
        batch = Batch(torch.zeros(BATCH, *model.method.sample.shape))
        with torch.no_grad():
            images = model.method.preview(Step(batch, 0, shard, seed=seed))
        yield images[: min(BATCH, count - start)]


def write_samples(model: Model, out: Path, count: int, seed: int, progress: Progress) -> tuple[int, ...]:
    """Write samples as a grid to look at (.png), or in the values of the store (.npy, .tif); returns N C H W.

    Raises RecipeError: the path has another suffix.
    """
    if out.suffix not in SUFFIXES:
        raise RecipeError(
            f"samples cannot be written as {out.suffix or 'a file without suffix'}",
            str(out),
            f"Use one of {', '.join(SUFFIXES)}",
        )
    parts: list[torch.Tensor] = []
    for part in sample(model, count, seed):
        parts.append(part)
        progress(sum(map(len, parts)), count)
    images = torch.cat(parts)
    out.parent.mkdir(parents=True, exist_ok=True)
    with disk_errors(out):
        if out.suffix == ".png":
            image_plots.grid(images.numpy(), f"{model.card['method']}, seed {seed}").savefig(out)
        else:
            write_values(out, from_unit_range(images, model.value_range, model.card["dtype"]))
    return tuple(images.shape)


def write_values(out: Path, images: Patches) -> None:
    """N C H W as .npy, or as an ImageJ hyperstack of N time points."""
    if out.suffix == ".npy":
        np.save(out, images, allow_pickle=False)
    else:
        tifffile.imwrite(out, images[:, None], imagej=True, metadata={"axes": "TZCYX"})
