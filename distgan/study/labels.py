"""Label images as images to be judged: those of a store, and those that a model makes (Han et al. showed both)."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from distgan.data.image_sets import BATCH, ImageFolder, ImageSet, feed_of, unseen
from distgan.evaluations.labels import made_of
from distgan.method import Step
from distgan.model import Model
from storage.errors import RecipeError
from storage.patches import Patches, PatchStore
from storage.sampler import Indices


def label_sets(real: ImageSet, made: Model | ImageSet, count: int, seed: int) -> tuple[ImageFolder, ImageFolder]:
    """The structures of a model, 0 and 1, one channel each: `count` real label images or fewer, and `count` made ones.

    Raises RecipeError: these are no store with such label images and no model that makes them.
    """
    if not isinstance(made, Model) or not isinstance(real, PatchStore):
        raise RecipeError(
            "label images are compared between a patch store and a model",
            f"{real.path} and {made.card['method'] if isinstance(made, Model) else made.path}",
            "Name these, or leave --labels out: a folder of label images is one of images",
        )
    names = made.method.sample.labels
    rows, _ = unseen(real, made, count)
    rows = np.sort(np.random.Generator(np.random.Philox(key=[seed, 8])).permutation(rows)[:count])
    feed = feed_of(real, rows, made)
    found = np.stack([feed.known.labels[name] > 0 for name in names], 1).astype(np.uint8)
    parts = []
    with torch.no_grad():
        for shard, start in enumerate(range(0, count, BATCH)):
            part = np.arange(start, min(start + BATCH, count)) % len(rows)
            _, labels = made_of(made.method, Step(feed.rows(part), 0, shard, seed=seed))
            parts.append((labels > 0).numpy().astype(np.uint8))
    return _set(real.path, found, names, rows), _set(Path(f"model {made.digest}"), np.concatenate(parts), names)


def _set(path: Path, values: Patches, names: tuple[str, ...], rows: Indices | None = None) -> ImageFolder:
    origins = np.arange(len(values)) if rows is None else rows
    return ImageFolder(path, values, names, pa.table({"file": [str(one) for one in origins]}))
