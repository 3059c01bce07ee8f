"""Synthetic yeast: fission yeast in two colours, a red that shows shape and stage and one of six green proteins.

    {protein}/cell{number}.png    48 x 80 uint8 RGB as the LIN images are: red, green, nothing; the cell lies along x
    truth.csv                     one row per cell: file, protein, field, and what of `Cell` was planted

**Planted.** A cell's `stage` runs evenly from 0 (born) to 1 (divides). With `step(s, at, over)` from 0 to 1 where s
passes `at`:

    length    28 + 32 stage + N(0, 1.2) pixels; width 17 + N(0, 0.6)
    old, new  weights of the two ends: 1 - septum and step(stage, 0.35, 0.05) (1 - septum)
    septum    step(stage, 0.85, 0.03), at the middle

Red is the outline, bright at both ends by their weights, then at the septum. Green depends on the red's shape, side of
the old end and stage only; what else is in it (expression, where spots lie, noise) is drawn anew for each cell and
protein. Given its red, a cell's greens are independent of each other: `green` draws any of them for any `Cell`, and
so gives the joint statistics of proteins that were never photographed together.

    cytoplasm     evenly inside, half as much in the nuclei
    nucleus       one in the middle; from stage 0.7 to 0.9 two that part, up to half the half-length on either side
    patches       Poisson(9) spots near the ends and the septum, by their weights
    patches_twin  the same with Poisson(12): the look-alikes, nearer to each other than any other two proteins
    ring          a band on the cortex at the middle, 8 pixels wide, tightening to 1.5 about stage 0.6; closes from 0.85
    tips          a cap on each end by its weight

Fields, each of one protein, differ in brightness by N(0, 0.1) in the logarithm, in red and green.

**To check.** The length of the red outline gives the stage (r > 0.95); the mean images of patches and patches_twin are
nearer than those of any other pair; the distance between two nuclei follows the stage.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from PIL import Image
from pyarrow import Table, csv

from storage.csv_table import read_table
from storage.datasets import About, Progress, made
from storage.drawing import Floats, blur, expose, philox, speckle, splat, step
from storage.layout import Layout, Value

ABOUT = About(
    title="synthetic fission yeast: red outlines and one of six green proteins, stage and more in truth.csv",
    source="made here",
    licence="as distgan itself",
    groups=("field",),
)
PROTEINS = ("cytoplasm", "nucleus", "patches", "patches_twin", "ring", "tips")
SIZE = (48, 80)  # pixels in y, x
BACKGROUND = 8.0


@dataclass(frozen=True)
class Cell:
    """What the red image shows.  Lengths in pixels, tilt in radians; old_end: -1 (left) or 1; y, x: from the middle."""

    stage: float
    length: float
    width: float
    old_end: int
    y: float
    x: float
    tilt: float

    @property
    def septum(self) -> float:
        """How far the septum is built, 0 to 1."""
        return float(step(self.stage, 0.85, 0.03))

    @property
    def ends(self) -> tuple[float, float]:
        """Weights of the left and the right end, 0 to 1."""
        old, new = 1 - self.septum, float(step(self.stage, 0.35, 0.05)) * (1 - self.septum)
        return (old, new) if self.old_end < 0 else (new, old)

    @property
    def nuclei(self) -> tuple[float, float]:
        """Where the nuclei are along the cell; twice 0 as long as there is one."""
        apart = float(np.clip((self.stage - 0.7) / 0.2, 0, 1)) * self.length / 4
        return -apart, apart


def grow(rng: Generator) -> Cell:
    """A new cell, of any stage."""
    stage = rng.uniform()
    length, width = 28 + 32 * stage + rng.normal(0, 1.2), 17 + rng.normal(0, 0.6)
    place = {"y": rng.normal(0, 0.7), "x": rng.normal(0, 0.7), "tilt": rng.normal(0, 0.04)}
    return Cell(stage, length, width, old_end=int(rng.choice((-1, 1))), **place)


@dataclass(frozen=True)
class Frame:
    """A cell's own coordinates, in pixels, Y X each.

    along, across: its axis.  depth: below the outline, negative outside.  inside: 0 to 1.
    """

    along: Floats
    across: Floats
    depth: Floats
    inside: Floats


def frame(cell: Cell) -> Frame:
    """Where each pixel of an image lies in a cell, a rod with round ends."""
    y, x = np.indices(SIZE) - (np.array(SIZE)[:, None, None] - 1) / 2 - np.array((cell.y, cell.x))[:, None, None]
    along = x * np.cos(cell.tilt) + y * np.sin(cell.tilt)
    across = y * np.cos(cell.tilt) - x * np.sin(cell.tilt)
    straight = (cell.length - cell.width) / 2
    depth = cell.width / 2 - np.hypot(across, np.abs(along) - np.clip(np.abs(along), 0, straight))
    return Frame(along, across, depth, step(depth, 0, 0.3))


def red(cell: Cell) -> Floats:
    """Light of the outline, Y X, about 1 where it is bright."""
    at, (left, right) = frame(cell), cell.ends
    outline = np.exp(-np.square((at.depth - 0.8) / 1.2))
    growing = left * _near_end(at, cell, -1, 5) + right * _near_end(at, cell, 1, 5)
    septum = cell.septum * at.inside * np.exp(-np.square(at.along / 1.3))
    return 0.1 * at.inside + outline * (0.25 + growing) + septum


def green(rng: Generator, cell: Cell, protein: str) -> Floats:
    """Light of a protein in a cell, Y X, about 1 where it is bright; `red` and it share nothing but `cell`."""
    at, (left, right) = frame(cell), cell.ends
    nuclei = np.maximum(*(step(4.6 - np.hypot(at.along - place, at.across), 0, 0.4) for place in cell.nuclei))
    if protein == "nucleus":
        light = nuclei * speckle(rng, SIZE, (1, 1), 0.15) + 0.12 * at.inside
    elif protein == "ring":
        tight, closed = float(step(cell.stage, 0.6, 0.04)), float(np.clip((cell.stage - 0.85) / 0.15, 0, 0.85))
        band = np.exp(-np.square(at.along / (1.5 + 6.5 * (1 - tight))))
        edge = np.exp(-np.square((np.abs(at.across) - (1 - closed) * (cell.width / 2 - 1.2)) / 1.5))
        within = np.abs(at.across) < (1 - closed) * cell.width / 2
        light = band * (0.35 * within + edge) * at.inside * (0.5 + 0.6 * tight) * speckle(rng, SIZE, (0.8, 0.8), 0.4)
        light += 0.1 * at.inside
    elif protein == "tips":
        caps = left * _near_end(at, cell, -1, 3.5) + right * _near_end(at, cell, 1, 3.5)
        light = at.inside * (0.12 + 1.3 * caps * speckle(rng, SIZE, (0.8, 0.8), 0.3))
    elif protein.startswith("patches"):
        light = _patches(rng, cell, 12 if protein == "patches_twin" else 9) + 0.12 * at.inside
    else:
        light = 0.6 * at.inside * (1 - 0.5 * nuclei) * speckle(rng, SIZE, (1.2, 1.2), 0.2)
    return np.asarray(light)


def _near_end(at: Frame, cell: Cell, side: int, reach: float) -> Floats:
    return np.exp(-np.square(np.hypot(at.along - side * cell.length / 2, 0.5 * at.across) / reach))


def _patches(rng: Generator, cell: Cell, mean: float) -> Floats:
    """Spots on the cortex: near the left end, the right end and the septum, as their weights are."""
    count, weights = rng.poisson(mean), np.array((*cell.ends, cell.septum))
    side = rng.choice((-1, 1, 0), count, p=weights / weights.sum())
    along = side * (cell.length / 2 - 1.5 - rng.exponential(4, count)) + (side == 0) * rng.normal(0, 1.2, count)
    round_end = np.clip(np.abs(along) - (cell.length - cell.width) / 2, 0, cell.width / 2 - 1)
    across = rng.choice((-1, 1), count) * (np.sqrt(np.square(cell.width / 2) - np.square(round_end)) - 1.5)
    across *= 1 - (side == 0) * rng.uniform(0, 1, count)
    middle = (np.array(SIZE) - 1) / 2 + (cell.y, cell.x)
    turn = ((np.cos(cell.tilt), np.sin(cell.tilt)), (-np.sin(cell.tilt), np.cos(cell.tilt)))
    places = np.stack([across, along], axis=1) @ np.array(turn).T + middle
    return 6.5 * blur(splat(places, rng.lognormal(0, 0.3, count), SIZE), (1.1, 1.1))


def photograph(rng: Generator, cell: Cell, protein: str, brightness: Floats) -> Floats:
    """A cell in both colours, Y X 3 uint8; brightness: of red and green."""
    light = np.stack([red(cell), green(rng, cell, protein)])
    seen = blur(light, (0.6, 0.6)) * 150 * brightness[:, None, None]
    counts = expose(rng, seen, np.uint8, offset=BACKGROUND, gain=2, noise=2)
    return np.stack([*counts, np.zeros_like(counts[0])], axis=-1)


def write(folder: Path, progress: Progress, *, fields_each: int = 4, cells_each: int = 60, seed: int = 0) -> None:
    """Fill a folder with so many fields of each protein, and so many cells of each; always the same."""
    rows: list[dict[str, Any]] = []
    total = len(PROTEINS) * fields_each * cells_each
    for kind, protein in enumerate(PROTEINS):
        (folder / protein).mkdir()
        for field in range(fields_each):
            lamp = np.exp(philox(seed, 1, kind, field).normal(0, 0.1, 2))
            for number in range(field * cells_each, (field + 1) * cells_each):
                rng = philox(seed, 2, kind, number)
                cell, expression = grow(rng), rng.lognormal(0, 0.2)
                file = f"{protein}/cell{number:06d}.png"
                image = photograph(rng, cell, protein, lamp * (1, expression))
                Image.fromarray(image).save(folder / file)
                place = {"file": file, "protein": protein, "field": f"{protein}_{field + 1}"}
                rows.append({**place, **asdict(cell), "expression": expression})
                progress(len(rows), total)
    csv.write_csv(Table.from_pylist(rows), folder / "truth.csv")


def fetch(cache: Path, progress: Progress) -> Path:
    """Make the data set below `cache`, whole or not at all; a second call finds it there."""
    return made(cache / "synthetic_yeast", lambda folder: write(folder, progress))


def planted(folder: Path) -> dict[str, Cell]:
    """The cell that each file shows.

    Raises MissingError: the folder has no truth.csv.  Raises DataError: it is another table.
    """
    names = [field.name for field in fields(Cell)]
    columns: dict[str, type[Any]] = {name: int if name == "old_end" else float for name in names}
    rows = read_table(folder / "truth.csv", ("file", *columns), numbers=columns)
    return {row["file"]: Cell(**{name: number(row[name]) for name, number in columns.items()}) for row in rows}


def layout(folder: Path) -> Layout:
    """Protein, field and stage of each cell.

    Raises MissingError: the folder has no truth.csv.  Raises DataError: it is another table.
    """
    rows = read_table(folder / "truth.csv", ("file", "protein", "field", "stage"), numbers=("stage",))
    known: dict[str, dict[str, Value]] = {
        row["file"]: {"protein": row["protein"], "field": row["field"], "stage": float(row["stage"])} for row in rows
    }
    return Layout(known.get)
