"""`distgan evaluate tissue`: are label images of tissue like real ones (Han et al., section 5.1)?

    global statistics    mean sizes of cells and mitochondria, roundness, mitochondria per cell, and chi-squared of
                         their distributions against the training images (table 1)
    single cells         share of cells that a linear SVM takes for real ones by 89 shape features (figure 8)
    pairwise_iu          1 - IU of two samples, mean over pairs: of a model that completes labels, of other noise for
                         the same given labels
    support              samples among which two are alike, squared (part D)

Rows: what is made; the training images themselves (who repeats them is perfect here); held-out images, which show
what a perfect model may expect; and for single cells a parametric model of the training cells.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field

from distgan.config.sections import Data, Seed, Split
from distgan.data.batches import choose
from distgan.data.image_sets import feed_of, is_model
from distgan.evaluations.labels import made_of
from distgan.method import Batch, Step
from distgan.metrics.cells_shape import EDGES, Cell, Mask, chi_squared, population, single_cells
from distgan.metrics.real_or_made import real_or_made
from distgan.metrics.shape_features import NAMES, shape_features
from distgan.metrics.shape_space import parametric_cells
from distgan.metrics.support import least_distances, overlaps, support
from distgan.model import Model, load_model
from distgan.score import Asked, ScoreSettings, Told
from storage.errors import RecipeError
from storage.manifest import kind_of
from storage.patches import KIND, PatchStore
from storage.sampler import Indices
from storage.store import ImageStore

BATCH = 16
Pairs = list[tuple[Mask, Mask]]
"""Membranes and mitochondria of an image, H W each."""


class Settings(ScoreSettings):
    """`[tissue]`.

    store: of real label images, a patch store; by default what the model was trained on, or the target itself.  split,
    subset: as of [data]; by default the model's.  membranes, mitochondria: names of label images.  closing: pixels by
    which membranes are widened, so that gaps close.  smallest, least: pixels of a cell, and of a mitochondrion.
    samples: of a model.  repeats: of the SVM.
    The lengths fit 9.2 nm per pixel; the published 4, 64 and 64 are of 4.6 nm.
    """

    store: str = ""
    split: Split | None = None
    subset: dict[str, list[str | int]] = Field({})
    membranes: str = "membranes"
    mitochondria: str = "mitochondria"
    closing: int = Field(2, ge=0, le=32)
    smallest: int = Field(16, ge=1)
    least: int = Field(16, ge=1)
    samples: int = Field(144, ge=2)
    repeats: int = Field(100, ge=1)
    seed: Seed = 0


def score(asked: Asked) -> Told:
    """Score a model, a patch store, or a plane made by `distgan sample --size`.

    Raises RecipeError: there is nothing to compare with, or a label image is missing.  Raises DataError: a store is
    damaged.
    """
    settings: Settings = asked.settings
    target = Path(asked.target)
    model = load_model(target) if is_model(target) else None
    store, data = _real(target, model, settings)
    chosen = choose(store, data)
    rows = {"training images": chosen.train, "held-out images": chosen.held_out}
    images = {name: _pairs(store, one, settings) for name, one in rows.items() if len(one)}
    found: dict[str, Any] = {}
    if model:
        images["made"], found = _made(model, store, chosen.train, settings)
    elif target != store.path:
        images["made"] = _of_target(target, settings)
    asked.progress(1, 3)
    facts, table = _global(images, settings)
    asked.progress(2, 3)
    cells, features = _cells(images, settings)
    asked.progress(3, 3)
    told = {
        "score": "tissue",
        "of": asked.target,
        "images": {name: len(pairs) for name, pairs in images.items()},
        "global statistics": facts,
        "single cells": cells,
        **found,
        "bins": {name: [round(float(edge), 3) for edge in edges] for name, edges in EDGES.items()},
        "settings": settings.model_dump(mode="json"),
    }
    return Told(told, {"global statistics": table, "shape features": features})


def _real(target: Path, model: Model | None, settings: Settings) -> tuple[PatchStore, Data]:
    path = settings.store or (model.config.data.store if model else _as_real(target))
    data = Data.model_validate({"store": str(path)})
    if model and not settings.store:
        data = model.config.data
    changed = {name: value for name in ("split", "subset") if (value := getattr(settings, name))}
    return PatchStore.open(Path(path)), data.model_copy(update=changed)


def _as_real(target: Path) -> str:
    if kind_of(target) == KIND:
        return str(target)
    raise RecipeError(
        "it is not said which real label images to compare with",
        f"{target} is no model and no patch store, and there is no tissue.store",
        "Set tissue.store to a patch store of real label images",
    )


def _pairs(store: PatchStore, rows: Indices, settings: Settings) -> Pairs:
    names = settings.membranes, settings.mitochondria
    if missing := [name for name in names if name not in store.labels]:
        raise RecipeError(
            f"{store.path} has no label image {missing[0]!r}",
            f"it has {', '.join(store.labels) or 'none'}",
            "Set tissue.membranes and tissue.mitochondria",
        )
    membranes, mitochondria = (store.read(np.sort(rows), name) > 0 for name in names)
    return list(zip(membranes, mitochondria, strict=True))


def _of_target(target: Path, settings: Settings) -> Pairs:
    if kind_of(target) == KIND:
        store = PatchStore.open(target)
        return _pairs(store, np.arange(store.shape[0]), settings)
    plane = ImageStore.open(target)
    of = [np.asarray(plane.array(plane.series[0], name)[:, 0, 0]) > 0 for name in _names(plane, settings)]
    return list(zip(*of, strict=True))


def _names(plane: ImageStore, settings: Settings) -> tuple[str, str]:
    if {settings.membranes, settings.mitochondria} <= set(plane.series[0].labels):
        return settings.membranes, settings.mitochondria
    raise RecipeError(
        f"{plane.path} has not these label images",
        f"it has {', '.join(plane.series[0].labels) or 'none'}",
        "Set tissue.membranes and tissue.mitochondria",
    )


def _made(model: Model, store: PatchStore, rows: Indices, settings: Settings) -> tuple[Pairs, dict[str, Any]]:
    """Label images of a model, and how different they are; one that completes labels is told training images."""
    structures: tuple[str, ...] = tuple(getattr(model.config.method, "labels", ()))
    random = np.random.Generator(np.random.Philox(key=[settings.seed, 14]))
    feed = feed_of(store, np.sort(random.permutation(rows)[: settings.samples]), model, settings.seed)
    masks = np.concatenate(list(_samples(model, feed, settings)))
    wanted = settings.membranes, settings.mitochondria
    if missing := [name for name in wanted if name not in structures]:
        raise RecipeError(
            f"the model makes no label image {missing[0]!r}",
            f"it makes {', '.join(structures) or 'none'}",
            "Set tissue.membranes and tissue.mitochondria",
        )
    small = masks[..., : masks.shape[2] // 2 * 2, : masks.shape[3] // 2 * 2]
    small = small.reshape(*masks.shape[:2], masks.shape[2] // 2, 2, -1, 2).mean((3, 5)) >= 0.5
    found = overlaps(small)
    sizes = sorted({*range(10, len(masks), max(1, len(masks) // 10)), len(masks)})
    least = least_distances(found, sizes, 10, settings.seed)
    apart = 1 - found[~np.eye(len(found), dtype=np.bool_)].mean()
    told: dict[str, Any] = {
        "pairwise_iu": float(apart),
        "least 1 - IU by batch": {str(size): float(one.mean()) for size, one in least.items()},
        "support": support(least) or f"more than {len(masks) ** 2}",
    }
    if given := tuple(getattr(model.config.method, "given", ())):
        made = [number for number, name in enumerate(structures) if name not in given]
        told["pairwise_iu"] = _of_other_noise(model, feed, made, settings)
    membranes, mitochondria = (masks[:, structures.index(name)] for name in wanted)
    return list(zip(membranes, mitochondria, strict=True)), told


@torch.no_grad()
def _samples(model: Model, feed: Any, settings: Settings) -> Iterator[Any]:
    """Batches N L H W, booleans."""
    for shard, start in enumerate(range(0, settings.samples, BATCH)):
        places = np.arange(start, min(start + BATCH, settings.samples)) % len(feed.images)
        yield (made_of(model.method, Step(feed.rows(places), 0, shard, seed=settings.seed))[1] > 0).numpy()


@torch.no_grad()
def _of_other_noise(model: Model, feed: Any, made: list[int], settings: Settings) -> float:
    """1 - IU of what is made of the same labels, mean over pairs of noise and over BATCH samples."""
    found = []
    for row in range(min(BATCH, len(feed.images))):
        one: Batch = feed.rows(np.full(BATCH, row))
        same = Step(one, 0, row, seed=settings.seed)
        masks = (made_of(model.method, same)[1][:, made] > 0).numpy()
        found.append(1 - overlaps(masks)[~np.eye(BATCH, dtype=np.bool_)].mean())
    return float(np.mean(found))


def _global(images: dict[str, Pairs], settings: Settings) -> tuple[dict[str, Any], pa.Table]:
    sizes = settings.closing, settings.smallest, settings.least
    measured = {name: population(pairs, *sizes) for name, pairs in images.items()}
    real = measured["training images"]
    facts = {}
    for name, one in measured.items():
        apart = {f"chi-squared {key}": value for key, value in chi_squared(one, real).items()}
        facts[name] = {key: _number(value) for key, value in (one.means() | apart).items()}
    return facts, pa.Table.from_pylist([{"of": name} | row for name, row in facts.items()])


def _cells(images: dict[str, Pairs], settings: Settings) -> tuple[dict[str, Any], pa.Table]:
    sizes = settings.closing, settings.smallest, settings.least
    cells: dict[str, list[Cell]] = {}
    for name, pairs in images.items():
        cells[name] = [cell for pair in pairs for cell in single_cells(*pair, *sizes)]
    real = cells["training images"]
    if len(real) > 1:
        cells["parametric"] = parametric_cells(real, max(100, len(real)), settings.least, settings.seed)
    features = {
        name: np.asarray([shape_features(one) for one in some]).reshape(-1, len(NAMES)) for name, some in cells.items()
    }
    facts: dict[str, Any] = {}
    for name, of in features.items():
        judged = real_or_made(features["training images"], of, settings.repeats, settings.seed)
        told = {key: _number(value) for key, value in asdict(judged).items()} if judged else {"cells": len(of)}
        facts[name] = told if name != "training images" else {"cells": len(of)}
    columns = {name: np.concatenate([of[:, number] for of in features.values()]) for number, name in enumerate(NAMES)}
    rows = [name for name, of in features.items() for _ in of]
    return facts, pa.table({"of": rows, **columns})


def _number(value: float) -> float | int | None:
    """As JSON has it."""
    return value if isinstance(value, int) else round(value, 4) if np.isfinite(value) else None
