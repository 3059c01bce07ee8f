"""The cells that a finished model of cells is judged by: those it has not seen, and those it learned from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsFloat

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from distgan.assessment.cell_measures import as_cells, names_of
from distgan.data.batches import choose
from distgan.data.image_sets import is_model
from distgan.families.cells import CellMethod
from distgan.inference.reconstruct import training_rows
from distgan.inference.told import evenly, samples_of
from distgan.method import Batch
from distgan.metrics.algebra import interval
from distgan.model import Model, load_model
from distgan.score import Asked, ScoreSettings
from storage.errors import RecipeError
from storage.patches import PatchStore
from storage.split import column_values

ALL = "all"
"""In the place of a structure: every cell."""
Floats = NDArray[np.float64]


class CellSettings(ScoreSettings):
    """store: patch store of the cells; by default what the model was trained on, of which what was held out is judged.

    samples: cells on each side, at most.  groups: the metadata column whose groups an interval draws again; by default
    that of the split, or each cell by itself.  resamples: for the intervals.
    """

    store: str = ""
    samples: int = Field(2_000, ge=2)
    groups: str = ""
    resamples: int = Field(1_000, ge=100)
    seed: int = Field(0, ge=0)


@dataclass(frozen=True)
class CellSets:
    """held_out: cells the model has not seen.  train: such as it learned from.  groups: of the held-out ones.

    counts: cells of each structure, by set, all of them.
    """

    model: Model
    cells: CellMethod
    train: Batch
    held_out: Batch
    groups: NDArray[np.str_]
    counts: Mapping[str, Mapping[str, int]]
    settings: CellSettings

    @classmethod
    def of(cls, asked: Asked) -> "CellSets":
        """Load the model and its cells.

        Raises RecipeError: it is no model of cells, has seen all the cells there are, or the cells do not fit it.
        """
        settings: CellSettings = asked.settings
        if not is_model(Path(asked.target)):
            raise RecipeError(f"{asked.target} is no model", "no model.json", "Name a model of cells")
        model = load_model(Path(asked.target))
        cells = as_cells(model.method)
        store = PatchStore.open(Path(settings.store or model.config.data.store))
        train_store, train = training_rows(model, store)
        rows, own = np.arange(store.shape[0]), {"train": train}
        if store.digest == train_store.digest:
            chosen = choose(store, model.config.data)
            own |= {"validation": chosen.validation}
            rows = chosen.held_out
        if not len(rows):
            raise RecipeError(
                "the model has seen every cell", f"none of {store.path} was held out", "Train with [data.split]"
            )
        split = model.config.data.split
        by = settings.groups or (split.by if split and split.by in store.obs.column_names else "")
        shown = evenly(rows, settings.samples)
        groups = column_values(store.obs, by) if by else list(range(store.shape[0]))
        counts = {name: _counts(cells, train_store, places) for name, places in own.items() if len(places)}
        return cls(
            model,
            cells,
            samples_of(model, train_store, evenly(train, settings.samples)),
            samples_of(model, store, shown),
            np.asarray([str(groups[row]) for row in shown]),
            counts | {"held out": _counts(cells, store, rows)},
            settings,
        )

    @property
    def structures(self) -> dict[str, Tensor]:
        """Of every structure that was held out, and of all of them, which of the held-out cells are such, N."""
        return {**kinds_of(self.cells, self.held_out), ALL: torch.ones(len(self.held_out), dtype=torch.bool)}

    def means(self, batch: Batch) -> Tensor:
        """For each cell of a batch the mean training image of its class, or of all: N C ..."""
        whole = self.train.images.mean(0)
        found = whole.expand_as(batch.images).clone()
        of_train = kinds_of(self.cells, self.train)
        for name, own in kinds_of(self.cells, batch).items():
            if name in of_train:
                found[own] = self.train.images[of_train[name]].mean(0)
        return found

    def estimate(self, values: Tensor, own: Tensor) -> dict[str, Any]:
        """The mean of values of the held-out cells, N, over some of them, and 95 % of it; None where there is none."""
        some = values[own].double().cpu().numpy()
        limits = interval(some, self.groups[own.numpy()].tolist(), self.settings.resamples, self.settings.seed)
        return {"mean": rounded(some.mean()), "95%": limits and [rounded(limit) for limit in limits]}

    @property
    def reference(self) -> tuple[int, ...]:
        """Numbers of the reference channels: what the structure is made from.

        Raises RecipeError: the model makes no structure.
        """
        found: tuple[int, ...] = getattr(self.cells, "reference", ())
        if not (found and self.cells.structure):
            raise RecipeError(
                f"{self.model.config.method.name} makes no structure",
                f"it codes {', '.join(names_of(self.cells, self.cells.made))}",
                "Take a model of conditional_autoencoder or conditional_beta_vae",
            )
        return found


def kinds_of(cells: CellMethod, batch: Batch) -> dict[str, Tensor]:
    """Of every structure that occurs, which cells of the batch are such, N; empty where the method knows none."""
    if not cells.classes:
        return {}
    own = batch.columns[cells.config.column]
    return {name: own == number for number, name in enumerate(cells.classes) if (own == number).any()}


def _counts(cells: CellMethod, store: PatchStore, rows: NDArray[np.int64]) -> dict[str, int]:
    if not cells.classes:
        return {ALL: len(rows)}
    values = column_values(store.obs, cells.config.column)
    named = [str(values[row]) for row in rows]
    return {name: named.count(name) for name in cells.classes}


def rounded(value: SupportsFloat) -> float:
    """A number, or a tensor of one, to four decimals."""
    return round(float(value), 4) + 0.0  # which makes -0 0


def flattened(name: str, estimate: Mapping[str, Any]) -> dict[str, Any]:
    """An estimate as columns of a table: NAME, NAME low, NAME high."""
    low, high = estimate["95%"] or (None, None)
    return {name: estimate["mean"], f"{name} low": low, f"{name} high": high}
