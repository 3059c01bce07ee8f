"""`distgan evaluate joint_greens`: do greens that were never seen together go together as they should?

Of synthetic yeast it is known: a cell's greens follow its shape and stage, and are else independent of each other. So
cells are planted with all their proteins, measured, and compared with cells that a model makes with all of them:

    greens with each other    rank correlations over cells of what is measured of every two proteins, and how far those
                              of the model are from the planted ones: the mean absolute difference over pairs
    greens with the stage     rank correlation of each protein's spread with the stage, as the length of the red tells
                              it; of drawn cells, and along films in which the red alone changes

Beside the model stand other planted cells (as good as it gets), cells put together of the training images whose red is
nearest to planted reds (which need no model), and greens of different cells (independent of each other).
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydantic import Field

from distgan.codes import Prior, RedFirst
from distgan.config.sections import Seed
from distgan.data.batches import choose, to_unit_range
from distgan.inference.interpolate import by_size, drawn, path
from distgan.inference.red import red_first
from distgan.method import Batch, Step
from distgan.metrics.green_place import MEASURES, apart, between, correlations, measured, pairs
from distgan.metrics.red_object import lengths
from distgan.model import Model, load_model
from distgan.score import Asked, ScoreSettings, Told
from storage.datasets.synthetic_yeast import PROTEINS, SIZE, grow, photograph
from storage.drawing import philox
from storage.errors import RecipeError
from storage.operations.geometry import resampled
from storage.patches import PatchStore
from storage.split import column_values

Cells = NDArray[np.float64]
"""N K H W in [0, 1]: red, then each protein in order."""
BATCH = 64
LAMP, EXPRESSION = 0.1, 0.2
"""Deviations of the logarithms of brightness, as in the data set."""


class Settings(ScoreSettings):
    """`[joint_greens]`.

    cells: on each side.  films: walks in red, each from a small cell to a large one.  steps: frames of each.
    """

    cells: int = Field(500, ge=20)
    films: int = Field(20, ge=1)
    steps: int = Field(17, ge=5)
    seed: Seed = 0


def score(asked: Asked) -> Told:
    """Score a model of synthetic yeast.

    Raises RecipeError: it makes no cells with all proteins of synthetic yeast.
    """
    settings: Settings = asked.settings
    model = load_model(Path(asked.target))
    method = _of_synthetic_yeast(model)
    size = tuple(model.card["image_shape"][1:])
    sources = {"planted": planted(settings.cells, settings.seed, size)}
    asked.progress(1, 5)
    sources["made"] = _made(method, settings)
    asked.progress(2, 5)
    sources["planted again"] = planted(settings.cells, settings.seed + 1, size)
    asked.progress(3, 5)
    sources["nearest in red"] = _nearest(model, sources["planted"])
    sources["of different cells"] = _mixed(sources["planted"], settings.seed)
    found = {name: measured(cells) for name, cells in sources.items()}
    matrices = {of: {name: correlations(found[name][of]) for name in sources} for of in MEASURES}
    others = [name for name in sources if name != "planted"]
    together = [
        {"measure": of} | {name: round(apart(matrices[of][name], matrices[of]["planted"]), 4) for name in others}
        for of in MEASURES
    ]
    long = {name: lengths(cells[:, 0])[:, None] for name, cells in sources.items()}
    stage = {name: between(long[name], found[name]["spread"])[0] for name in ("planted", "made", "nearest in red")}
    asked.progress(4, 5)
    stage["films"] = _films(model, method, settings)
    along = [
        {"protein": protein} | {name: round(float(values[number]), 4) for name, values in stage.items()}
        for number, protein in enumerate(PROTEINS)
    ]
    asked.progress(5, 5)
    rows = [{"measure": of} | row for of in MEASURES for row in pairs(PROTEINS, matrices[of])]
    facts = {
        "score": "joint_greens",
        "of": asked.target,
        "cells": settings.cells,
        "length of the red [pixels]": {name: round(float(long[name].mean()), 2) for name in ("planted", "made")},
        "greens with each other, distance from the planted correlations": together,
        "greens with the stage, correlation of spread and length": along,
        "settings": settings.model_dump(mode="json"),
    }
    return Told(facts, {"pairs": pa.Table.from_pylist(rows)}, {"pairs": partial(_figure, rows, others)})


def planted(count: int, seed: int, size: tuple[int, ...] = SIZE) -> Cells:
    """Cells with all their proteins, drawn as the data set is, and shrunk as `resize` does; N 7 H W in [0, 1]."""
    found = np.empty((count, 1 + len(PROTEINS), *SIZE))
    for number in range(count):
        rng = philox(seed, 3, number)
        cell, lamp = grow(rng), np.exp(rng.normal(0, LAMP))
        for place, protein in enumerate(PROTEINS, 1):
            green = np.exp(rng.normal(0, LAMP)) * rng.lognormal(0, EXPRESSION)
            image = photograph(rng, cell, protein, np.asarray((lamp, green)))
            found[number, [0, place]] = image[..., :2].transpose(2, 0, 1) / 255
    if size == SIZE:
        return found
    step = (1.0, SIZE[0] / size[0], SIZE[1] / size[1])
    return np.stack([resampled(cell, (len(cell), *size), step, nearest=False) for cell in found])


def _of_synthetic_yeast(model: Model) -> RedFirst:
    method = red_first(model, "joint_greens")
    channels, height, width = model.card["image_shape"]
    if tuple(method.shown[1:]) != PROTEINS or channels != 2 or height * SIZE[1] != width * SIZE[0] or height > SIZE[0]:
        raise RecipeError(
            "the joint statistics of these proteins are not known",
            f"{', '.join(method.shown[1:])} in images of {model.card['image_shape']}",
            f"Train on synthetic_yeast, 48 x 80 or resized (synthetic_yeast_star): {', '.join(PROTEINS)}",
        )
    return method


@torch.no_grad()
def _made(method: RedFirst, settings: Settings) -> Cells:
    parts = []
    for shard, start in enumerate(range(0, settings.cells, BATCH)):
        codes = method.prior.drawn(Step(Batch(torch.zeros(1)), 0, shard, seed=settings.seed), "cells", BATCH)
        parts.append(method.cells(codes[: settings.cells - start]))
    return _light(torch.cat(parts))


@torch.no_grad()
def _films(model: Model, method: RedFirst, settings: Settings) -> NDArray[np.float64]:
    """Of each protein the correlation of spread and length along a film, the mean over films."""
    red = method.prior.red
    walks = by_size(model, drawn(model, settings.films, settings.seed, {}, stops=2, cells=True))
    codes = path(walks.stops[..., :red], settings.steps, "auto", Prior(red))
    found = []
    for way, stops in zip(codes, walks.stops, strict=True):
        cells = _light(method.cells(torch.cat([way, stops[:1, red:].expand(len(way), -1)], 1)))
        found.append(between(lengths(cells[:, 0])[:, None], measured(cells)["spread"])[0])
    known = np.asarray(found)
    alike = np.isfinite(known)
    mean: NDArray[np.float64] = np.where(alike, known, 0).sum(0) / np.where(alike.any(0), alike.sum(0), np.nan)
    return mean


def _nearest(model: Model, cells: Cells) -> Cells:
    """Of each cell the red, and of each protein the green of the training image whose red is nearest."""
    data = model.config.data
    store = PatchStore.open(Path(data.store))
    train = choose(store, data).train
    images = _light(to_unit_range(store.read(train), store.value_range))
    kinds = np.asarray([str(value) for value in column_values(store.obs, model.config.method.column)])[train]
    found = cells.copy()
    for place, protein in enumerate(PROTEINS, 1):
        own = images[kinds == protein]
        reds = own[:, 0].reshape(len(own), -1)
        wanted = cells[:, 0].reshape(len(cells), -1)
        distances = np.square(reds).sum(1) - 2 * wanted @ reds.T
        found[:, place] = own[distances.argmin(1), 1]
    return found


def _mixed(cells: Cells, seed: int) -> Cells:
    """Each protein of another cell."""
    found = cells.copy()
    for place in range(1, cells.shape[1]):
        found[:, place] = cells[philox(seed, 4, place).permutation(len(cells)), place]
    return found


def _light(images: torch.Tensor) -> Cells:
    found: Cells = (0.5 * images + 0.5).double().numpy()
    return found


def _figure(rows: list[dict[str, Any]], sources: list[str]) -> Figure:
    """Each pair's correlation against the planted one, a panel for each measure; on the line it is as planted."""
    figure = Figure(figsize=(3.6 * len(MEASURES), 4.0), dpi=150, layout="constrained")
    for axis, of in zip(figure.subplots(1, len(MEASURES)), MEASURES, strict=True):
        own = [row for row in rows if row["measure"] == of]
        for name in sources:
            axis.scatter([row["planted"] for row in own], [row[name] for row in own], s=10, alpha=0.7, label=name)
        axis.plot((-1, 1), (-1, 1), color="black", linewidth=1, linestyle="--")
        axis.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal", title=of)
        axis.set_xlabel("planted rank correlation [no unit]", fontsize=8)
        axis.set_ylabel("rank correlation [no unit]", fontsize=8)
    figure.axes[0].legend(fontsize=6)
    return figure
