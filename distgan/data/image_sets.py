"""Images to be compared, wherever they are: a patch store, a folder of files, or a model that makes them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from distgan.data.batches import NOTHING, Feed, choose, known_of, to_unit_range
from distgan.method import Step
from distgan.model import CARD, Model
from storage import images
from storage.errors import DataError, MissingError, RecipeError
from storage.image_facts import channel_names
from storage.manifest import NAME
from storage.patches import Patches, PatchStore
from storage.sampler import Indices

BATCH = 64


@dataclass(frozen=True)
class ImageFolder:
    """Image files as a store of their frames, in memory; black is 0 or the least value, white the greatest of all.

    values: N C H W, of the files in the order of their names.  obs: the file of each.
    """

    path: Path
    values: Patches
    channels: tuple[str, ...]
    obs: pa.Table

    @property
    def shape(self) -> tuple[int, ...]:
        """N C H W."""
        return self.values.shape

    @property
    def dtype(self) -> str:
        """Of the values."""
        return self.values.dtype.name

    @cached_property
    def value_range(self) -> tuple[float, float]:
        """The values that mean black and white."""
        low, high = min(0.0, float(self.values.min())), float(self.values.max())
        return low, high if high > low else low + 1

    def read(self, rows: Indices, labels: str | None = None) -> Patches:
        """The images of these rows; it has no label images."""
        return self.values[rows]


ImageSet = PatchStore | ImageFolder


def is_model(path: Path) -> bool:
    """Whether a model is there."""
    return (path / CARD).is_file()


def open_images(path: Path) -> ImageSet:
    """A patch store, a folder of image files, or one file of many images.

    Raises MissingError: there is nothing.  Raises DataError: a store is damaged, or a file is no image or not as the
    first one is.
    """
    return PatchStore.open(path) if (path / NAME).is_file() else _open_files(path)


def _open_files(path: Path) -> ImageFolder:
    below = [path] if path.is_file() else sorted(path.rglob("*"))
    files = [one for one in below if one.suffix.lower() in images.SUFFIXES]
    if not files:
        raise MissingError(
            f"there are no images at {path}",
            "neither a patch store nor image files",
            f"Name a patch store, or a folder of {', '.join(sorted(images.SUFFIXES))}",
        )
    parts: list[Patches] = []
    for file in files:
        facts = images.survey(file)[0]
        parts.append(_samples(images.read(file, facts), facts, file))
        if (parts[-1].shape[1:], parts[-1].dtype) != (parts[0].shape[1:], parts[0].dtype):
            raise DataError(
                f"{file} is not as the first image",
                " and ".join(f"{one.dtype} {one.shape[1:]}" for one in (parts[-1], parts[0])),
                "Give images of one shape and dtype, or prepare a patch store of them",
            )
    values = np.concatenate(parts)
    channels = facts.channels if len(facts.channels) == values.shape[1] else channel_names(values.shape[1])
    names = [file.name for file, part in zip(files, parts, strict=True) for _ in part]
    return ImageFolder(path, values, channels, pa.table({"file": names}))


def _samples(frames: Patches, facts: images.ImageFacts, file: Path) -> Patches:
    """T C Z Y X -> N C H W. NPY has no names of axes; here its first is N: N C H W, N H W C or N H W."""
    if file.suffix.lower() == ".npy":
        channels_second = len(facts.stored_shape) == 4 and facts.stored_shape == frames.shape[1:]
        return frames[0] if channels_second else frames[0].swapaxes(0, 1)
    if frames.shape[2] > 1:
        raise DataError(f"{file} has more than one plane", f"T C Z Y X = {frames.shape}", "Give two-dimensional images")
    return frames[:, :, 0]


def feed_of(store: ImageSet, rows: Indices, model: Model | None = None, seed: int = 0) -> Feed:
    """These images, and what a model must know of them to make some like them.

    Raises RecipeError: they are not such as the model was trained on, or are volumes.
    """
    if len(store.shape) != 4:
        raise RecipeError(
            f"the samples of {store.path} are volumes", f"N C D H W = {store.shape}", "Prepare two-dimensional samples"
        )
    if model is None:
        return Feed(_as_store(store), rows, seed, torch.device("cpu"))
    if isinstance(store, PatchStore):
        model.check_samples(store)
    elif tuple(model.card["image_shape"]) != store.shape[1:]:
        raise RecipeError(
            f"the model makes no images such as those at {store.path}",
            f"{tuple(model.card['image_shape'])} and {store.shape[1:]}",
            "Give images of the shape it was trained on",
        )
    sample = model.method.sample
    known = known_of(_as_store(store), rows, sample) if sample.classes or sample.labels else NOTHING
    augment = model.config.augment
    return Feed(_as_store(store), rows, seed, torch.device("cpu"), augment=augment, known=known)


def _as_store(images: ImageSet) -> Any:
    """A folder has all that a feed asks of a store."""
    return images


def unseen(real: ImageSet, made: Model | ImageSet, count: int) -> tuple[Indices, str]:
    """Rows of real images that a model was not trained on, if that is known and they are `count` or more; else all.

    Returns the rows, and which they are, for people.
    """
    if isinstance(made, Model) and isinstance(real, PatchStore) and real.digest == made.card["patch_store"]:
        held_out = choose(real, made.config.data).held_out
        if len(held_out) >= count:
            return held_out, "those that the model has not seen"
    return np.arange(real.shape[0]), "all of them"


@torch.no_grad()
def made_by(model: Model, like: Feed, count: int, seed: int) -> Tensor:
    """Images of a model, `count` C H W in [-1, 1], each made like one of `like`: of its class, or after its image."""
    parts = []
    for shard, start in enumerate(range(0, count, BATCH)):
        rows = np.arange(start, min(start + BATCH, count)) % len(like.images)
        parts.append(model.method.preview(Step(like.rows(rows), 0, shard, seed=seed)))
    return torch.cat(parts)


def unit_range(store: ImageSet, rows: Indices, value_range: tuple[float, float]) -> Tensor:
    """Images of a set, N C H W in [-1, 1]; those of a folder are scaled as what they are compared with."""
    own = store.value_range if isinstance(store, PatchStore) else value_range
    return to_unit_range(store.read(rows), own)
