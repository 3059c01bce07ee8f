"""`distgan evaluate two_sample`: can a fresh critic tell what a model makes from held-out images?

Of a model, for each class it makes, its samples against the held-out images of that class; beside them the training
images in its place, which is as good as it gets, and the same with the red channel alone. A model of cells is shown
training cells of that class (structure); the channels that it does not make stay as they are there. Of a patch store,
its classes against each other (table 1 of Osokin et al.).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from matplotlib.figure import Figure
from pydantic import Field
from torch import Tensor

from distgan.config.sections import Data, Split
from distgan.data.batches import choose, to_unit_range
from distgan.families.cells import CellMethod
from distgan.method import Batch, Step, evaluated
from distgan.metrics.two_sample import Kind, Made, Scores, Test, drawn_from, matrix, of_channels, two_sample
from distgan.model import Model, load_model
from distgan.score import Asked, ScoreSettings, Told
from storage.errors import RecipeError
from storage.patches import PatchStore
from storage.sampler import Indices
from storage.split import column_values


class Settings(ScoreSettings):
    """`[two_sample]`.

    store: of the images; by default the one that the model was trained on.  split: what is held out of it; by default
    what the model has not seen.  by: the column of classes; "" makes one class of all.  group: the column whose groups
    (fields) are not divided between the critic's two halves; "" divides at will.  kinds: the critics.  red: whether the
    first channel is scored by itself, too.  floor: whether training images are, in the model's place; of several models
    on the same store it is the same.  The others are as of `distgan.metrics.two_sample.Test`.
    """

    store: str = ""
    split: Split | None = None
    by: str = ""
    group: str = ""
    kinds: tuple[Kind, ...] = ("wgan_gp",)
    red: bool = True
    floor: bool = True
    steps: int = Field(5_000, ge=1)
    width: int = Field(32, ge=1, le=256)
    rate: float | None = Field(None, gt=0)
    batch: int = Field(64, ge=2)
    splits: int = Field(10, ge=1)
    repeats: int = Field(1, ge=1)
    passes: int = Field(5, ge=1)
    flips: bool = True
    seed: int = Field(0, ge=0)

    def test(self, kind: Kind) -> Test:
        """The test of one kind of critic."""
        own = self.model_dump(
            include={"steps", "width", "rate", "batch", "splits", "repeats", "passes", "flips", "seed"}
        )
        return Test(kind, **own)


@dataclass(frozen=True)
class _Class:
    """Images of one class, N C H W.  groups: of those held out."""

    name: str
    train: Tensor
    held_out: Tensor
    groups: Sequence[object] | None


def score(asked: Asked) -> Told:
    """Score a model, or the classes of a patch store.

    Raises RecipeError: nothing is held out, or a column is not there.  Raises DataError: there are too few images.
    """
    settings: Settings = asked.settings
    folder = Path(asked.target)
    figures: dict[str, Any] = {}
    if (folder / "model.json").is_file():
        rows = _of_model(load_model(folder), settings, asked)
    else:
        rows, figures = _of_store(PatchStore.open(folder), settings)
    facts = {"score": "two_sample", "of": asked.target, "settings": settings.model_dump(mode="json"), "scores": rows}
    table = pa.Table.from_pylist([row | {"values": " ".join(map(str, row["values"]))} for row in rows])
    return Told(facts, {"scores": table}, figures)


def _of_model(model: Model, settings: Settings, asked: Asked) -> list[dict[str, Any]]:
    config = model.config.data
    config = config.model_copy(update={"store": settings.store or config.store})
    if settings.split:
        config = config.model_copy(update={"split": settings.split})
    classes = list(_classes(PatchStore.open(Path(config.store)), config, settings))
    rows: list[dict[str, Any]] = []
    for done, one in enumerate(classes):
        sources = {"made": _made(model, one, settings)}
        if settings.floor:
            sources["training images"] = drawn_from(one.train)
        for kind in settings.kinds:
            for name, source in sources.items():
                rows += _rows(one, source, settings.test(kind), settings, name)
        asked.progress(done + 1, len(classes))
    return rows


def _rows(one: _Class, source: Made, test: Test, settings: Settings, name: str) -> Iterator[dict[str, Any]]:
    told = {"of": name, "critic": test.kind, "class": one.name}
    yield told | {"channels": "all"} | _summary(two_sample(one.held_out, source, test, one.groups))
    if settings.red:
        red = two_sample(one.held_out[:, :1], of_channels(source, (0,)), test, one.groups)
        yield told | {"channels": "first"} | _summary(red)


def _of_store(store: PatchStore, settings: Settings) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    classes = list(_classes(store, Data.model_validate({"store": str(store.path), "split": settings.split}), settings))
    groups = {one.name: one.groups for one in classes if one.groups is not None}
    rows: list[dict[str, Any]] = []
    figures = {}
    for kind in settings.kinds:
        for channels in ("all", "first") if settings.red else ("all",):
            part = slice(None) if channels == "all" else slice(1)
            found = matrix(
                {one.name: one.train[:, part] for one in classes},
                {one.name: one.held_out[:, part] for one in classes},
                settings.test(kind),
                groups or None,
            )
            rows += [
                {"critic": kind, "class": row, "of": column, "channels": channels} | _summary(scores)
                for (row, column), scores in found.items()
            ]
            figures[f"{kind} {channels}"] = partial(_figure, [one.name for one in classes], found)
    return rows, figures


def _classes(store: PatchStore, data: Data, settings: Settings) -> Iterator[_Class]:
    chosen = choose(store, data)
    if not len(chosen.held_out):
        raise RecipeError(
            "there are no held-out images to compare with", "no split", "Set two_sample.split, as [data.split] is"
        )
    of = np.asarray([str(value) for value in column_values(store.obs, settings.by)]) if settings.by else None
    groups = column_values(store.obs, settings.group) if settings.group else None

    def images(rows: Indices) -> Tensor:
        return to_unit_range(store.read(rows), store.value_range)

    for name in ["all"] if of is None else sorted(set(of[chosen.held_out].tolist())):
        held_out = chosen.held_out if of is None else chosen.held_out[of[chosen.held_out] == name]
        train = chosen.train if of is None else chosen.train[of[chosen.train] == name]
        if len(train):
            own = [groups[row] for row in held_out] if groups is not None else None
            yield _Class(name, images(train), images(held_out), own)


def _made(model: Model, one: _Class, settings: Settings) -> Made:
    """What the model makes of that class; one that looks at images before it makes any is shown training images."""
    method, shown = model.method, drawn_from(one.train)
    classes = method.sample.classes
    if settings.by and set(classes) - {settings.by}:
        raise RecipeError(
            f"the model's images depend on {', '.join(classes)}",
            f"two_sample.by is {settings.by!r}",
            "Set two_sample.by to that column",
        )
    number_of = {name: number for number, name in enumerate(classes.get(settings.by, ()))}

    @torch.no_grad()
    def draw(count: int, number: int) -> Tensor:
        columns = {settings.by: torch.full((count,), number_of[one.name])} if number_of else {}
        batch = Batch(shown(count, number), columns)
        with evaluated(method):
            images = method.preview(Step(batch, number, seed=settings.seed))
        if isinstance(method, CellMethod):  # else a critic would tell cells by what was left black
            others = [channel for channel in range(images.shape[1]) if channel not in method.made]
            images[:, others] = batch.images[:, others]
        return images

    return draw


def _summary(scores: Scores) -> dict[str, Any]:
    rounded = {name: round(value, 4) for name, value in scores.summary().items()}
    return rounded | {"values": [round(value, 4) for value in scores.values.ravel().tolist()]}


def _figure(names: Sequence[str], found: dict[tuple[str, str], Scores]) -> Figure:
    """Medians, classes of the held-out images below each other, and those of the training images beside each other."""
    medians = np.array([[found[row, column].summary()["median"] for column in names] for row in names])
    figure = Figure(figsize=(1.0 + 0.7 * len(names), 0.8 + 0.6 * len(names)), dpi=150, layout="constrained")
    axis = figure.subplots()
    axis.imshow(medians, cmap="viridis_r")
    for (row, column), value in np.ndenumerate(medians):
        axis.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=7, color="white")
    axis.set_xticks(range(len(names)), names, rotation=45, fontsize=7)
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.set_xlabel("training images", fontsize=8)
    axis.set_ylabel("held-out images", fontsize=8)
    return figure
