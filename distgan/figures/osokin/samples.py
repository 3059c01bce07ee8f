"""Figure 1: real cells of every protein, and those that models make."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distgan.inference.reconstruct import held_out_rows
from distgan.inference.told import evenly, samples_of
from distgan.method import Batch, Step
from distgan.model import Model
from distgan.plots.figure_look import figure
from distgan.plots.figure_set import Asked, Drawn, LeftOut
from distgan.plots.latent_plots import mosaic, pictures
from storage.patches import PatchStore
from storage.split import column_values

SHOWN = 4
"""Cells of each protein."""
BLOCKS = 4
"""Beside each other, at most."""


def samples(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """A block of real cells and one for each model, a line for each protein."""
    settings = asked.settings
    store = PatchStore.open(Path(settings.real))
    models = asked.models(settings.models)
    first = next(iter(models.values()))
    of = np.asarray([str(value) for value in column_values(store.obs, settings.column)])
    held_out = held_out_rows(first, store, None)
    proteins = sorted(set(of[held_out].tolist()))
    rows = {protein: evenly(held_out[of[held_out] == protein], SHOWN) for protein in proteins}
    blocks = {"real": torch.stack([samples_of(first, store, rows[protein]).images for protein in proteins])}
    sources = {"real": store.digest}
    for name, model in models.items():
        known = model.method.sample.classes.get(settings.column, ())
        if model.method.sample.classes and known != tuple(proteins):
            yield LeftOut(f"Cells of {name}", f"it knows {', '.join(known) or 'no proteins'}")
            continue
        blocks[name] = torch.stack(
            [
                _made(model, store, rows[one], settings.column, number, settings.seed)
                for number, one in enumerate(proteins)
            ]
        )
        sources[name] = model.digest
    yield _drawn(blocks, proteins, first.card["channels"], sources, settings.seed)


@torch.no_grad()
def _made(model: Model, store: PatchStore, rows: np.ndarray, column: str, number: int, seed: int) -> Tensor:
    """As many cells of one protein, N C H W; the same noise for every protein.

    Models that look at images are shown held-out cells of that protein.
    """
    shown = samples_of(model, store, rows).images
    columns = {column: torch.full((len(shown),), number)} if model.method.sample.classes else {}
    return model.method.preview(Step(Batch(shown, columns), 0, seed=seed))


def _drawn(
    blocks: dict[str, Tensor], proteins: Sequence[str], channels: Sequence[str], sources: dict[str, str], seed: int
) -> Drawn:
    count, height, width = len(proteins), *next(iter(blocks.values())).shape[-2:]
    lines, columns = -(-len(blocks) // BLOCKS), min(len(blocks), BLOCKS)
    wide = 9.4 / columns if columns > 2 else 3.4
    drawn = figure(wide * columns + 0.4, lines * (wide * count * height / (SHOWN * width) + 0.25))
    axes = drawn.subplots(lines, columns, squeeze=False).ravel()
    for axis in axes[len(blocks) :]:
        axis.set_axis_off()
    for number, (axis, (name, images)) in enumerate(zip(axes, blocks.items(), strict=False)):
        axis.imshow(mosaic([pictures(line, channels) for line in images]), interpolation="nearest")
        axis.set_title(name, fontsize=9)
        axis.set_xticks([])
        at = [(height + 2) * line + height / 2 for line in range(count)]
        axis.set_yticks(at, proteins if number % columns == 0 else [""] * count, fontsize=8)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    numbers = [
        {"cells": name, "protein": protein}
        | {f"{channel}_mean": float(0.5 * images[line, :, at].mean() + 0.5) for at, channel in enumerate(channels)}
        for name, images in blocks.items()
        for line, protein in enumerate(proteins)
    ]
    return Drawn(
        "samples",
        "Figure 1: real and made cells of every protein",
        f"{SHOWN} held-out cells of each protein, evenly taken, and as many of each model, seed {seed}, none chosen. "
        "Each column of a model is one noise: with a star its red is the same for all proteins. A model that wants a "
        "red gets that of the real cell in the same place. Numbers: mean light of these cells, from black 0 to white "
        "1.",
        drawn,
        numbers,
        sources,
    )
