"""Synthetic tissue: a block of neurites cut into sections, with its membranes and mitochondria, as the VNC is.

    raw/{section}.tif                       256 x 256 uint8, as of an electron microscope: membranes are dark
    membranes/, mitochondria/{section}.png  label images, 1-bit (0, 1) or 8-bit (0, 255), in turn as in the real folder
    truth.csv                               one row per cell of each section

**Planted.** A cell is what lies nearest to its seed, less a bulge of its own, in a space that smooth noise bends; a
membrane is what lies within a half-thickness of a border. From one section to the next seeds and space move a little:
neighbours are alike and far sections are not, so splits need a gap. Mitochondria are ellipsoids of 8 to 16 sections
that keep their place in their cell, clear of its membrane. A cell has Poisson(area / PER_MITOCHONDRION * sections / 16)
of them, by its area in one section drawn at random, and none if that is under SMALLEST: they depend on membranes.

truth.csv: section, cell (its number through all sections), y and x of its middle, its pixels without the membrane, how
many mitochondria were cut and their pixels.

**To check.** Each component of what is not membrane lies in one cell; the overlap of membranes (intersection over
union) is 0.41 between neighbours and 0.14 far apart; mitochondria never meet membranes; big cells hold more of them.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from pyarrow import Table, csv

from storage.datasets import About, Progress, made
from storage.drawing import Floats, blur, philox, smooth_noise
from storage.layout import Layout, Value

ABOUT = About(
    title="synthetic tissue: sections of electron microscopy, their membranes and mitochondria, cells in truth.csv",
    source="made here",
    licence="as distgan itself",
    groups=("section",),
)
LABELS = ("membranes", "mitochondria")
CELL_PX = 38.0  # about the distance of two seeds
PER_MITOCHONDRION, SMALLEST = 900.0, 500.0  # pixels
Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Section:
    """One cut.

    owner: Y X, which cell each pixel is in.  gap: Y X, about how many pixels it is to the next cell; at most 0 for
    those that touch it.  seeds: N 2, where the cells are.
    """

    owner: Indices
    gap: Floats
    seeds: Floats


@dataclass(frozen=True)
class Mitochondria:
    """M ellipsoids.  cell: M.  place: M 2, from the cell's seed.  radii: M 2, pixels.  turn: M.

    middle, half: M, where along z and how far either way, in sections.
    """

    cell: Indices
    place: Floats
    radii: Floats
    turn: Floats
    middle: Floats
    half: Floats


def cut(rng: Generator, sections: int, size: int) -> list[Section]:
    """The cells of a block, section by section."""
    around = CELL_PX * 1.5
    count = round(((size + 2 * around) / CELL_PX) ** 2)
    start = rng.uniform(-around, size + around, (count, 2))
    for _ in range(2):  # a little more even than chance
        apart = start[:, None] - start
        push = apart / (np.square(apart).sum(2, keepdims=True) + 20)
        start += 0.12 * CELL_PX**2 * np.clip(push, -0.05, 0.05).sum(1).clip(-0.1, 0.1)
    drift = np.cumsum(smooth_noise(rng, (2, count, sections), (1,)) * 2.2, axis=2)
    bulge = rng.uniform(0, 0.6 * CELL_PX, count)
    bend = 7 * smooth_noise(rng, (2, sections, size, size), (2, 11, 11))
    pixels = np.indices((size, size), np.float32)
    found = []
    for z in range(sections):
        seeds = start + drift[:, :, z].T
        bent = (pixels + bend[:, z]).astype(np.float32)
        reach = np.stack([np.hypot(*(bent - seed[:, None, None].astype(np.float32))) for seed in seeds])
        reach -= bulge[:, None, None].astype(np.float32)
        owner = reach.argmin(0)
        near, second, third = np.partition(reach, (1, 2), axis=0)[:3].astype(np.float64)
        rounded = -2 * np.log(np.exp((near - second) / 2) + np.exp((near - third) / 2))  # no sharp corners
        gap = blur(np.clip(rounded / 2, -3, None), (0.8, 0.8))
        found.append(Section(owner, np.where(_border(owner), np.minimum(gap, 0), gap), seeds))
    return found


def _border(owner: Indices) -> Bools:
    """Pixels with one of another cell beside, above or below them, Y X."""
    found = np.zeros(owner.shape, np.bool_)
    for axis in (0, 1):
        differ = np.diff(owner, axis=axis) != 0
        found |= np.insert(differ, 0, False, axis) | np.insert(differ, differ.shape[axis], False, axis)
    return found


def settle(rng: Generator, block: list[Section]) -> Mitochondria:
    """Mitochondria for the cells of a block, so many as the cells are big."""
    count, deep = len(block[0].seeds), len(block)
    middle = rng.uniform(0, deep - 1, count).round().astype(np.intp)
    areas = np.array([np.sum((block[z].owner == cell) & (block[z].gap > 2)) for cell, z in enumerate(middle)])
    wanted = rng.poisson(np.where(areas < SMALLEST, 0, areas / PER_MITOCHONDRION) * deep / 16)
    cell = np.repeat(np.arange(count), wanted)
    turn = np.arange(len(cell)) - np.searchsorted(cell, cell)  # 0, 1, .. within each cell: they lie around its middle
    angle = rng.uniform(0, 2 * np.pi, count)[cell] + 2 * np.pi * turn / wanted[cell]
    far = np.where(wanted[cell] > 1, 0.25, 0.1) * rng.uniform(0.8, 1.2, len(cell)) * np.sqrt(areas[cell])
    place = far[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    radii = np.stack([rng.uniform(7.5, 13, len(cell)), rng.uniform(5, 7.5, len(cell))], axis=1)
    along = rng.uniform(0, deep - 1, len(cell)), rng.uniform(4, 8, len(cell))
    return Mitochondria(cell, place, radii, rng.uniform(0, np.pi, len(cell)), *along)


def slices(section: Section, all_of_them: Mitochondria, z: int) -> tuple[Floats, Indices, Floats]:
    """The mitochondria in section `z`, three times Y X.

    How far a pixel is out of the nearest, 1 at its edge and inf where there is none; which that is, else -1; how far
    the pixel lies along its long axis, in pixels.
    """
    shape = section.owner.shape
    reach, which, along = np.full(shape, np.inf), np.full(shape, -1), np.zeros(shape)
    pixels = np.indices(shape)
    for one, cell in enumerate(all_of_them.cell):
        thin = 1 - ((z - all_of_them.middle[one]) / all_of_them.half[one]) ** 2
        if thin > 0.1:
            y, x = pixels - (section.seeds[cell] + all_of_them.place[one])[:, None, None]
            turn = all_of_them.turn[one]
            long, short = all_of_them.radii[one] * np.sqrt(thin)
            u, v = y * np.sin(turn) + x * np.cos(turn), y * np.cos(turn) - x * np.sin(turn)
            out = np.hypot(u / long, v / short)
            free = (section.owner == cell) & (section.gap > 3.5)
            if np.sum(free & (out < 1)) > 0.5 * np.sum(out < 1):  # no slivers
                nearer = free & (out < np.minimum(reach, 1))
                reach[nearer], which[nearer], along[nearer] = out[nearer], one, u[nearer]
    return reach, which, along


def photograph(rng: Generator, section: Section, thickness: Floats, reach: Floats, along: Floats) -> NDArray[np.uint8]:
    """Grey values, Y X.  thickness: half that of the membrane, Y X.  reach, along: as of `slices`."""
    shape = section.owner.shape
    grey = 172 + rng.normal(0, 9, (len(section.seeds),))[section.owner]
    grey += 14 * smooth_noise(rng, shape, (1.1, 1.1)) + 6 * smooth_noise(rng, shape, (4, 4))
    specks = (smooth_noise(rng, shape, (1.3, 1.3)) > 1.8) & (section.gap > thickness + 2)  # vesicles, microtubules
    grey -= 60 * blur(specks.astype(float), (0.7, 0.7))
    within = reach < 1
    rim = within * np.exp(-np.square((1 - reach) / 0.16))
    cristae = np.cos(2 * np.pi * along / 4.2 + 1.2 * smooth_noise(rng, shape, (3, 3))) * (reach < 0.85)
    grey = np.where(within, 115 + 22 * cristae - 55 * rim + 6 * smooth_noise(rng, shape, (1, 1)), grey)
    wall = np.exp(-np.square(np.clip(section.gap, 0, None) / (0.6 * thickness)))
    grey = grey * (1 - wall) + wall * (45 + 15 * smooth_noise(rng, shape, (2, 2)))
    lit = blur(grey, (0.6, 0.6)) * (1 + 0.04 * smooth_noise(rng, shape, (60, 60))) + rng.normal(0, 3)
    return np.asarray((lit + rng.normal(0, 12, shape)).round().clip(0, 255), np.uint8)


def write(folder: Path, progress: Progress, *, sections: int = 20, size: int = 256, seed: int = 0) -> None:
    """Fill a folder with the sections of one block, each `size` pixels square; always the same."""
    rows: list[dict[str, Any]] = []
    for name in ("raw", *LABELS):
        (folder / name).mkdir()
    block = cut(philox(seed, 1), sections, size)
    mitochondria = settle(philox(seed, 2), block)
    for z, section in enumerate(block):
        rng = philox(seed, 3, z)
        thickness = np.clip(2.1 + 0.5 * smooth_noise(rng, (size, size), (9, 9)), 1.2, 3.2)
        reach, which, along = slices(section, mitochondria, z)
        labels = {"membranes": section.gap < thickness, "mitochondria": reach < 1}
        image = photograph(rng, section, thickness, reach, along)
        tifffile.imwrite(folder / "raw" / f"{z:02d}.tif", image, software="distgan", metadata=None)
        for turn, name in enumerate(LABELS):
            eight_bit = (z + turn) % 2 == 0
            label = Image.fromarray(labels[name].astype(np.uint8) * 255)
            (label if eight_bit else label.convert("1")).save(folder / name / f"{z:02d}.png")
        rows += [{"section": z, **row} for row in _cells(section, ~labels["membranes"], which)]
        progress(z + 1, sections)
    csv.write_csv(Table.from_pylist(rows), folder / "truth.csv")


def _cells(section: Section, inside: Bools, which: Indices) -> list[dict[str, Any]]:
    """Rows of truth.csv for one section.  inside: Y X, not membrane.  which: Y X, mitochondrion or -1."""
    rows = []
    for cell in np.unique(section.owner[inside]):
        within = inside & (section.owner == cell)
        y, x = np.argwhere(within).mean(0).round(1)
        cut_through = which[within & (which >= 0)]
        found = {"mitochondria": len(np.unique(cut_through)), "mitochondria_pixels": cut_through.size}
        rows.append({"cell": int(cell), "y": y, "x": x, "pixels": int(within.sum()), **found})
    return rows


def fetch(cache: Path, progress: Progress) -> Path:
    """Make the data set below `cache`, whole or not at all; a second call finds it there."""
    return made(cache / "synthetic_tissue", lambda folder: write(folder, progress))


def layout(folder: Path) -> Layout:
    """The section of an image, and which label image a file is, by its name."""

    def describe(file: str) -> dict[str, Value] | None:
        found = re.fullmatch(r"(?:raw/(\d+)\.tif|(membranes|mitochondria)/(\d+)\.png)", file)
        if not found:
            return None
        return {"section": int(found[3]), "labels": found[2]} if found[2] else {"section": int(found[1])}

    return Layout(describe, ("electrons",), (0.05, 0.0046, 0.0046))
