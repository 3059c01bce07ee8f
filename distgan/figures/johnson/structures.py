"""Figures 2, 3 and S6: every structure in one cell; figures S1 and S2: cells made again."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

from distgan.assessment.cell_measures import correlations, psnrs
from distgan.families.cells import CellMethod
from distgan.inference.integrate import structures
from distgan.inference.reconstruct import held_out_rows, training_rows
from distgan.inference.told import evenly, samples_of
from distgan.inference.traverse import cell_method
from distgan.method import Batch, Step
from distgan.model import Model
from distgan.plots.figure_look import figure
from distgan.plots.figure_set import Asked, Drawn
from distgan.plots.latent_plots import GAP, mosaic, pictures
from storage.errors import RecipeError
from storage.patches import PatchStore

CELLS, EXAMPLES = 6, 2
"""In which every structure is predicted, and real ones of each structure."""
AGAIN = 5
"""Cells of each set that are made again."""


def predicted(asked: Asked) -> Iterator[Drawn]:
    """For each model: every structure in some held-out cells, beside real cells of that structure.

    Raises RecipeError: a model knows no structures.
    """
    settings = asked.settings
    store = PatchStore.open(Path(settings.real))
    for number, (name, address) in enumerate(settings.structures.items()):
        model = asked.model(address)
        method = cell_method(model)
        if not method.classes:
            raise RecipeError(f"{name} knows no structures", model.config.method.name, "Name a model of phase 2")
        rows = held_out_rows(model, store, None)
        batch = samples_of(model, store, rows)
        of = batch.columns[method.config.column].numpy()
        chosen = _each(of, len(method.classes))
        drawn, numbers = _in_cells(model, method, batch, of, chosen)
        yield Drawn(
            f"structures_{number + 1}",
            f"Figures 2, 3 and S6: every structure in one cell, {name}",
            f"Left: {EXAMPLES} held-out cells of each structure, as imaged. Right: {len(chosen)} other held-out cells "
            "as imaged, and below each the likeliest place of every structure in its shape (z of the structure 0); "
            f"framed where that is the structure that was imaged. Channels: {_colours(model)}. Nothing was chosen by "
            "eye.",
            drawn,
            numbers,
            {name: model.digest, "real": store.digest},
        )


def _each(of: NDArray[Any], classes: int) -> list[int]:
    """Places of cells, the structures in turn, after those that are examples."""
    places = [np.flatnonzero(of == number)[EXAMPLES:].tolist() for number in range(classes)]
    turns = [some[turn] for turn in range(CELLS) for some in places if turn < len(some)]
    return sorted(turns[:CELLS], key=lambda place: (of[place], place))


def _in_cells(
    model: Model, method: CellMethod, batch: Batch, of: NDArray[Any], chosen: Sequence[int]
) -> tuple[Any, list[dict[str, Any]]]:
    channels, classes = model.card["channels"], method.classes
    cells, numbers = [], []
    for place in chosen:
        one = Batch(
            batch.images[place : place + 1], {name: of[place : place + 1] for name, of in batch.columns.items()}
        )
        made = structures(method, one, Step(one, 0))
        cells.append(torch.cat([one.images, made]))
        own = one.images.expand_as(made)
        for kind, like in zip(classes, correlations(method, own, made).tolist(), strict=True):
            imaged = classes[of[place]]
            numbers.append({"cell": place, "imaged": imaged, "predicted": kind, "correlation with imaged": like})
    columns = [pictures(line, channels) for line in cells]
    lines, height, width, _ = columns[0].shape
    empty = np.ones((EXAMPLES + 1, height, width, 3), np.float32)  # examples, and what parts them from the cells
    rows = [np.concatenate([empty, np.stack([column[0] for column in columns])])]
    for number in range(len(classes)):
        own = batch.images[torch.from_numpy(np.flatnonzero(of == number)[:EXAMPLES])]
        real = np.concatenate([pictures(own, channels), empty[len(own) :]]) if len(own) else empty
        rows.append(np.concatenate([real, np.stack([column[1 + number] for column in columns])]))
    count = len(rows[0])
    drawn = figure(10, 9.2 * height * lines / (width * count) + 0.5)
    axis = drawn.subplots()
    _show(axis, mosaic(rows), ["", *classes], height)
    at = (EXAMPLES + 1) * (width + GAP) - 2 * GAP, height / 2
    axis.text(*at, "as imaged", fontsize=8, ha="right", va="center")
    middle = [(width + GAP) * at for at in (EXAMPLES / 2, EXAMPLES + 1 + len(chosen) / 2)]
    axis.set_xticks(middle, ["real", "each structure in the shape of a cell"], fontsize=9)
    axis.tick_params(labeltop=True, labelbottom=False)
    for column, place in enumerate(chosen, EXAMPLES + 1):
        corner = column * (width + GAP) + 0.2, (1 + of[place]) * (height + GAP) + 0.2
        axis.add_patch(Rectangle(corner, width - 1.4, height - 1.4, fill=False, color="yellow", lw=1.4))
    return drawn, numbers


def _show(axis: Axes, canvas: NDArray[np.float32], names: Sequence[str], height: int) -> None:
    axis.imshow(canvas, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([(height + GAP) * at + height / 2 for at in range(len(names))], names, fontsize=8)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _colours(model: Model) -> str:
    return ", ".join(model.card["channels"])


def reconstructed(asked: Asked) -> Iterator[Drawn]:
    """Training and held-out cells, and what each model makes of them again."""
    settings = asked.settings
    store = PatchStore.open(Path(settings.real))
    models = {"phase 1": asked.model(settings.shapes)} if settings.shapes else {}
    models |= asked.models(settings.structures)
    first = next(reversed(models.values()))
    train_store, train = training_rows(first, store)
    sets = {
        "training cells": samples_of(first, train_store, evenly(train, AGAIN)),
        "held-out cells": samples_of(first, store, evenly(held_out_rows(first, store, None), AGAIN)),
    }
    lines: dict[str, list[Tensor]] = {"imaged": [batch.images for batch in sets.values()]}
    numbers: list[dict[str, Any]] = []
    for name, model in models.items():
        method = cell_method(model)
        with torch.no_grad():
            lines[name] = [method.reconstruction(batch) for batch in sets.values()]
        for of, batch, again in zip(sets, sets.values(), lines[name], strict=True):
            found = psnrs(method.light(batch.images), method.light(again)).tolist()
            numbers += [{"set": of, "model": name, "cell": at, "PSNR [dB]": value} for at, value in enumerate(found)]
    channels = first.card["channels"]
    shown = {name: [pictures(images, channels) for images in parts] for name, parts in lines.items()}
    _, height, width, _ = shown["imaged"][0].shape
    drawn = figure(10, 9.0 / (2 * AGAIN + 0.6) * height / width * len(shown) + 0.5)
    for part, (axis, title) in enumerate(zip(drawn.subplots(1, 2), sets, strict=True)):
        names = [name if name == "imaged" else f"{name},\nagain" for name in shown]
        _show(axis, mosaic([line[part] for line in shown.values()]), names if not part else [""] * len(names), height)
        axis.set_title(title, fontsize=9)
        for row, name in enumerate(list(shown)[1:], 1):
            own = [one["PSNR [dB]"] for one in numbers if one["set"] == title and one["model"] == name]
            for column, value in enumerate(own):
                at = column * (width + GAP) + 0.96 * width, row * (height + GAP) + 0.96 * height
                axis.text(*at, f"{value:.1f} dB", color="white", fontsize=6, ha="right", va="bottom")
    yield Drawn(
        "again",
        "Figures S1 and S2: cells made again",
        f"{AGAIN} training and {AGAIN} held-out cells, evenly taken; on each its signal-to-noise over the channels "
        f"that the model makes, the others black. Channels: {_colours(first)}.",
        drawn,
        numbers,
        {name: model.digest for name, model in models.items()},
    )
