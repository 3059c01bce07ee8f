"""Label images as images to be judged: those of a store, and those that a model makes.

Han et al. had two studies, half of the images real: labels of single cells, and full images with their labels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import ndimage

from distgan.assessment.label_samples import BATCH, labels_of, makes_labels, pairs_of
from distgan.data.batches import Feed, from_unit_range
from distgan.data.image_sets import ImageFolder, ImageSet, feed_of, unseen
from distgan.metrics.cells_shape import Cell, single_cells
from distgan.model import Model
from storage.errors import RecipeError
from storage.patches import Patches, PatchStore
from storage.sampler import Indices

CELL = ("membranes", "mitochondria")
CLOSING, SMALLEST, LEAST = 2, 16, 16
"""Of single cells, as in `distgan evaluate tissue`."""
TRIES = 32
"""Batches of made label images that are looked through for cells."""
RGB = ("red", "green", "blue")
GAP = 2
"""Pixels between an image and its labels."""


def label_sets(real: ImageSet, made: Model | ImageSet, count: int, seed: int) -> tuple[ImageFolder, ImageFolder]:
    """The structures of a model, 0 and 1, one channel each: `count` real label images or fewer, and `count` made ones.

    Raises RecipeError: these are no store with such label images and no model that makes them.
    """
    store, model = _checked(real, made)
    names, feed, rows = _real(store, model, count, count, seed)
    found = np.stack([feed.known.labels[name] > 0 for name in names], 1).astype(np.uint8)
    parts = [(labels > 0).numpy().astype(np.uint8) for labels in labels_of(model, feed, count, seed)]
    return _set(store.path, found, names, rows), _set(_path(model), np.concatenate(parts), names)


def cell_sets(real: ImageSet, made: Model | ImageSet, count: int, seed: int) -> tuple[ImageFolder, ImageFolder]:
    """Single cells with mitochondria, 0 and 1, N 2 E E each in the middle of a square: cells, and their mitochondria.

    `count` of each or fewer, of real label images that the model has not seen and of made ones.
    Raises RecipeError: as `label_sets`, or too few cells are found; one of its structures is not there.
    """
    store, model = _checked(real, made)
    names, feed, rows = _real(store, model, store.shape[0], 1, seed)
    if missing := [name for name in CELL if name not in names]:
        raise RecipeError(
            f"the model has no label image {missing[0]!r}", ", ".join(names), "Take one with membranes and mitochondria"
        )
    random = np.random.Generator(np.random.Philox(key=[seed, 17]))
    masks = np.stack([feed.known.labels[name] > 0 for name in CELL], 1)
    found = [(cell, str(row)) for row, one in zip(rows, masks, strict=True) for cell in _cells(one)]
    found = [found[at] for at in random.permutation(len(found))[:count]]
    others: list[Cell] = []
    places = [names.index(name) for name in CELL]
    for labels in labels_of(model, feed, TRIES * BATCH, seed):
        others += [cell for one in (labels[:, places] > 0).numpy() for cell in _cells(one)]
        if len(others) >= count:
            break
    least = min(len(found), len(others))
    if least < 2:
        raise RecipeError(
            "there are too few single cells with mitochondria",
            f"{len(found)} real ones, and {len(others)} in {TRIES * BATCH} made label images",
            "Take a model that closes its cells, larger images, or show whole label images: --labels",
        )
    edge = max(max(one.cell.shape) for one in [*(cell for cell, _ in found), *others[:count]])
    own = _set(store.path, _squares([cell for cell, _ in found], edge), CELL, [row for _, row in found])
    return own, _set(_path(model), _squares(others[:count], edge), CELL)


def pair_sets(real: ImageSet, made: Model | ImageSet, count: int, seed: int) -> tuple[ImageFolder, ImageFolder]:
    """Images in grey with their label images in red and green to the right of them, N 3 H 2W + 2 of 8 bits.

    Raises RecipeError: as `label_sets`, or the model makes no images.
    """
    store, model = _checked(real, made)
    names, feed, rows = _real(store, model, count, count, seed)
    masks = np.stack([feed.known.labels[name] > 0 for name in names], 1)
    images = np.asarray(feed.images)
    low, high = (float(edge) for edge in np.percentile(images, (0.1, 99.9)))
    parts = []
    for made_images, labels in pairs_of(model, feed, count, seed):
        if made_images is None:
            raise RecipeError(
                f"{model.card['method']} makes labels without images",
                "--pairs shows both",
                "Take joint_gan, unsupervised_gan, sgan or dsgan, or show --labels",
            )
        values = from_unit_range(made_images.clamp(-1, 1), store.value_range, store.dtype)
        parts.append(_beside(values, (labels > 0).numpy(), low, high))
    return _set(store.path, _beside(images, masks, low, high), RGB, rows), _set(
        _path(model), np.concatenate(parts), RGB
    )


def _checked(real: ImageSet, made: Model | ImageSet) -> tuple[PatchStore, Model]:
    if isinstance(made, Model) and isinstance(real, PatchStore) and makes_labels(made.method):
        return real, made
    raise RecipeError(
        "label images are compared between a patch store and a model that makes them",
        f"{real.path} and {made.card['method'] if isinstance(made, Model) else made.path}",
        "Name these, or leave --labels out: a folder of label images is one of images",
    )


def _real(store: PatchStore, model: Model, count: int, least: int, seed: int) -> tuple[tuple[str, ...], Feed, Indices]:
    """The model's structures, and `count` real samples or fewer, of those it has not seen if these are `least`."""
    rows, _ = unseen(store, model, least)
    rows = np.sort(np.random.Generator(np.random.Philox(key=[seed, 8])).permutation(rows)[:count])
    return model.method.sample.labels, feed_of(store, rows, model), rows


def _cells(masks: Any) -> list[Cell]:
    return single_cells(masks[0], masks[1], CLOSING, SMALLEST, LEAST)


def _squares(cells: Sequence[Cell], edge: int) -> Patches:
    """The outline of each cell where membranes are shown, two pixels wide, and its mitochondria: N 2 E E, 0 and 1."""
    found = np.zeros((len(cells), 2, edge + 4, edge + 4), np.uint8)
    for square, one in zip(found, cells, strict=True):
        height, width = one.cell.shape
        top, left = (edge + 4 - height) // 2, (edge + 4 - width) // 2
        inside = np.zeros(square.shape[1:], np.bool_)
        inside[top : top + height, left : left + width] = one.cell
        square[0] = ndimage.binary_dilation(inside, iterations=2) & ~inside
        square[1, top : top + height, left : left + width] = one.mitochondria
    return found


def _beside(images: Patches, masks: Any, low: float, high: float) -> Patches:
    """images: N C H W.  masks: N L H W.  low, high: values that are black and white."""
    grey = np.clip((images.mean(1) - low) / (high - low), 0, 1)
    count, height, width = grey.shape
    found = np.zeros((count, 3, height, 2 * width + GAP), np.uint8)
    found[..., :width] = np.rint(255 * grey)[:, None]
    found[:, : min(masks.shape[1], 3), :, width + GAP :] = 255 * masks[:, :3]
    return found


def _path(model: Model) -> Path:
    return Path(f"model {model.digest}")


def _set(
    path: Path, values: Patches, names: tuple[str, ...], origins: Sequence[Any] | Indices | None = None
) -> ImageFolder:
    told = np.arange(len(values)) if origins is None else origins
    return ImageFolder(path, values, names, pa.table({"file": [str(one) for one in told]}))
