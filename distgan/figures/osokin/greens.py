"""Figure 4: many greens for one red, and how different they are."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import torch

from distgan.inference.hold import Held, diversity, held, look_alikes
from distgan.plots.figure_look import COLOURS, figure, tidy
from distgan.plots.figure_set import Asked, Drawn
from distgan.plots.latent_plots import mosaic, pictures
from storage.errors import RecipeError
from storage.patches import PatchStore

REDS, DRAWS = 16, 8
"""That are compared."""
SHOWN_REDS, SHOWN_DRAWS = 3, 6


def greens(asked: Asked) -> Iterator[Drawn]:
    """Some draws of each model, and the ratio of both differences for each protein.

    Raises RecipeError: a model makes all channels at once, or none of them makes the protein that is to be shown.
    """
    settings = asked.settings
    store = PatchStore.open(Path(settings.real))
    models = asked.models(settings.held)
    found = {name: held(model, REDS, DRAWS, settings.seed, store) for name, model in models.items()}
    rows: list[dict[str, Any]] = []
    for name, cells in found.items():
        rows += [{"cells": name} | row for row in diversity(cells)]
    some = next((model for model in models.values() if model.method.sample.classes), next(iter(models.values())))
    rows += [{"cells": "real look-alikes"} | row for row in look_alikes(some, store)]
    shown = _shown(found, settings.protein)
    channels = some.card["channels"]
    drawn = figure(9.4, 0.75 * SHOWN_REDS * len(models) + 0.5)
    left, right = drawn.subfigures(1, 2, width_ratios=(5.4, 4), squeeze=False)[0]
    for axis, (name, cells) in zip(left.subplots(len(models), 1, squeeze=False)[:, 0], found.items(), strict=True):
        lines = []
        for one in cells.cells[:SHOWN_REDS]:
            images = one[:SHOWN_DRAWS, [0, shown[name]]]
            alone = torch.cat([images[:1, :1], torch.full_like(images[:1, :1], -1)], 1)
            lines.append(pictures(torch.cat([alone, images]), channels))
        axis.imshow(mosaic(lines), interpolation="nearest")
        axis.set_title(f"{name}: {cells.names[0]}, and {SHOWN_DRAWS} draws of {cells.names[shown[name]]}", fontsize=8)
        axis.set_axis_off()
    _dots(right.subplots(), rows)
    yield Drawn(
        "greens",
        "Figure 4: many greens for one red",
        f"{SHOWN_REDS} of {REDS} reds of each model with {SHOWN_DRAWS} of {DRAWS} greens, none chosen. Right: how far "
        "two greens of one red lie apart, as a share of how far two of different reds do; a dot for each protein. 0: "
        "a red has one answer; 1: the red says nothing. Real look-alikes: held-out cells and the one of the same "
        "protein whose red is nearest; their reds are not equal, so this is more than what a red leaves open.",
        drawn,
        rows,
        {"real": store.digest} | {name: model.digest for name, model in models.items()},
    )


def _shown(found: dict[str, Held], protein: str) -> dict[str, int]:
    """The channel of each model's cells that is shown: of that protein, or the first one that is not red."""
    if protein and not any(protein in cells.names for cells in found.values()):
        known = sorted({name for cells in found.values() for name in cells.names[1:]})
        raise RecipeError(f"no model makes {protein!r}", f"they make {', '.join(known)}", "Set figures.protein")
    return {name: cells.names.index(protein) if protein in cells.names else 1 for name, cells in found.items()}


def _dots(axis: Any, rows: Sequence[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(row["cells"] for row in rows))
    for number, name in enumerate(names):
        values = sorted(row["ratio"] for row in rows if row["cells"] == name)
        places = [number + 0.08 * (at - (len(values) - 1) / 2) for at in range(len(values))]
        colour = "0.4" if number == len(names) - 1 else COLOURS[number % len(COLOURS)]
        axis.scatter(places, values, s=28, color=colour, alpha=0.8, linewidth=0)
        axis.plot((number - 0.3, number + 0.3), [sum(values) / len(values)] * 2, color=colour, lw=1.5)
    axis.axhline(1, color="0.6", lw=0.8, ls="--")
    axis.set_ylim(0, None)
    axis.set_xlim(-0.6, len(names) - 0.4)
    tidy(axis, "", "difference of two greens: same red / different reds [no unit]")
    axis.set_xticks(range(len(names)), [fill(name, 12) for name in names], fontsize=8)
