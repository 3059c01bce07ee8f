"""Many answers to one red: the first channel of a cell is held, and the others are drawn again and again.

How different they are, beside how different the others of different reds are, says whether there is more than one
answer to a red: with pix2pix there is nearly one (Osokin et al. 2017, section 2).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distgan.codes import Translating
from distgan.data.batches import from_unit_range
from distgan.inference.reconstruct import held_out_rows
from distgan.inference.red import panels, red_first
from distgan.inference.sample import SUFFIXES
from distgan.inference.told import evenly, samples_of
from distgan.method import Batch, Step
from distgan.model import Model
from distgan.plots import latent_plots
from storage.datasets import Progress
from storage.durable import disk_errors
from storage.errors import RecipeError
from storage.patches import PatchStore
from storage.split import column_values

LINES = 24
"""Of a figure, at most, but for those of one red."""
COMPARED = 256
"""Real cells of a class that are compared with each other, at most."""


@dataclass(frozen=True)
class Held:
    """cells: R D K H W in [-1, 1], of R reds D draws each.  names: of the K channels."""

    cells: Tensor
    names: tuple[str, ...]


@torch.no_grad()
def held(
    model: Model, reds: int, draws: int, seed: int, store: PatchStore | None = None, progress: Progress | None = None
) -> Held:
    """So many draws of the other channels for each of so many reds.

    store: of the reds of a model that makes none itself: of those it was not trained on, evenly taken.
    Raises RecipeError: the model makes all channels at once, or wants a store.
    """
    tell: Progress = progress or (lambda done, total: None)
    method, lines = model.method, []
    if isinstance(method, Translating):
        if store is None:
            raise RecipeError(
                f"{model.config.method.name} makes no red channel", "no --store", "Name a patch store of reds"
            )
        rows = held_out_rows(model, store, reds)
        for number, row in enumerate(rows.tolist()):
            one = samples_of(model, store, [row] * draws)
            lines.append(method.translated(Step(one, 0, row, seed=seed)))
            tell(number + 1, len(rows))
        return Held(torch.stack(lines), tuple(model.card["channels"]))
    whole = red_first(model, "--hold red")
    for number in range(reds):
        step = Step(Batch(torch.zeros(1)), 0, number, seed=seed)
        codes = whole.prior.drawn(step, "held", draws)
        codes[:, : whole.prior.red] = codes[:1, : whole.prior.red]
        lines.append(whole.cells(codes))
        tell(number + 1, reds)
    return Held(torch.stack(lines), whole.shown)


def diversity(of: Held) -> list[dict[str, Any]]:
    """Of each channel but the first, how far two draws lie apart: of one red, of two reds, and their ratio.

    Means of roots of mean squared differences, black 0 and white 1.
    """
    reds, draws = of.cells.shape[:2]
    group = torch.arange(reds).repeat_interleave(draws)
    rows = []
    for number, name in enumerate(of.names[1:], 1):
        apart = _apart(of.cells[:, :, number].flatten(0, 1))
        same = group[:, None] == group
        within = apart[same & ~torch.eye(len(group), dtype=torch.bool)].mean().item()
        rows.append(_row(name, within, apart[~same].mean().item()))
    return rows


def look_alikes(model: Model, store: PatchStore) -> list[dict[str, Any]]:
    """The same of real cells: of each and the one of its class whose first channel is nearest, and of any two.

    Nearest reds are not equal, so that the former is more than what a red leaves open.
    """
    column = getattr(model.config.method, "column", "")
    channels = tuple(model.card["channels"])
    rows = held_out_rows(model, store, None)
    of: Mapping[str, Any] = {"": rows}
    if column:
        values = np.asarray([str(value) for value in column_values(store.obs, column)])[rows]
        of = {name: rows[values == name] for name in sorted(set(values.tolist()))}
    found = []
    for kind, own in of.items():
        if len(own) < 2:
            continue
        images = samples_of(model, store, evenly(own, COMPARED)).images
        red = _apart(images[:, 0]).fill_diagonal_(torch.inf)
        nearest = red.argmin(1)
        for number, name in enumerate(channels[1:], 1):
            apart, count = _apart(images[:, number]), len(images)
            within = apart[torch.arange(count), nearest].mean().item()
            between = (apart.sum() / (count * (count - 1))).item()
            told = kind if kind and len(channels) == 2 else f"{kind} {name}".strip()
            found.append(_row(f"{told}, real cells nearest in {channels[0]}", within, between))
    return found


def write_held(model: Model, of: Held, out: Path) -> tuple[int, ...]:
    """Write as a figure, a line for each red and class (.png), or in the values of the store, R D K H W (.npy).

    Returns R D K H W.  Raises RecipeError: the path has another suffix.
    """
    if out.suffix not in SUFFIXES[:2]:
        raise RecipeError(
            f"draws cannot be written as {out.suffix or 'a file without suffix'}",
            str(out),
            f"Use one of {', '.join(SUFFIXES[:2])}",
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with disk_errors(out):
        if out.suffix == ".npy":
            np.save(out, from_unit_range(of.cells, model.value_range, model.card["dtype"]), allow_pickle=False)
        else:
            _figure(model, of).savefig(out)
    return tuple(of.cells.shape)


def _figure(model: Model, of: Held) -> Any:
    channels, lines = model.card["channels"], []
    for red, cells in enumerate(of.cells):
        (_, alone), *others = panels(cells, of.names, len(channels))
        lines += [(f"red {red}, {name}", torch.cat([alone[:1], images])) for name, images in others]
        if len(lines) + len(others) > LINES:
            break
    names = [of.names[0], *(f"draw {number + 1}" for number in range(of.cells.shape[1]))]
    return latent_plots.lines(lines, channels, names, f"{model.card['method']}: many answers to one {of.names[0]}")


def _row(name: str, within: float, between: float) -> dict[str, Any]:
    ratio = round(within / between, 4) if between else float("nan")
    return {"channel": name, "of one red": round(within, 4), "of two reds": round(between, 4), "ratio": ratio}


def _apart(images: Tensor) -> Tensor:
    """Of N images ... in [-1, 1] the root of the mean squared difference of every two, black 0 and white 1: N N."""
    flat = 0.5 * images.flatten(1).double()
    return torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist") / flat.shape[1] ** 0.5
