"""Images out of a trained generator."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import tifffile
import torch

from distgan.data.batches import from_unit_range
from distgan.evaluations.labels import made_of
from distgan.method import Batch, Step
from distgan.model import Model
from distgan.plots import image_plots
from storage.datasets import Progress
from storage.durable import disk_errors, require_nothing
from storage.errors import RecipeError
from storage.leakage import difference_hashes, pixel_hashes
from storage.made import write_patches
from storage.patches import Patches

BATCH = 64
SUFFIXES = (".png", ".npy", ".tif", ".zarr")


def sample(model: Model, count: int, seed: int) -> Iterator[torch.Tensor]:
    """`count` images in batches N C H W in [-1, 1]; image i depends on the seed and on i alone."""
    for shard, start in enumerate(range(0, count, BATCH)):
        batch = Batch(torch.zeros(BATCH, *model.method.sample.shape))
        with torch.no_grad():
            images = model.method.preview(Step(batch, 0, shard, seed=seed))
        yield images[: min(BATCH, count - start)]


def write_samples(model: Model, out: Path, count: int, seed: int, progress: Progress) -> tuple[int, ...]:
    """Write samples as a grid to look at (.png), or in the values of the store (.npy, .tif); returns N C H W.

    As a patch store (.zarr) they come with the label images that the model makes of the same noise.
    Raises RecipeError: the path has another suffix, or a store is wanted of a model that makes no labels.
    """
    if out.suffix not in SUFFIXES:
        raise RecipeError(
            f"samples cannot be written as {out.suffix or 'a file without suffix'}",
            str(out),
            f"Use one of {', '.join(SUFFIXES)}",
        )
    if out.suffix == ".zarr":
        return write_pairs(model, out, count, seed, progress)
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


def write_pairs(model: Model, out: Path, count: int, seed: int, progress: Progress) -> tuple[int, ...]:
    """Write images with the label images they were made with as a patch store, and return N C H W.

    Its manifest names the model, the stores that was trained on, and the seed; its table the model and a number.
    Raises RecipeError: the model makes no pairs, or something stands at `out`.
    """
    require_nothing(out)
    names, pieces, masks = model.method.sample.labels, [], []
    for shard, start in enumerate(range(0, count, BATCH)):
        batch = Batch(torch.zeros(BATCH, *model.method.sample.shape))
        with torch.no_grad():
            images, labels = made_of(model.method, Step(batch, 0, shard, seed=seed))
        if images is None:
            raise RecipeError(
                f"{model.card['method']} makes labels without images",
                str(out),
                "Take joint_gan, unsupervised_gan, sgan or dsgan",
            )
        kept = slice(min(BATCH, count - start))
        pieces.append(from_unit_range(images[kept], model.value_range, model.card["dtype"]))
        masks.append((labels[kept] > 0).numpy().astype(np.uint8))
        progress(min(start + BATCH, count), count)
    found, both = np.concatenate(pieces), np.concatenate(masks)
    card = {key: model.card[key] for key in ("channels", "value_range", "pixel_um", "patch_store")}
    facts = {"source": model.digest, "made": {"model": model.digest, "seed": seed}, **card}
    told = {"model": [model.digest] * count, "sample": np.arange(count)}
    hashes = {"pixels": pixel_hashes(found), "dhash": difference_hashes(found)}
    write_patches(out, found, pa.table(told | hashes), facts, {name: both[:, at] for at, name in enumerate(names)})
    return found.shape


def write_values(out: Path, images: Patches) -> None:
    """N C H W as .npy, or as an ImageJ hyperstack of N time points."""
    if out.suffix == ".npy":
        np.save(out, images, allow_pickle=False)
    else:
        tifffile.imwrite(out, images[:, None], imagej=True, metadata={"axes": "TZCYX"})
