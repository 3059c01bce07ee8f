"""Figures S4 and S5: where cells lie in two dimensions of a code, what these make, and what they go with."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

from distgan.inference.reconstruct import held_out_rows
from distgan.inference.told import samples_of
from distgan.inference.traverse import Dimensions, cell_method, codes_of, decoded, dimensions, effects, numbers
from distgan.model import Model
from distgan.plots.figure_look import COLOURS, figure, tidy
from distgan.plots.figure_set import Asked, Drawn, LeftOut
from distgan.plots.heat_map import heat_map
from distgan.plots.latent_plots import mosaic, pictures
from storage.patches import PatchStore

STEPS = (-3.0, -1.5, 0.0, 1.5, 3.0)
DIMENSIONS, FEATURES = 6, 8
"""Rows and columns of the correlations, at most."""
Floats = NDArray[np.float64]


def latent(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """A figure for phase 1, and one for each model of structures."""
    settings = asked.settings
    store = PatchStore.open(Path(settings.real))
    models = {"shapes, phase 1": settings.shapes} if settings.shapes else {}
    models |= settings.structures
    if not models:
        yield LeftOut("Latent spaces", "neither figures.shapes nor figures.structures named")
    for number, (name, address) in enumerate(models.items()):
        yield _of_model(f"latent_{number + 1}", name, asked.model(address), store)


def _of_model(file: str, name: str, model: Model, store: PatchStore) -> Drawn:
    method = cell_method(model)
    one = samples_of(model, store, held_out_rows(model, store, 1))
    codes, divergences, features = codes_of(model, store)
    found = dimensions(codes, divergences, effects(method, one), features | numbers(store.obs))
    first, second = found.order[:2]
    told = ""
    if method.classes:
        told = f"{method.classes[int(one.columns[method.config.column][0])]} in a held-out cell"
    drawn = figure(10, 3.7)
    cloud, walk, table = drawn.subplots(1, 3, width_ratios=(3, 3.1, 3.6))
    _cloud(cloud, codes[:, [first, second]], _structures(method.config, store), (int(first), int(second)))
    grid = np.zeros((len(STEPS), len(STEPS), codes.shape[1]))
    grid[..., first], grid[..., second] = np.asarray(STEPS), np.asarray(STEPS[::-1])[:, None]
    images = decoded(method, torch.from_numpy(grid).flatten(0, 1).float(), one)
    shown = pictures(images, model.card["channels"]).reshape(len(STEPS), len(STEPS), *_shape(images), 3)
    _walk(walk, shown, (int(first), int(second)), told)
    _table(table, found)
    return Drawn(
        file,
        f"Figures S4 and S5: the latent space of {name}",
        f"Left: all {len(codes)} cells of the store in the two dimensions that tell most. Middle: what is made there, "
        f"all other dimensions 0{f', {told}' if told else ''}. Right: rank correlations of the first dimensions with "
        "what is measured in the images of these cells or known of them; the codes are of cells that trained, too.",
        drawn,
        [
            {"dimension": int(at), "divergence [nats]": found.divergence[at], "effect": found.effect[at]}
            | {feature: values[at] for feature, values in found.correlations.items()}
            for at in found.order
        ],
        {name: model.digest, "real": store.digest},
    )


def _shape(images: torch.Tensor) -> tuple[int, int]:
    return images.shape[-2], images.shape[-1]


def _structures(config: Any, store: PatchStore) -> list[str]:
    column = getattr(config, "column", "")
    if column in store.obs.column_names:
        return [str(value) for value in store.obs.column(column).to_pylist()]
    return [""] * store.shape[0]


def _cloud(axis: Axes, codes: Floats, of: list[str], which: tuple[int, int]) -> None:
    for number, kind in enumerate(sorted(set(of))):
        own = np.asarray([one == kind for one in of])
        axis.scatter(
            codes[own, 0],
            codes[own, 1],
            s=9,
            color=COLOURS[number % len(COLOURS)],
            alpha=0.75,
            lw=0,
            label=kind or None,
        )
    most = 1.05 * max(3.0, float(np.abs(codes).max()))
    axis.set(xlim=(-most, most), ylim=(-most, most), aspect="equal")
    for reach in (1, 2):
        at = np.linspace(0, 2 * np.pi, 100)
        axis.plot(reach * np.cos(at), reach * np.sin(at), color="0.7", lw=0.7)
    tidy(axis, f"dimension {which[0]} [standard deviations]", f"dimension {which[1]} [standard deviations]")
    axis.set_title("codes; circles 1 and 2", fontsize=9)
    if any(of):
        axis.legend(fontsize=6, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.45, -0.17))


def _walk(axis: Axes, shown: NDArray[np.float32], which: tuple[int, int], told: str) -> None:
    axis.imshow(mosaic(list(shown)), interpolation="nearest")
    height, width = shown.shape[2:4]
    axis.set_xticks([(width + 2) * at + width / 2 for at in range(len(STEPS))], [f"{step:g}" for step in STEPS])
    axis.set_yticks([(height + 2) * at + height / 2 for at in range(len(STEPS))], [f"{step:g}" for step in STEPS[::-1]])
    tidy(axis, f"dimension {which[0]} [standard deviations]", f"dimension {which[1]} [standard deviations]")
    axis.set_title(told or "what is made there", fontsize=9)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)


def _table(axis: Axes, found: Dimensions) -> None:
    order = found.order[:DIMENSIONS]
    known = {name: values[order] for name, values in found.correlations.items() if np.isfinite(values[order]).all()}
    strongest = sorted(known, key=lambda name: -float(np.abs(known[name]).max()))[:FEATURES]
    values = np.stack([known[name] for name in strongest])
    texts = [[f"{round(value, 1) + 0.0:+.1f}" for value in line] for line in values]
    heat_map(axis, values, strongest, [str(one) for one in order], texts, limits=(-1, 1), colours="RdBu_r")
    axis.set_xlabel("dimension, those that tell most first", fontsize=8)
    axis.set_title("rank correlation [no unit]", fontsize=9)
