"""Many structures in the shape of one cell: the integrated cell (Johnson et al. 2018, algorithm 3)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distgan.data.batches import from_unit_range
from distgan.families.cells import CellMethod
from distgan.inference.sample import SUFFIXES
from distgan.inference.told import samples_of
from distgan.inference.traverse import cell_method, flat
from distgan.method import Batch, Step
from distgan.model import Model
from distgan.plots import image_plots
from storage.datasets import Progress
from storage.durable import disk_errors
from storage.errors import RecipeError
from storage.patches import PatchStore


def integrate(
    model: Model,
    store: PatchStore,
    rows: Sequence[int],
    out: Path,
    *,
    draws: int = 0,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> tuple[int, ...]:
    """Write these cells with each structure that the model knows, and return the shape of what was written.

    draws: codes of each structure; 0 is the likeliest one, z^s = 0.  out: .png, a line for each cell and draw: the cell
    itself, then its reference channels with each structure; or .npy, lines x K C ... in the values of the store: the
    real reference channels, and the structure's in their places.
    Raises RecipeError: as `samples_of`; the model knows no structures; or the path has another suffix.
    """
    method = cell_method(model)
    if not method.classes:
        raise RecipeError(
            f"{model.config.method.name} knows no structures",
            "it codes the shape of cells alone",
            "Take a model of conditional_autoencoder or conditional_beta_vae",
        )
    if out.suffix not in SUFFIXES[:2]:
        raise RecipeError(
            f"cells cannot be written as {out.suffix or 'a file without suffix'}",
            str(out),
            f"Use one of {', '.join(SUFFIXES[:2])}",
        )
    lines: list[Tensor] = []
    cells = samples_of(model, store, rows)
    for number, row in enumerate(rows):
        cell = Batch(cells.images[number : number + 1])
        for draw in range(max(draws, 1)):
            name = f"{row}/{draw}" if draws else ""
            lines.append(structures(method, cell, Step(cell, 0, seed=seed), name))
        progress(number + 1, len(rows))
    found = torch.stack(lines)
    out.parent.mkdir(parents=True, exist_ok=True)
    with disk_errors(out):
        if out.suffix == ".npy":
            np.save(out, from_unit_range(found, model.value_range, model.card["dtype"]), allow_pickle=False)
        else:
            real = cells.images.repeat_interleave(max(draws, 1), 0)[:, None]
            pictures = torch.cat([real, found], 1).flatten(0, 1)
            title = f"real, then {', '.join(method.classes)}"
            image_plots.grid(flat(pictures), title, columns=1 + len(method.classes)).savefig(out)
    return tuple(found.shape)


@torch.no_grad()
def structures(method: CellMethod, cell: Batch, step: Step, name: str = "") -> Tensor:
    """One cell with each structure in turn, K C ... in [-1, 1]; its own reference channels stay.

    name: of the noise that the codes are drawn by; "" is the likeliest code.
    """
    count, column = len(method.classes), method.config.column
    images = cell.images.expand(count, *cell.images.shape[1:])
    kinds = torch.arange(count)
    length = method.config.latent
    codes = step.normal(f"z^s {name}", count, length) if name else torch.zeros(count, length)
    made = method.decoded(codes, Batch(images, {column: kinds}))
    found = images.clone()
    found[:, list(method.structure)] = made[:, list(method.structure)]
    return found
