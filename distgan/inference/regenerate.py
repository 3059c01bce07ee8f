"""One cell through both models of the integrated cell, and made again: shape by phase 1, everything by phase 2.

    OUT.png   a column for each cell: itself, its reference made again by phase 1, all of it by phase 2, and the errors
    OUT.csv   a line for each cell: the class it has and is said to have, signal-to-noise of every channel by each
              phase and by the mean training image, and its codes

Phase 2 is given the image alone: the class that it reconstructs is the one its encoder says.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distgan.assessment.cell_measures import names_of, psnrs
from distgan.families.cells import CellMethod
from distgan.inference.reconstruct import training_rows
from distgan.inference.told import evenly, samples_of
from distgan.inference.traverse import cell_method
from distgan.method import Batch
from distgan.model import Model
from distgan.plots import latent_plots
from storage.csv_table import as_csv
from storage.durable import disk_errors, write_file
from storage.errors import RecipeError
from storage.patches import PatchStore

GAIN = 4
"""Errors are drawn so many times as bright."""
TRAINING = 1024
"""Training cells, at most, of which the mean is taken."""


def regenerate(
    model: Model, store: PatchStore, rows: Sequence[int], out: Path, reference: Model | None = None
) -> list[dict[str, Any]]:
    """Write these cells and what the models make of them to `out`, and a table beside it; its lines.

    model: of phase 2, or any model of cells.  reference: of phase 1, whose encoder phase 2 has taken over.
    Raises RecipeError: as `cell_method` and `samples_of`; the models do not belong together; or another suffix.
    """
    cells = cell_method(model)
    if out.suffix != ".png":
        raise RecipeError(f"cells cannot be written as {out.suffix or 'a file without suffix'}", str(out), "Use .png")
    phases = {}
    if reference is not None:
        _check_pair(model, reference)
        phases["phase 1"] = cell_method(reference)
    phases["phase 2" if phases else "the model"] = cells
    batch = samples_of(model, store, rows)
    with torch.no_grad():
        again = {name: phase.reconstruction(batch) for name, phase in phases.items()}
    lines = [("cell", batch.images)]
    for name, phase in phases.items():
        lines += [(f"again by {name}", again[name]), (f"error of {name}, x{GAIN}", _error(phase, batch, again[name]))]
    table = _table(model, store, rows, batch, phases, again)
    names = [str(line.get("class", line["row"])) for line in table]
    write_file(out.with_suffix(".csv"), as_csv(table))
    with disk_errors(out):
        title = f"{', '.join(store.channels)}; black is an error of 0, white of {1 / GAIN:g} and more"
        latent_plots.lines(lines, model.card["channels"], names, title).savefig(out)
    return table


def _check_pair(model: Model, reference: Model) -> None:
    """That phase 2 has its encoder of shapes from this phase 1."""
    taken = getattr(model.method, "reference_encoder", None)
    own = cell_method(reference).network("encoder").state_dict()
    weights = taken.state_dict() if taken is not None else {}
    if weights.keys() != own.keys() or not all(torch.equal(weights[key], own[key]) for key in own):
        raise RecipeError(
            "the two models are not phase 1 and phase 2 of one integrated cell",
            f"the encoder of {reference.config.run.name} is not the reference_encoder of {model.config.run.name}",
            "Give the model that init.reference_encoder named when phase 2 was trained",
        )


def _error(cells: CellMethod, batch: Batch, again: Tensor) -> Tensor:
    """What differs in the channels that are made, as images in [-1, 1]; the others black."""
    return cells.pictured(GAIN * (cells.light(batch.images) - cells.light(again)).abs())


def _table(
    model: Model,
    store: PatchStore,
    rows: Sequence[int],
    batch: Batch,
    phases: dict[str, CellMethod],
    again: dict[str, Tensor],
) -> list[dict[str, Any]]:
    *_, cells = phases.values()
    train_store, train = training_rows(model, store)
    mean = samples_of(model, train_store, evenly(train, TRAINING)).images.mean(0).expand_as(batch.images)
    columns: dict[str, Sequence[Any]] = {"row": list(rows)}
    if cells.classes:
        columns["class"] = [cells.classes[one] for one in batch.columns[cells.config.column].tolist()]
        with torch.no_grad():
            scores = cells.class_scores(batch.images)
        if scores.shape[1]:
            likely = scores.softmax(1).max(1)
            columns["said"] = [cells.classes[one] for one in likely.indices.tolist()]
            columns["probability"] = _brief(likely.values)
    for name, phase, images in [*((key, one, again[key]) for key, one in phases.items()), ("mean image", cells, mean)]:
        for number, channel in zip(phase.made, names_of(phase, phase.made), strict=True):
            values = psnrs(phase.light(batch.images, (number,)), phase.light(images, (number,)))
            columns[f"{channel} by {name} [dB]"] = _brief(values)
    with torch.no_grad():
        latents = cells.latents(batch)
    for name, codes in latents.items():
        columns |= {f"{name}_{number}": _brief(values) for number, values in enumerate(codes.T)}
    return [dict(zip(columns, line, strict=True)) for line in zip(*columns.values(), strict=True)]


def _brief(values: Tensor) -> list[float]:
    return [float(f"{value:.6g}") for value in values.tolist()]
