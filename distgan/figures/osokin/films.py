"""Figure 7: the cell cycle, all proteins in each frame."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distgan.data.batches import to_unit_range
from distgan.inference.red import panels
from distgan.plots.figure_look import COLOURS, figure, grouped, tidy
from distgan.plots.figure_set import Asked, Drawn
from distgan.plots.latent_plots import mosaic, pictures
from storage.errors import DataError
from storage.patches import PatchStore

FRAMES = 11
COLUMNS = ("walk", "step", "share", "size")


def films(asked: Asked) -> Iterator[Drawn]:
    """A figure for each film: frames of its first walk, and how large the cells of all are.

    Raises DataError: a film does not show all proteins.
    """
    for number, (name, folder) in enumerate(asked.settings.films.items()):
        store = PatchStore.open(Path(folder) / "frames.zarr")
        if lacking := [column for column in COLUMNS if column not in store.obs.column_names]:
            raise DataError(
                f"the film at {folder} does not show all proteins",
                f"its frames have no {', '.join(lacking)}",
                "Make it by distgan interpolate --cells --red-only",
            )
        rows: list[dict[str, Any]] = store.obs.select(COLUMNS).to_pylist()
        yield _drawn(f"film_{number + 1}", name, store, rows)


def _drawn(file: str, name: str, store: PatchStore, rows: list[dict[str, Any]]) -> Drawn:
    walks = list(grouped([row | {"frame": frame} for frame, row in enumerate(rows)], "walk").values())
    own = [row["frame"] for row in walks[0]]
    seen = [own[at] for at in np.linspace(0, len(own) - 1, min(FRAMES, len(own))).round().astype(int)]
    images = to_unit_range(store.read(np.asarray(seen)), store.value_range)
    red, *proteins = store.channels
    lines = [
        (what, pictures(torch.as_tensor(line), (red, "green"))) for what, line in panels(images, store.channels, 2)
    ]
    _, height, width, _ = lines[0][1].shape
    high = 9.2 / len(seen) * height / width * len(lines)
    drawn = figure(10, high + 2.6)
    above, below = drawn.subfigures(2, 1, height_ratios=(high + 0.4, 2.2), squeeze=False)[:, 0]
    axis = above.subplots()
    axis.imshow(mosaic([line for _, line in lines]), interpolation="nearest")
    axis.set_yticks(
        [(height + 2) * at + height / 2 for at in range(len(lines))], [what for what, _ in lines], fontsize=8
    )
    shares = [f"{rows[frame]['share']:.0%}" for frame in seen]
    axis.set_xticks([(width + 2) * at + width / 2 for at in range(len(seen))], shares, fontsize=7)
    axis.tick_params(length=0, labeltop=True, labelbottom=False)
    axis.spines[:].set_visible(False)
    light = 0.5 + 0.5 * to_unit_range(store.read(np.arange(len(rows))), store.value_range).flatten(2).mean(2).numpy()
    sizes, lights = below.subplots(1, 2)
    area = _area(store)
    for number, walk in enumerate(walks):
        style = {"color": "black", "lw": 1.6} if number == 0 else {"color": "0.7", "lw": 0.8}
        values = [row["size"] * area[0] for row in walk]
        sizes.plot(
            [100 * row["share"] for row in walk], values, **style, label=("the film above", "others")[number > 0]
        )
    tidy(sizes, "way [%]", f"object in {red} [{area[1]}]")
    sizes.set_ylim(0, None)
    handles, labels = sizes.get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))
    sizes.legend(known.values(), known, fontsize=7, frameon=False)
    for number, protein in enumerate(proteins):
        lights.plot(
            [100 * rows[frame]["share"] for frame in own],
            light[own, number + 1],
            color=COLOURS[number % len(COLOURS)],
            label=protein,
        )
    tidy(lights, "way [%]", "mean green light [of white]")
    lights.set_ylim(0, None)
    below.legend(*lights.get_legend_handles_labels(), loc="outside right center", fontsize=7, frameon=False)
    numbers = [
        row | {channel: float(value) for channel, value in zip(store.channels, light[frame], strict=True)}
        for frame, row in enumerate(rows)
    ]
    return Drawn(
        file,
        f"Figure 7: through the cell cycle, {name}",
        f"The first of {len(walks)} walks through red codes, each from a small cell to a large one; the green codes "
        "stay. A line for each protein on the same red. Below: how large the object in red is, of all walks, and how "
        "bright each protein is along the first. A walk is not a clock: shares of the way are no times.",
        drawn,
        numbers,
        {name: store.digest},
    )


def _area(store: PatchStore) -> tuple[float, str]:
    """Of a pixel, and its unit."""
    height, width = store.manifest.facts.get("pixel_um") or (None, None)
    if height and width:
        return float(height * width), "µm²"
    return 1.0, "pixels"
