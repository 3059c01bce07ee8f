"""All proteins in one cell: a red image is given, and the greens of every class are made for it.

    OUT/cells.ome.zarr   image store of multi-channel images: the red that was given, and each class
    OUT/cells.csv        of each image its row, its draw, how well its red was found, and how far its own green is off
    OUT/summary.json     medians of that, beside what needs no model
    OUT/cells.png        the image, what was made of its red, and each class on the red that was given

No two of these proteins were ever seen in one cell (Osokin et al. 2017). The red code is sought by the red channel
alone; the green numbers are drawn, so that a draw is one of many answers. Beside the errors stand those of the training
image of the same class whose red is nearest, and of the mean training image of the class.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pyarrow import csv
from torch import Tensor

from distgan.codes import RedFirst
from distgan.data.batches import from_unit_range
from distgan.engine.numerics import one_thread
from distgan.inference.invert import Search
from distgan.inference.reconstruct import training_rows
from distgan.inference.red import Reds, panels, red_first, reds_of
from distgan.inference.told import samples_of
from distgan.method import Batch, Step
from distgan.model import Model
from distgan.plots import latent_plots
from storage.datasets import Progress
from storage.durable import disk_errors, require_nothing, write_file
from storage.made import write_images
from storage.patches import PatchStore
from storage.sampler import Indices
from storage.split import column_values

SHOWN = 12
"""Images in the figure, at most."""


def put_proteins(
    model: Model,
    store: PatchStore,
    rows: Sequence[int],
    out: Path,
    search: Search,
    *,
    draws: int = 1,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Write these cells with the channels of all classes to the new folder `out`, so many draws of each.

    search: of red codes.  progress: of its encoder's training.  Returns the summary.
    Raises RecipeError: the model makes no red first, something stands at `out`, or as `samples_of`.
    """
    require_nothing(out)
    method = red_first(model, "integrate")
    batch = samples_of(model, store, rows)
    with one_thread():
        found = reds_of(method, batch.images[:, :1], rows, search, progress)
        cells = torch.stack(
            [_drawn(method, code, row, draws, seed) for code, row in zip(found.codes, rows, strict=True)]
        )
    made = cells.clone()
    cells[:, :, 0] = batch.images[:, None, 0]
    table = _table(model, method, store, rows, batch, found, made)
    kind = _kinds(model, store, rows)
    obs: dict[str, Any] = {"file": [f"row {row}, draw {draw}" for row in rows for draw in range(draws)]}
    obs |= {"patch_row": np.repeat(rows, draws), "draw": np.tile(np.arange(draws), len(rows))}
    facts = {"channels": list(method.shown), "pixel_um": model.card["pixel_um"], "model": model.digest}
    facts |= {"patch_store": store.digest, "search": search.dump(), "seed": seed}
    images = from_unit_range(cells.flatten(0, 1), model.value_range, model.card["dtype"])
    write_images(out / "cells.ome.zarr", images, pa.table(obs), facts)
    summary = _summary(table)
    write_file(out / "summary.json", (json.dumps(summary, indent=1) + "\n").encode())
    with disk_errors(out):
        csv.write_csv(table, out / "cells.csv")
        _figure(
            model, method, batch, found, cells, [f"row {row} {name}" for row, name in zip(rows, kind, strict=True)]
        ).savefig(out / "cells.png")
    return summary


@torch.no_grad()
def _drawn(method: RedFirst, code: Tensor, row: int, draws: int, seed: int) -> Tensor:
    """Cells of one red code, draws K H W."""
    codes = method.prior.drawn(Step(Batch(torch.zeros(1)), 0, row, seed=seed), "greens", draws)
    codes[:, : len(code)] = code
    return method.cells(codes)


def _kinds(model: Model, store: PatchStore, rows: Sequence[int] | Indices) -> list[str]:
    """The class of each row, "" where the model knows none."""
    column = getattr(model.config.method, "column", "")
    if not column:
        return [""] * len(rows)
    values = column_values(store.obs, column)
    return [str(values[row]) for row in rows]


def _table(
    model: Model, method: RedFirst, store: PatchStore, rows: Sequence[int], batch: Batch, found: Reds, made: Tensor
) -> pa.Table:
    """A row for each image: errors of its red and of its own class's green, the latter means over draws."""
    train_store, train = training_rows(model, store)
    others, same = len(model.card["channels"]) - 1, train_store.digest == store.digest
    kinds, of_train = _kinds(model, store, rows), np.asarray(_kinds(model, train_store, train))
    known = model.method.sample.classes.get(getattr(model.config.method, "column", ""), ("",))
    own = {kind: train[of_train == kind] for kind in set(kinds)}
    theirs = {kind: samples_of(model, train_store, of).images for kind, of in own.items()}
    lines: list[dict[str, Any]] = []
    for number, (row, kind) in enumerate(zip(rows, kinds, strict=True)):
        images, image = theirs[kind], batch.images[number]
        apart = _error(images[:, :1], image[:1])
        if same:
            apart[torch.from_numpy(own[kind] == row)] = torch.inf  # an image is not its own neighbour
        nearest = int(apart.argmin())
        start = 1 + others * known.index(kind)
        code = found.codes[number].square().sum().item()
        lines.append(
            {
                "row": row,
                "class": kind,
                "red": found.errors[number].item(),
                "red of the nearest in training": apart[nearest].item(),
                "red of the mean image": _error(images.mean(0)[None, :1], image[:1]).item(),
                "red surprise": 0.5 * code + 0.5 * method.prior.red * np.log(2 * np.pi),
                "green": _error(made[number, :, start : start + others], image[1:]).mean().item(),
                "green of the nearest in red": _error(images[nearest][None, 1:], image[1:]).item(),
                "green of the mean image": _error(images.mean(0)[None, 1:], image[1:]).item(),
            }
        )
    return pa.Table.from_pylist(lines)


def _error(images: Tensor, wanted: Tensor) -> Tensor:
    """Of images N C H W against one C H W in [-1, 1], roots of mean squared differences, black 0 and white 1: N."""
    return 0.5 * (images - wanted).flatten(1).square().mean(1).sqrt()


def _summary(table: pa.Table) -> dict[str, Any]:
    """Medians, each with the median distance to it."""

    def line(name: str) -> dict[str, Any]:
        values: NDArray[np.float64] = np.asarray(table.column(name).to_pylist(), np.float64)
        median = float(np.median(values))
        return {"of": name, "median": round(median, 4), "±": round(float(np.median(np.abs(values - median))), 4)}

    return {"images": table.num_rows, "errors": [line(name) for name in table.column_names[2:]]}


def _figure(model: Model, method: RedFirst, batch: Batch, found: Reds, cells: Tensor, names: Sequence[str]) -> Any:
    """A line for each image: as it is, its red made again, and each class on the red that was given; the first draw."""
    channels = model.card["channels"]
    dark = torch.full_like(batch.images[:, 1:], -1.0)
    again = torch.cat([found.made, dark], 1)
    shown = [("image", batch.images), (f"{channels[0]} made", again), *panels(cells[:, 0], method.shown, len(channels))]
    columns = [f"{name} given" if number == 2 else name for number, (name, _) in enumerate(shown)]
    lines = [(name, torch.stack([images[number] for _, images in shown])) for number, name in enumerate(names[:SHOWN])]
    return latent_plots.lines(lines, channels, columns, f"{model.card['method']}: all classes in one cell")
