"""Walks from one code to another, and what a generator makes on the way: a grid, a film, and both as stores.

    OUT/grid.png      a line for each walk
    OUT/film.gif      all walks side by side, there and back
    OUT/frames.zarr   patch store of every frame; obs says of which walk, which step, and by how much the image changed
    OUT/codes.zarr    embedding store of their codes, in the same order

A walk goes through stops; where those come from is one function each: drawn codes, samples of a store, treatments.
A film of cells shows in every frame all that the model makes of a cell: its first channel, and on it each class.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from distgan.codes import Encoding, Prior, repeated
from distgan.data.batches import from_unit_range
from distgan.inference.invert import Inverter, Search, decoding
from distgan.inference.latent import lerp, slerp
from distgan.inference.red import panels, red_first
from distgan.inference.told import samples_of
from distgan.method import Batch, Step
from distgan.metrics.red_object import areas
from distgan.model import Model
from distgan.plots import latent_plots
from storage.datasets import Progress
from storage.durable import disk_errors, require_nothing
from storage.errors import RecipeError
from storage.made import write_embeddings, write_patches
from storage.manifest import Facts
from storage.patches import PatchStore
from storage.split import column_values

BATCH = 64
COLUMNS = 9
"""Of a grid, at most."""
MILLISECONDS = 60
Way = Literal["auto", "slerp", "lerp"]
Decode = Callable[[Tensor, Batch], Tensor]
"""(codes N Z, as many samples) -> images N C ..."""


@dataclass(frozen=True)
class Walks:
    """W walks through K stops.  stops: W K Z.  told: W samples, one for each walk.  names: of walks."""

    stops: Tensor
    told: Batch
    names: tuple[str, ...]


def drawn(
    model: Model, count: int, seed: int, columns: dict[str, str], *, stops: int = 2, cells: bool = False
) -> Walks:
    """Walks through so many codes each, that are drawn as in training.

    columns: what a conditional model is told, by the name of the column: a class, or a number.  cells: it is told
    nothing, for a film of cells shows every class.
    Raises RecipeError: the model draws no codes, or is told too little or what it does not know.
    """
    method = decoding(model)
    if method.prior is None:
        raise RecipeError(
            f"{model.config.method.name} draws no codes",
            "nothing says how they lie",
            "Name a store of samples: --store",
        )
    told = Batch(torch.full((count, *model.method.sample.shape), -1.0), {} if cells else _told(model, count, columns))
    drawn = [method.prior.drawn(Step(told, 0, walk, seed=seed), "stops", stops) for walk in range(count)]
    return Walks(torch.stack(drawn), told, tuple(f"drawn {walk}" for walk in range(count)))


def between_samples(
    model: Model, store: PatchStore, lines: Sequence[Sequence[int]], search: Search, progress: Progress
) -> Walks:
    """Walks through the codes of samples; a conditional model is told what it is of the first of each.

    lines: W of K rows.  search: of codes, where the model has no encoder.
    Raises RecipeError: as `samples_of` and `Inverter`.
    """
    rows = np.unique(np.asarray(lines, np.int64)).tolist()
    codes = dict(zip(rows, codes_of(model, store, rows, search, progress), strict=True))
    stops = torch.stack([torch.stack([codes[row] for row in line]) for line in lines])
    told = samples_of(model, store, [line[0] for line in lines])
    return Walks(stops, told, tuple(" to ".join(str(row) for row in line) for line in lines))


def between_treatments(
    model: Model,
    store: PatchStore,
    first: tuple[str, str],
    last: tuple[str, str],
    count: int,
    search: Search,
    progress: Progress,
) -> Walks:
    """A walk from the mean code of one treatment to that of another, and walks of its cells by the same difference.

    first, last: column and value of each.  count: of its cells that walk; of each treatment 8 times as many are coded.
    Raises RecipeError: no sample has such a value; or as `between_samples`.
    """
    rows = [_treated(store, treatment, 8 * count, search.seed) for treatment in (first, last)]
    codes = codes_of(model, store, [*rows[0], *rows[1]], search, progress)
    means = [part.mean(0) for part in codes.split([len(part) for part in rows])]
    cells = rows[0][:count]
    own = codes[: len(cells)]
    stops = torch.stack([torch.cat([means[0][None], own]), torch.cat([means[1][None], own + means[1] - means[0]])], 1)
    told = samples_of(model, store, [cells[0], *cells])
    names = (f"means of {len(rows[0])} and {len(rows[1])}", *(f"row {row} + difference" for row in cells))
    return Walks(stops, told, names)


def by_size(model: Model, walks: Walks) -> Walks:
    """The same walks, each from its smallest to its largest stop, by the area of the object in the first channel."""
    count, stops = walks.stops.shape[:2]
    made = _made(decoding(model).decoded, walks.stops.flatten(0, 1), repeated(walks.told, stops))
    order = torch.from_numpy(areas(_first(made)).reshape(count, stops).argsort(1, kind="stable"))
    ordered = walks.stops.gather(1, order[..., None].expand_as(walks.stops))
    return replace(walks, stops=ordered, names=tuple(f"{name}, by size" for name in walks.names))


@torch.no_grad()
def codes_of(model: Model, store: PatchStore, rows: Sequence[int], search: Search, progress: Progress) -> Tensor:
    """The codes of samples, N Z: by the model's encoder as it is, or sought.

    Raises RecipeError: as `samples_of` and `Inverter`.
    """
    method, parts = decoding(model), []
    inverter = None if isinstance(method, Encoding) else Inverter(model, search, samples_of(model, store, rows))
    for start in range(0, len(rows), BATCH):
        some = list(rows[start : start + BATCH])
        batch = samples_of(model, store, some)
        parts.append(inverter(batch, some).codes if inverter else method.codes(batch))  # type: ignore[attr-defined]
        progress(start + len(some), len(rows))
    return torch.cat(parts)


def path(stops: Tensor, steps: int, way: Way, prior: Prior | None) -> Tensor:
    """Codes on the way through stops W K Z, so many from each to the next: W (K - 1) (steps - 1) + 1 Z.

    way: by arcs, by lines, or ("auto") the normal numbers of a code by arcs and all others by lines.
    """
    size = stops.shape[2]
    arc = {"slerp": size, "lerp": 0, "auto": prior.normal if prior else 0}[way]
    shares = torch.linspace(0, 1, steps, dtype=torch.float64)
    legs = [stops[:, :1]]
    for start, end in zip(stops.unbind(1)[:-1], stops.unbind(1)[1:], strict=True):
        one, other = start[:, None], end[:, None]
        normal = slerp(one[..., :arc], other[..., :arc], shares)
        legs.append(torch.cat([normal, lerp(one[..., arc:], other[..., arc:], shares)], 2)[:, 1:])
    return torch.cat(legs, 1)


def interpolate(
    model: Model,
    walks: Walks,
    out: Path,
    *,
    steps: int = 33,
    way: Way = "auto",
    red_only: bool = False,
    cells: bool = False,
    progress: Progress = lambda done, total: None,
) -> dict[str, float]:
    """Write walks to the new folder `out`; what is told of their evenness, and of how the object in red grows.

    steps: from each stop to the next.  way: as of `path`.  red_only: all numbers of a code but the red ones stay as
    they are at the first stop, and the other channels follow the red one.  cells: frames have the channels of all
    classes, and the film a column for each; else they are images such as the model was trained on.
    Raises RecipeError: something stands at `out`, or the model has no red codes.
    """
    require_nothing(out)
    prior, channels = decoding(model).prior, tuple(model.card["channels"])
    decode: Decode = decoding(model).decoded
    if red_only:
        red = red_first(model, "--red-only").prior.red
        path_of_red = path(walks.stops[..., :red], steps, way, Prior(red))
        still = walks.stops[:, :1, red:].expand(-1, path_of_red.shape[1], -1)
        codes = torch.cat([path_of_red, still], 2)
    else:
        codes = path(walks.stops, steps, way, prior)
    if cells:
        whole = red_first(model, "--cells")
        decode, channels = (lambda some, told: whole.cells(some)), whole.shown
    if prior is not None:
        codes = prior.inside(codes)
    count, length = codes.shape[:2]
    frames = _made(decode, codes.flatten(0, 1), repeated(walks.told, length), progress)
    changes = 0.5 * frames.unflatten(0, (count, length)).diff(dim=1).flatten(2).square().mean(2).sqrt()
    obs = {
        "walk": [walks.names[walk] for walk in range(count) for _ in range(length)],
        "step": [step for _ in range(count) for step in range(length)],
        "share": [step / (length - 1) for _ in range(count) for step in range(length)],
        "change": torch.cat([torch.zeros(count, 1), changes], 1).flatten().numpy(),
    }
    told = {
        "mean change": changes.mean().item(),
        "largest change": changes.max().item(),
        "unevenness": (changes.amax(1) / changes.mean(1).clamp(min=1e-9)).mean().item(),
    }
    if cells:
        sizes = areas(_first(frames))
        obs["size"] = sizes
        first, last = sizes.reshape(count, length).mean(0)[[0, -1]].tolist()
        told |= {"size at first [pixels]": first, "size at last [pixels]": last}
    recipe = {"steps": steps, "way": way, "red_only": red_only, "cells": cells}
    facts: Facts = {"channels": list(channels), "source": model.digest, "recipe": recipe}
    _write(model, walks, frames, codes, pa.table(obs), facts, out)
    return told


@torch.no_grad()
def _made(decode: Decode, codes: Tensor, told: Batch, progress: Progress = lambda done, total: None) -> Tensor:
    parts = []
    for start in range(0, len(codes), BATCH):
        part = slice(start, start + BATCH)
        columns = {name: values[part] for name, values in told.columns.items()}
        parts.append(decode(codes[part], Batch(told.images[part], columns)))
        progress(min(start + BATCH, len(codes)), len(codes))
    return torch.cat(parts)


def _first(images: Tensor) -> NDArray[np.float32]:
    """The first channel of images N C H W; of N C D H W the brightest of each D."""
    first: NDArray[np.float32] = (images.amax(2) if images.ndim == 5 else images)[:, 0].numpy()
    return first


def _write(model: Model, walks: Walks, frames: Tensor, codes: Tensor, obs: pa.Table, facts: Facts, out: Path) -> None:
    from PIL import Image

    card, (count, length) = model.card, codes.shape[:2]
    stored = from_unit_range(frames, model.value_range, card["dtype"])
    own = {name: card[name] for name in ("value_range", "pixel_um")}
    write_patches(out / "frames.zarr", stored, obs, own | facts)
    write_embeddings(out / "codes.zarr", {"codes": codes.flatten(0, 1).numpy()}, obs, facts)
    seen = np.linspace(0, length - 1, min(COLUMNS, length)).round().astype(int)
    shares = [f"{one / (length - 1):.2f}" for one in seen]
    shown, columns = list(zip(walks.names, frames.unflatten(0, (count, length)), strict=True)), None
    if len(facts["channels"]) > len(card["channels"]):
        cells = ((name, panels(walk, facts["channels"], len(card["channels"]))) for name, walk in shown)
        shown = [(f"{name}: {what}", panel) for name, of in cells for what, panel in of]
        columns = len(shown) // count
    lines = [(name, images[torch.from_numpy(seen)]) for name, images in shown]
    pictures = np.stack([latent_plots.pictures(images, card["channels"]) for _, images in shown])
    first, *others = map(Image.fromarray, latent_plots.film(pictures, columns))
    with disk_errors(out):
        title = f"{card['method']}: share of the way"
        latent_plots.lines(lines, card["channels"], shares, title).savefig(out / "grid.png")
        first.save(out / "film.gif", save_all=True, append_images=others, duration=MILLISECONDS, loop=0)


def _told(model: Model, count: int, columns: dict[str, str]) -> dict[str, Tensor]:
    """What a conditional model is told of every walk."""
    classes = model.method.sample.classes
    if set(classes) != set(columns):
        raise RecipeError(
            f"{model.config.method.name} must be told {', '.join(classes) or 'nothing'}",
            f"it is told {', '.join(columns) or 'nothing'}",
            "Name each with --told COLUMN=VALUE, or samples with --store",
        )
    found = {}
    for name, names in classes.items():
        if names and columns[name] not in names:
            raise RecipeError(
                f"the model does not know the {name} {columns[name]!r}",
                f"it knows {', '.join(names)}",
                "Tell it one of these",
            )
        found[name] = torch.full((count,), names.index(columns[name]) if names else float(columns[name]))
    return found


def _treated(store: PatchStore, treatment: tuple[str, str], count: int, seed: int) -> list[int]:
    """Rows of a treatment, in a seeded order; up to `count`."""
    name, value = treatment
    rows = np.flatnonzero([str(one) == value for one in column_values(store.obs, name)])
    if not len(rows):
        raise RecipeError(
            f"no sample of {store.path} has {name} = {value!r}",
            f"its values are {', '.join(sorted({str(one) for one in column_values(store.obs, name)})[:12])}",
            "Name one of these",
        )
    found: list[int] = np.random.Generator(np.random.Philox(seed)).permutation(rows)[:count].tolist()
    return found
