"""Synthetic cells: one cell per image with membrane, one of five structures, and DNA, flat and in three dimensions.

    2d/{structure}_{number}.png           256 x 256 RGB uint8 as the integrated cell's: membrane, structure, DNA
    3d/{structure}_{number}.tif           24 x 3 x 96 x 96 uint16, ImageJ Z C Y X
    .../{structure}_{number}_{label}.png  (3d: .tif) label images `cell` and `nucleus`, 1 where it is
    truth.csv                             one row per cell: dims, cell, and what of `Cell` was planted

A flat cell is the plane through the nucleus of what is a solid in 3d; places below are in micrometres.

**Planted.** Shape, in the cell's own u (its axis of polarity), v, w: an ellipsoid of half axes `a`, `b`, `c`, wider
towards +u by `pear`, curved towards +v by `bend`, with three lobes. The nucleus is an ellipsoid `nucleus_u` towards +u
from the middle. The cell was then turned by `angle`, mirrored (v -> -v) if `flip` is -1, and moved by `y`, `x`: all at
random, so images agree only once aligned by the long axis, flipped by skew and centred on the nucleus.

`expected` is the mean light of a structure in a given shape. The image is that times speckle of mean 1, drawn anew
for every cell, hence the best prediction of a structure from shape is `expected`:

    golgi          a ball 2.4 um wide, 1.5 um behind (-u) the nucleus
    junctions      on the membrane of the narrow end, step(-u / a, 0.2, 0.1)
    lamin          a shell 0.45 um thick about the nucleus
    mitochondria   outside the nucleus, exp(-distance from it / (0.35 a)): longer cells, wider spread
    nucleoli       two balls in the nucleus, 0.45 of its half axis from its middle along u

The background is not black: offset 14 (2d) and 420 (3d) is its mode in every channel, to be subtracted first.

**To check.** The label images give a, b, the angle (mod 180 degrees) and nucleus_u back; `planted` reads the
cells, and the mean of many structure images in one shape approaches `expected`.
"""

import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from pyarrow import Table, csv

from storage.csv_table import read_table
from storage.datasets import About, Progress, made
from storage.drawing import Floats, blur, expose, philox, smooth_noise, speckle, step
from storage.layout import Layout, Value

ABOUT = About(
    title="synthetic cells: membrane, DNA and one of five structures, in 2-D and 3-D, places planted by truth.csv",
    source="made here",
    licence="as distgan itself",
    groups=("cell",),
)
CHANNELS = ("membrane", "structure", "DNA")
PATCHINESS = {  # per structure: the speckle's width in micrometres, and the spread of its logarithm
    "golgi": (0.35, 0.7),
    "junctions": (0.3, 0.8),
    "lamin": (0.5, 0.2),
    "mitochondria": (0.3, 0.9),
    "nucleoli": (0.4, 0.2),
}
STRUCTURES = tuple(PATCHINESS)
LABELS = ("cell", "nucleus")


@dataclass(frozen=True)
class Grid:
    """Voxels.  size: of Z Y X.  voxel_um: their edges in z, y, x."""

    size: tuple[int, int, int]
    voxel_um: tuple[float, float, float]


FLAT = Grid((1, 256, 256), (0.5, 0.12, 0.12))
SOLID = Grid((24, 96, 96), (0.5, 0.33, 0.33))
BLUR_UM = (0.6, 0.18, 0.18)


@dataclass(frozen=True)
class Cell:
    """Shape and place of a cell, see above: micrometres and radians; pear, bend, lobes, nucleus_u relative to a."""

    structure: str
    a: float
    b: float
    c: float
    pear: float
    bend: float
    lobes: float
    lobes_at: float
    nucleus_u: float
    nucleus_a: float
    nucleus_b: float
    nucleus_c: float
    angle: float
    flip: int
    y: float
    x: float


def grow(rng: Generator, structure: str) -> Cell:
    """A new cell with that structure; its shape does not depend on which."""
    a, b = rng.uniform(8.5, 12), rng.uniform(5.5, 7.5)
    c = rng.uniform(3.8, 5)
    nucleus = b * rng.uniform((0.5, 0.42, 0.34), (0.66, 0.56, 0.44))
    shape = rng.uniform((0.15, 0.1, 0.0, 0, 0.1), (0.35, 0.25, 0.06, 2 * np.pi, 0.3))
    place = rng.uniform(0, 2 * np.pi), int(rng.choice((-1, 1))), *rng.uniform(-1.5, 1.5, 2)
    return Cell(structure, a, b, c, *shape, *nucleus, *place)


@dataclass(frozen=True)
class Frame:
    """A cell's own coordinates, Z Y X each, in micrometres.

    u: along its axis.  cell, nucleus: how far out, 1 at the border.  depth: below the membrane, about.
    above: over the nucleus' surface, about.  from_nucleus: U V W from its middle, 3 Z Y X.
    """

    u: Floats
    cell: Floats
    nucleus: Floats
    depth: Floats
    above: Floats
    from_nucleus: Floats


def frame(one: Cell, grid: Grid) -> Frame:
    """Where each voxel lies in a cell; z 0 is in the middle of the stack."""
    middle, voxel = (np.array(grid.size) - 1) / 2, np.array(grid.voxel_um)
    w, y, x = (np.indices(grid.size) - middle[:, None, None, None]) * voxel[:, None, None, None]
    y, x = y - one.y, x - one.x
    u = x * np.cos(one.angle) + y * np.sin(one.angle)
    v = one.flip * (y * np.cos(one.angle) - x * np.sin(one.angle))
    v = v - one.bend * (np.square(u) / one.a - one.a / 4)
    wide = one.b * (1 + one.pear * np.clip(u / one.a, -1.5, 1.5))
    angle = np.arctan2(v / wide, u / one.a)
    lobed = 1 + one.lobes * np.cos(3 * angle + one.lobes_at)
    cell = np.sqrt(np.square(u / one.a) + np.square(v / wide) + np.square(w / one.c)) / lobed
    away = np.stack([u - one.nucleus_u * one.a, v, w])
    half = np.array((one.nucleus_a, one.nucleus_b, one.nucleus_c))[:, None, None, None]
    nucleus = np.sqrt(np.square(away / half).sum(0))
    return Frame(u, cell, nucleus, (1 - cell) * one.b, (nucleus - 1) * one.nucleus_b, away)


def expected(one: Cell, grid: Grid, structure: str = "") -> Floats:
    """The mean light of a structure (by default, its own) in a cell of this shape, Z Y X, before blur and exposure.

    Any structure may be asked for in any cell: shapes do not depend on them.
    """
    return _density(one, frame(one, grid), structure or one.structure)


def _density(one: Cell, at: Frame, structure: str) -> Floats:
    if structure == "lamin":
        light = np.exp(-np.square(at.above / 0.45))
    elif structure == "nucleoli":
        balls = [_ball(at, np.array((side * 0.45 * one.nucleus_a, 0, 0)), 1.2) for side in (-1, 1)]
        light = (sum(balls) + 0.08) * (at.nucleus < 1)
    elif structure == "mitochondria":
        light = np.exp(-np.clip(at.above, 0, None) / (0.35 * one.a)) * (at.nucleus > 1)
    elif structure == "golgi":
        light = _ball(at, np.array((-one.nucleus_a - 1.5, 0, 0)), 2.4) * (at.nucleus > 1)
    else:
        light = np.exp(-np.square((at.depth - 0.2) / 0.4)) * step(-at.u / one.a, 0.2, 0.1)
    return np.asarray((0.04 + light) * (at.cell < 1))


def _ball(at: Frame, middle: Floats, width: float) -> Floats:
    return np.exp(-np.square(at.from_nucleus - middle[:, None, None, None]).sum(0) / (2 * (width / 2) ** 2))


def photograph(rng: Generator, one: Cell, grid: Grid) -> tuple[NDArray[Any], dict[str, NDArray[np.uint8]]]:
    """The image, C Z Y X (uint8 if it is one plane, else uint16), and its label images, Z Y X."""
    at = frame(one, grid)
    inside, nucleus = at.cell < 1, at.nucleus < 1
    um, spread = PATCHINESS[one.structure]
    membrane = np.exp(-np.square(at.depth / 0.35)) * speckle(rng, grid.size, _pixels(grid, (0.8,) * 3), 0.2)
    membrane += 0.12 * inside * (1 - 0.5 * nucleus)
    structure = _density(one, at, one.structure) * speckle(rng, grid.size, _pixels(grid, (um,) * 3), spread)
    dna = nucleus * np.clip(0.7 + 0.15 * smooth_noise(rng, grid.size, _pixels(grid, (0.4,) * 3)), 0.2, 1)
    light = blur(np.stack([membrane, structure, dna]), _pixels(grid, BLUR_UM))
    if grid.size[0] == 1:
        image = expose(rng, 160 * light, np.uint8, offset=14, gain=1.5, noise=2)
    else:
        image = expose(rng, 2400 * light, np.uint16, offset=420, gain=12, noise=18)
    return image, {"cell": inside.astype(np.uint8), "nucleus": (inside & nucleus).astype(np.uint8)}


def _pixels(grid: Grid, um: tuple[float, ...]) -> list[float]:
    return [length / edge for length, edge in zip(um, grid.voxel_um, strict=True)]


def write(
    folder: Path,
    progress: Progress,
    *,
    flat: int = 40,
    solid: int = 6,
    grids: tuple[Grid, Grid] = (FLAT, SOLID),
    seed: int = 0,
) -> None:
    """Fill a folder with so many flat and solid cells of each structure; always the same."""
    rows: list[dict[str, Any]] = []
    total = (flat + solid) * len(STRUCTURES)
    for dims, count, grid in ((2, flat, grids[0]), (3, solid, grids[1])):
        (folder / f"{dims}d").mkdir()
        for kind, structure in enumerate(STRUCTURES):
            for number in range(count):
                rng = philox(seed, dims, kind, number)
                cell, name = grow(rng, structure), f"{dims}d/{structure}_{number:04d}"
                image, labels = photograph(rng, cell, grid)
                (_save_flat if dims == 2 else _save_solid)(folder / name, image, labels, grid)
                rows.append({"dims": dims, "cell": name, **asdict(cell)})
                progress(len(rows), total)
    csv.write_csv(Table.from_pylist(rows), folder / "truth.csv")


def _save_flat(path: Path, image: NDArray[Any], labels: dict[str, NDArray[np.uint8]], grid: Grid) -> None:
    Image.fromarray(np.ascontiguousarray(np.moveaxis(image[:, 0], 0, -1))).save(f"{path}.png")
    for name, label in labels.items():
        Image.fromarray(label[0]).save(f"{path}_{name}.png")


def _save_solid(path: Path, image: NDArray[Any], labels: dict[str, NDArray[np.uint8]], grid: Grid) -> None:
    edge = {"spacing": grid.voxel_um[0], "unit": "um"}
    known = {"imagej": True, "resolution": (1 / grid.voxel_um[2], 1 / grid.voxel_um[1])}
    tifffile.imwrite(f"{path}.tif", np.moveaxis(image, 0, 1), metadata={"axes": "ZCYX", **edge}, **known)
    for name, label in labels.items():
        tifffile.imwrite(f"{path}_{name}.tif", label, metadata={"axes": "ZYX", **edge}, **known)


def fetch(cache: Path, progress: Progress) -> Path:
    """Make the data set below `cache`, whole or not at all; a second call finds it there."""
    return made(cache / "synthetic_cells", lambda folder: write(folder, progress))


def planted(folder: Path) -> dict[str, Cell]:
    """The cells by their names, which are `2d/` or `3d/`, structure and number.

    Raises MissingError: the folder has no truth.csv.  Raises DataError: it is another table.
    """
    names = [field.name for field in fields(Cell) if field.name != "structure"]
    numbers: dict[str, type[Any]] = {name: int if name == "flip" else float for name in names}
    rows = read_table(folder / "truth.csv", ("cell", "structure", *numbers), numbers=numbers)
    return {
        row["cell"]: Cell(row["structure"], **{name: number(row[name]) for name, number in numbers.items()})
        for row in rows
    }


def layout(folder: Path) -> Layout:
    """Dimensions, cell and structure of an image, and which label image a file is, by its name."""

    def describe(file: str) -> dict[str, Value] | None:
        found = re.fullmatch(r"(([23])d/([a-z]+)_\d+)(?:_(cell|nucleus))?\.(?:png|tif)", file)
        if not found:
            return None
        known: dict[str, Value] = {"dims": int(found[2]), "cell": found[1], "structure": found[3]}
        return known | {"labels": found[4]} if found[4] else known

    return Layout(describe, CHANNELS, (None, *FLAT.voxel_um[1:]))
