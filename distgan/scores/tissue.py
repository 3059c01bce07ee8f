"""`distgan evaluate tissue`: are label images of tissue like real ones (Han et al., section 5.1)?

    global statistics    mean sizes of cells and mitochondria, roundness, mitochondria per cell, and chi-squared of
                         their distributions against the training images (table 1)
    single cells         share of cells that a linear SVM takes for real ones by 89 shape features (figure 8), and a map
                         of these (figure 10)
    pairwise 1 - IU      of two samples, mean over pairs
    other noise          of a model that completes labels: the same, of what it makes of the same given ones (figure 14)
    support              samples among which two are alike, squared (part D, figure 15)
    segmentation         how well a network that was trained on real images finds the labels of made pairs in their
                         images (table 2)

Rows: what is made; the training images themselves (who repeats them is perfect here); held-out images, which show
what a perfect model may expect; and a parametric model of the training cells, for single cells and what is measured
in them. It makes no images, so it has no pairs of labels and images, and no cells without mitochondria.

Of the segmentation: it is easily won. A model whose images were made to be read by one network, as those of `dsgan`, is
read well by it, and better the less it has of what is hard to read; so what its own reader finds stands beside.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from matplotlib.figure import Figure
from pydantic import Field

from distgan.assessment.label_reading import read_pairs
from distgan.assessment.label_samples import Masks, atom_edge, atoms, labels_of, makes_labels, other_noise
from distgan.config.sections import Data, Seed, Split
from distgan.data.batches import choose
from distgan.data.image_sets import feed_of, is_model
from distgan.metrics.cells_shape import EDGES, Cell, Mask, chi_squared, population, single_cells
from distgan.metrics.real_or_made import real_or_made
from distgan.metrics.shape_features import NAMES, shape_features
from distgan.metrics.shape_space import parametric_cells
from distgan.metrics.support import ALIKE, BATCHES, RUNS, halved, least_along, least_distances, overlaps, support
from distgan.model import Model, load_model
from distgan.plots.tissue_plots import alike, least_distances_plot, shape_map
from distgan.score import Asked, ScoreSettings, Told
from storage.errors import RecipeError
from storage.manifest import kind_of
from storage.patches import KIND, PatchStore
from storage.sampler import Indices
from storage.store import ImageStore

Pairs = list[tuple[Mask, Mask]]
"""Membranes and mitochondria of an image, H W each."""
Row = dict[str, Any]


class Settings(ScoreSettings):
    """`[tissue]`.

    store: of real label images, a patch store; by default what the model was trained on, or the target itself.  split,
    subset: as of [data]; by default the model's.  membranes, mitochondria: names of label images.  closing: pixels by
    which membranes are widened, so that gaps close.  smallest, least: pixels of a cell, and of a mitochondrion.
    samples: of a model.  repeats: of the SVM.  batches, runs: of the support size; no batches is none.
    reader: the folder of a model of `segmentation`, which judges pairs.  labels: a patch store of label images of which
    a model makes the images that are judged, instead of its own; the same for every model that is compared.
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
    batches: tuple[int, ...] = BATCHES
    runs: int = Field(RUNS, ge=1)
    reader: str = ""
    labels: str = ""
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
    apart = {name: _apart(halved(np.stack(_some(pairs, settings), 0))) for name, pairs in images.items()}
    if model and (makes_labels(model.method) or not settings.reader):
        images["made"], apart["made"], found = _made(model, store, chosen.train, settings)
    elif not model and target != store.path:
        images["made"] = _of_target(target, settings)
    asked.progress(1, 4)
    cells = _single(images, settings)
    facts, table = _global(images, cells.get("parametric", []), settings)
    asked.progress(2, 4)
    judged, features = _cells(cells, settings)
    asked.progress(3, 4)
    told_support, least, figures = _support(model, cells, settings)
    if settings.reader:
        labels = Path(settings.labels) if settings.labels else None
        judged_by = Path(settings.reader), model, store, rows, labels, settings.samples, settings.seed
        found["segmentation"] = read_pairs(*judged_by)
    asked.progress(4, 4)
    told = {
        "score": "tissue",
        "of": asked.target,
        "images": {name: len(pairs) for name, pairs in images.items()},
        "global statistics": facts,
        "single cells": judged,
        "pairwise 1 - IU": {name: _number(value) for name, value in apart.items()},
        **found,
        "support": told_support,
        "bins": {name: [round(float(edge), 3) for edge in edges] for name, edges in EDGES.items()},
        "settings": settings.model_dump(mode="json"),
    }
    names = [name for name, of in features.items() for _ in of]
    columns = {name: np.concatenate([of[:, number] for of in features.values()]) for number, name in enumerate(NAMES)}
    tables = {"global statistics": table, "shape features": pa.table({"of": names, **columns})}
    figures["shape map"] = lambda: shape_map(features, settings.seed)[0]
    return Told(told, tables | ({"support": pa.Table.from_pylist(least)} if least else {}), figures)


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


def _made(model: Model, store: PatchStore, rows: Indices, settings: Settings) -> tuple[Pairs, float, dict[str, Any]]:
    """Label images of a model, and how different they are; one that completes labels is told training images."""
    structures: tuple[str, ...] = tuple(getattr(model.config.method, "labels", ()))
    random = np.random.Generator(np.random.Philox(key=[settings.seed, 14]))
    feed = feed_of(store, np.sort(random.permutation(rows)[: settings.samples]), model, settings.seed)
    made = [labels > 0 for labels in labels_of(model, feed, settings.samples, settings.seed)]
    masks: Masks = torch.cat(made).numpy()
    wanted = settings.membranes, settings.mitochondria
    if missing := [name for name in wanted if name not in structures]:
        raise RecipeError(
            f"the model makes no label image {missing[0]!r}",
            f"it makes {', '.join(structures) or 'none'}",
            "Set tissue.membranes and tissue.mitochondria",
        )
    told: dict[str, Any] = {}
    if given := tuple(getattr(model.config.method, "given", ())):
        places = [number for number, name in enumerate(structures) if name not in given]
        found = asdict(other_noise(model, feed, places, settings.seed))
        told["other noise"] = {key: value if isinstance(value, str) else _number(value) for key, value in found.items()}
    membranes, mitochondria = (masks[:, structures.index(name)] for name in wanted)
    return list(zip(membranes, mitochondria, strict=True)), _apart(halved(masks)), told


def _some(pairs: Pairs, settings: Settings) -> list[Masks]:
    """As many as there are samples, L H W each."""
    random = np.random.Generator(np.random.Philox(key=[settings.seed, 16]))
    return [np.stack(pairs[place]) for place in random.permutation(len(pairs))[: settings.samples]]


def _apart(masks: Masks) -> float:
    """1 - IU, mean over all pairs; nan of one sample."""
    others = overlaps(masks)[~np.eye(len(masks), dtype=np.bool_)]
    return float(1 - others.mean()) if len(others) else float("nan")


def _support(
    model: Model | None, cells: Mapping[str, list[Cell]], settings: Settings
) -> tuple[dict[str, Any], list[Row], dict[str, Callable[[], Figure]]]:
    """Of the model by noise images of 2 x 2, and of single cells; a row for each run and batch, and their figures."""
    least: list[Row] = []
    told: dict[str, Any] = {}
    figures: dict[str, Callable[[], Figure]] = {}
    batches = sorted(settings.batches)
    if model and batches and (edge := atom_edge(model.method)):
        nearest = []
        for run in range(settings.runs):
            masks = atoms(model, batches[-1], run, settings.seed)
            along, (one, other) = least_along(masks, batches)
            nearest.append((masks[one], masks[other]))
            least += [_row("made", run, size, value) for size, value in along.items()]
        told["made"] = {"samples": f"noise images of 2 x 2, {edge} x {edge} pixels"} | _told(least, "made")
        titles = [f"{row['least 1 - IU']:.2f}" for row in least if row["batch"] == batches[-1]]
        figures["most alike"] = partial(alike, nearest, titles)
    for name, some in cells.items():
        own = _batches_of(len(some))
        if batches and own and name != "made":
            found = least_distances(overlaps(halved(_squares(some))), own, settings.runs, settings.seed)
            rows = [_row(name, run, size, float(value)) for size, of in found.items() for run, value in enumerate(of)]
            told[name] = {"samples": f"{len(some)} single cells, drawn from again in every run"} | _told(rows, name)
            least += rows
    if least:
        kinds = dict.fromkeys(row["of"] for row in least)
        points = {kind: [(row["batch"], row["least 1 - IU"]) for row in least if row["of"] == kind] for kind in kinds}
        figures["support"] = partial(least_distances_plot, points)
    return told, least, figures


def _row(name: str, run: int, size: int, value: float) -> Row:
    return {"of": name, "run": run, "batch": size, "least 1 - IU": value}


def _told(rows: list[Row], name: str) -> dict[str, Any]:
    sizes = sorted({row["batch"] for row in rows if row["of"] == name})
    least = {
        size: np.asarray([row["least 1 - IU"] for row in rows if row["of"] == name and row["batch"] == size])
        for size in sizes
    }
    return {
        "least 1 - IU by batch": {str(size): round(float(one.mean()), 4) for size, one in least.items()},
        "runs with two alike": {str(size): int((one < 1 - ALIKE).sum()) for size, one in least.items()},
        "support": support(least) or f"more than {sizes[-1] ** 2:,}",
    }


def _batches_of(count: int) -> list[int]:
    """Sizes for so many cells, at most half of them, so that runs differ."""
    return [size for size in (10, 20, 50, *BATCHES) if size <= count // 2]


def _squares(cells: list[Cell]) -> Masks:
    """Cells and mitochondria, N 2 E E, each in the middle of a square that the largest fits in."""
    edge = max(max(one.cell.shape) for one in cells)
    found = np.zeros((len(cells), 2, edge, edge), np.bool_)
    for square, one in zip(found, cells, strict=True):
        height, width = one.cell.shape
        top, left = (edge - height) // 2, (edge - width) // 2
        square[:, top : top + height, left : left + width] = one.cell, one.mitochondria
    return found


def _global(images: dict[str, Pairs], parametric: list[Cell], settings: Settings) -> tuple[dict[str, Any], pa.Table]:
    sizes = settings.smallest, settings.least
    measured = {name: population(pairs, settings.closing, *sizes) for name, pairs in images.items()}
    if parametric:  # each is an image; of cells without mitochondria it says nothing
        measured["parametric"] = population([(~one.cell, one.mitochondria) for one in parametric], 0, *sizes)
    real = measured["training images"]
    facts = {}
    for name, one in measured.items():
        apart = {f"chi-squared {key}": value for key, value in chi_squared(one, real).items()}
        facts[name] = {key: _number(value) for key, value in (one.means() | apart).items()}
        if name == "parametric":
            facts[name] |= dict.fromkeys(("cell size", "mitochondria per cell", "chi-squared cell size"))
    return facts, pa.Table.from_pylist([{"of": name} | row for name, row in facts.items()])


def _single(images: dict[str, Pairs], settings: Settings) -> dict[str, list[Cell]]:
    """Cells of every set of images, and of the parametric model of the training cells."""
    sizes = settings.closing, settings.smallest, settings.least
    cells = {name: [cell for pair in pairs for cell in single_cells(*pair, *sizes)] for name, pairs in images.items()}
    real = cells["training images"]
    if len(real) > 1:
        cells["parametric"] = parametric_cells(real, max(100, len(real)), settings.least, settings.seed)
    return cells


def _cells(cells: Mapping[str, list[Cell]], settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the SVM says of each group, and their features, N 89 each."""
    features = {
        name: np.asarray([shape_features(one) for one in some]).reshape(-1, len(NAMES)) for name, some in cells.items()
    }
    facts: dict[str, Any] = {}
    for name, of in features.items():
        judged = real_or_made(features["training images"], of, settings.repeats, settings.seed)
        told = {key: _number(value) for key, value in asdict(judged).items()} if judged else {"cells": len(of)}
        facts[name] = told if name != "training images" else {"cells": len(of)}
    return facts, features


def _number(value: float) -> float | int | None:
    """As JSON has it."""
    return value if isinstance(value, int) else round(value, 4) if np.isfinite(value) else None
