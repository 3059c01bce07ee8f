"""Synthetic screen: cells under compounds whose mechanisms are known, in plates and batches that differ.

    {plate}/{well}_s{field}_w{channel}.tif    uint16: DNA, actin and tubulin
    {plate}/{well}_s{field}_{labels}.tif      label images: `cells`, and `nuclei` under the same numbers
    metadata.csv                              one row per well: batch, compound, concentration (uM), moa, control
    truth.csv                                 one row per field: what was planted there

**Planted.** A field is drawn from six traits. A treatment multiplies each by exp(dose * (mechanism + own)): `mechanism`
from MECHANISMS, `own` N(0, OWN) per compound and trait, `dose` 0.5 at 1 uM and 1 at 10 uM. Wells scatter by N(0, WELL)
and cells by N(0, CELL) in the logarithm. A compound is used in one batch only, and every mechanism has two in each: a
treatment has neighbours of its mechanism, not of its compound, within its batch (NSC) and beyond (NSCB).

**Batches.** A plate multiplies the light of each channel by a gain, which is mostly its batch's, and by one
illumination 1 + tilt_y y + tilt_x x - fall (y^2 + x^2), y and x from -1 to 1. Cells do not know of plates. So the mean
of a plate's fields shows its illumination, and its controls (DMSO, a third of the wells) its gain: features that were
standardised on the controls of their plate are comparable across batches, raw intensities are not.

**To check.** Nuclear area from `nuclei` orders DNA damage > DMSO > protein synthesis on every plate. Mechanisms by the
nearest neighbour (cosine, 32 treatments) in 12 features of size, number, intensity and texture: NSC 31 and NSCB 28 when
standardised over all plates, 32 and 32 on the controls of each plate; in the three mean intensities 27, 14; 30, 28.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.random import Generator
from numpy.typing import NDArray
from pyarrow import Table, csv

from storage.csv_table import read_table
from storage.datasets import About, Progress, made
from storage.drawing import Floats, blur, expose, filaments, philox, scattered, smooth_noise, splat
from storage.layout import Layout, Value

ABOUT = About(
    title="synthetic screen: 16 compounds of 4 mechanisms in 2 batches, planted as metadata.csv and truth.csv say",
    source="made here",
    licence="as distgan itself",
    groups=("batch", "plate", "compound", "well"),
)
CHANNELS = ("DNA", "actin", "tubulin")
PIXEL_UM = 0.65
Complexes = NDArray[np.complex128]
TRAITS = {  # of untreated cells
    "nuclear_area": 230.0,  # pixels
    "cell_area": 1150.0,  # pixels
    "cells": 15.0,  # in 160 x 160 pixels
    "filament": 22.0,  # length of a microtubule, pixels
    "fibres": 0.75,  # share of the actin that lies in stress fibres, the rest in spots
    "chromatin": 0.18,  # contrast within the nucleus
}
MECHANISMS = {  # change of the traits' logarithms at the full dose, in their order
    "actin disruption": (0.0, -0.5, -0.2, 0.0, -1.8, 0.0),
    "DNA damage": (0.7, 0.4, -0.6, 0.0, 0.0, 0.6),
    "microtubule destabilisation": (0.1, -0.3, -0.3, -1.5, -0.2, 0.0),
    "protein synthesis": (-0.6, -0.2, -0.2, -0.2, 0.0, -0.9),
}
DOSES = {1.0: 0.5, 10.0: 1.0}
OWN, WELL, CELL = 0.08, 0.04, 0.12
FILAMENTS = 90
COLUMNS = 6


@dataclass(frozen=True)
class Well:
    """What was put into a well.  concentration: in uM.  log_traits: T, change of the traits' logarithms."""

    compound: str
    concentration: float
    moa: str
    log_traits: Floats


@dataclass(frozen=True)
class Lamp:
    """How a plate was photographed.  gain: C."""

    gain: Floats
    tilt_y: float
    tilt_x: float
    fall: float

    def illumination(self, size: int) -> Floats:
        """Y X, about 1."""
        y, x = np.meshgrid(*[np.linspace(-1, 1, size)] * 2, indexing="ij")
        return 1 + self.tilt_y * y + self.tilt_x * x - self.fall * (y**2 + x**2)


def wells(seed: int, batch: int, batches: int, compounds: int, controls: int) -> list[Well]:
    """The wells of each plate of a batch, before they are shuffled."""
    found = [Well("DMSO", 0.0, "DMSO", np.zeros(len(TRAITS)))] * controls
    for compound in range(compounds):
        if compound // len(MECHANISMS) % batches == batch:
            moa, effect = list(MECHANISMS.items())[compound % len(MECHANISMS)]
            own = philox(seed, 1, compound).normal(0, OWN, len(TRAITS))
            found += [Well(f"C{compound + 1:02d}", um, moa, dose * (effect + own)) for um, dose in DOSES.items()]
    return found


def lamp(seed: int, batch: int, plate: int) -> Lamp:
    """The light of a plate: 0.3 brighter or darker in the logarithm, in turn from batch to batch."""
    side, own = philox(seed, 2).choice((-1, 1), len(CHANNELS)), philox(seed, 2, plate)
    gain = np.exp((-1) ** batch * 0.3 * side + own.normal(0, 0.05, len(CHANNELS)))
    return Lamp(gain, own.uniform(-0.2, 0.2), own.uniform(-0.2, 0.2), own.uniform(0.05, 0.2))


@dataclass(frozen=True)
class Outlines:
    """Of N cells, about elliptical: radius, stretch, turn N; waves: N 4, complex amplitudes of 2 to 5 lobes."""

    radius: Floats
    stretch: Floats
    turn: Floats
    waves: Complexes

    def reach(self, which: NDArray[np.intp], place: Complexes) -> Floats:
        """How far places x + iy from the middle are out of the outlines `which`: 0 in the middle, 1 at the border."""
        turned = place * np.exp(-1j * self.turn)[which]
        round_ = turned.real / self.stretch[which] + 1j * turned.imag * self.stretch[which]
        far = np.abs(round_)
        unit = round_ / np.maximum(far, 1e-9)
        border, power = np.ones(far.shape), unit
        for wave in self.waves.T:
            power = power * unit
            border += (wave[which] * power).real
        return np.asarray(far / self.radius[which] / border)


def draw(rng: Generator, traits: Floats, size: int) -> tuple[Floats, NDArray[np.uint16], NDArray[np.uint16]]:
    """Cells with such traits: their light, C Y X, in counts; and which cell, which nucleus lies where, Y X."""
    nuclear_area, cell_area, density, filament, fibres, chromatin = traits
    count, shape = max(2, rng.poisson(density * (size / 160) ** 2)), (size, size)
    middles = scattered(rng, count, shape, 5)
    y, x = np.indices(shape)
    away = x + 1j * y - (middles @ (1j, 1))[:, None, None]  # N Y X
    numbers = np.arange(count)[:, None, None]
    reach = _outlines(rng, cell_area * rng.lognormal(0, CELL, count), 1.4, 0.25).reach(numbers, away)
    nuclear_areas = nuclear_area * rng.lognormal(0, CELL, count)
    owner = reach.argmin(0)
    place = np.take_along_axis(away, owner[None], 0)[0]
    near, second = np.partition(reach, 1, axis=0)[:2]
    inside, depth = near < 1, np.minimum(1 - near, (second - near) / 2)
    nucleus = inside & (_outlines(rng, nuclear_areas, 1.2, 0.05).reach(owner, place) < 1)
    cells = np.where(inside, owner + 1, 0).astype(np.uint16)
    nuclei = np.where(nucleus, cells, 0).astype(np.uint16)

    cytoplasm = np.where(nucleus, 0.4, 1) * inside * np.sqrt(np.clip(2 * depth, 0, 1))
    texture = smooth_noise(rng, shape, (1.3, 1.3)) - 1.5 * (smooth_noise(rng, shape, (2, 2)) > 1.6)
    compact = np.sqrt(TRAITS["nuclear_area"] / nuclear_areas * rng.lognormal(0, 0.2, count))[owner]
    dna = nucleus * compact * np.clip(1 + chromatin * texture, 0.1, None)

    spots = np.clip(smooth_noise(rng, shape, (1.2, 1.2)) - 1.5, 0, None) * 3
    cortex = inside * np.exp(-np.square(depth / 0.1))
    actin = 0.25 * cytoplasm + 0.5 * cortex + cytoplasm * (fibres * _stripes(rng, place, owner) + (1 - fibres) * spots)

    starts = np.repeat(
        middles, FILAMENTS, 0
    )  # rng.normal(0, 0.4, (count, 2)) * np.sqrt(nuclear_areas / np.pi)[:, None], FILAMENTS, 0)
    steps = 2 * max(1, round(filament))
    paths = filaments(rng, starts, rng.uniform(0, 2 * np.pi, len(starts)), steps, 0.15).reshape(-1, 2)
    at = np.clip(np.rint(paths), 0, size - 1).astype(np.intp)
    own = cells[at[:, 0], at[:, 1]] == np.repeat(np.arange(count) + 1, FILAMENTS * steps)
    tubulin = 0.16 * splat(paths, own * np.where(nucleus, 0.3, 1)[at[:, 0], at[:, 1]], shape)
    tubulin += cytoplasm * np.clip(0.9 - 0.75 * filament / TRAITS["filament"], 0.1, 0.8)

    light = np.stack([1500 * dna, 1100 * actin, 900 * tubulin])
    sharp = blur(light, (0.8, 0.8))
    return np.clip(0.8 * sharp + 0.2 * blur(light, (6, 6)), 0, None), cells, nuclei


def _outlines(rng: Generator, areas: Floats, longest: float, roughness: float) -> Outlines:
    shape = (len(areas), 4)
    waves = rng.normal(0, roughness / np.arange(2, 6), shape) * np.exp(2j * np.pi * rng.uniform(size=shape))
    stretch, turn = rng.uniform(1, longest, len(areas)), rng.uniform(0, np.pi, len(areas))
    return Outlines(np.sqrt(areas / np.pi), stretch, turn, waves)


def _stripes(rng: Generator, place: Complexes, owner: NDArray[np.intp]) -> Floats:
    """Stress fibres, Y X: in every cell lines of one direction, a little bent.  place: Y X, from the cell's middle."""
    cells = int(owner.max()) + 1
    turned = place * np.exp(-1j * rng.uniform(0, np.pi, cells)[owner])
    across = turned.imag + 1.5 * smooth_noise(rng, owner.shape, (9, 9))
    waves, phases = rng.uniform(0.6, 2.2, (cells, 5)), rng.uniform(0, 2 * np.pi, (cells, 5))
    ridges = np.cos(waves[owner] * across[..., None] + phases[owner]).sum(-1) + 0.7 * smooth_noise(
        rng, owner.shape, (4, 4)
    )
    return np.asarray(0.12 * np.clip(ridges, 0, None) ** 3)


def write(
    folder: Path,
    progress: Progress,
    *,
    batches: int = 2,
    plates: int = 2,
    compounds: int = 16,
    controls: int = 8,
    fields: int = 2,
    size: int = 160,
    seed: int = 0,
) -> None:
    """Fill a folder with so many plates per batch; each holds every treatment of its batch once; always the same."""
    metadata: list[dict[str, Any]] = []
    truth: list[dict[str, Any]] = []
    contents = [wells(seed, batch, batches, compounds, controls) for batch in range(batches)]
    total = plates * sum(map(len, contents))
    for number in range(batches * plates):
        batch, plate = number // plates, f"P{number + 1}"
        light, content = lamp(seed, batch, number), contents[batch]
        (folder / plate).mkdir()
        for place, one in enumerate(philox(seed, 3, number).permutation(len(content))):
            well, put = f"{chr(ord('A') + place // COLUMNS)}{place % COLUMNS + 1:02d}", content[one]
            named = {"compound": put.compound, "concentration": put.concentration, "moa": put.moa}
            where = {"batch": batch + 1, "plate": plate, "well": well}
            metadata.append({**where, **named, "control": int(put.compound == "DMSO")})
            own = philox(seed, 4, number, place).normal(0, WELL, len(TRAITS))
            traits = np.array(list(TRAITS.values())) * np.exp(put.log_traits + own)
            for field in range(1, fields + 1):
                rng = philox(seed, 5, number, place, field)
                drawn, cells, nuclei = draw(rng, traits, size)
                shown = drawn * light.gain[:, None, None] * light.illumination(size)
                counts = expose(rng, shown, np.uint16, offset=200, gain=4, noise=8)
                stem = folder / plate / f"{well}_s{field}"
                for channel, image in zip(CHANNELS, counts, strict=True):
                    _save(Path(f"{stem}_w{channel}.tif"), image)
                _save(Path(f"{stem}_cells.tif"), cells)
                _save(Path(f"{stem}_nuclei.tif"), nuclei)
                gains = {f"gain_{channel}": gain for channel, gain in zip(CHANNELS, light.gain, strict=True)}
                lit = {"tilt_y": light.tilt_y, "tilt_x": light.tilt_x, "fall": light.fall}
                planted = dict(zip(TRAITS, traits, strict=True))
                truth.append({**where, "field": field, **planted, **gains, **lit, "drawn": len(np.unique(cells)) - 1})
            progress(len(metadata), total)
    csv.write_csv(Table.from_pylist(metadata), folder / "metadata.csv")
    csv.write_csv(Table.from_pylist(truth), folder / "truth.csv")


def _save(path: Path, image: NDArray[np.uint16]) -> None:
    tifffile.imwrite(path, image, software="distgan", metadata=None)


def fetch(cache: Path, progress: Progress) -> Path:
    """Make the data set below `cache`, whole or not at all; a second call finds it there."""
    return made(cache / "synthetic_screen", lambda folder: write(folder, progress))


def layout(folder: Path) -> Layout:
    """Batch, plate, well, field, compound, concentration, moa and control (1 or 0) of an image, by its name.

    Raises MissingError: the folder has no metadata.csv.  Raises DataError: it is another table.
    """
    numbers = {"batch": int, "concentration": float, "control": int}
    columns = ("batch", "plate", "well", "compound", "concentration", "moa", "control")
    known: dict[tuple[str, str], dict[str, Value]] = {
        (row["plate"], row["well"]): {name: numbers.get(name, str)(row[name]) for name in columns}
        for row in read_table(folder / "metadata.csv", columns, numbers=numbers)
    }

    def describe(file: str) -> dict[str, Value] | None:
        found = re.fullmatch(r"([^/]+)/([A-Z]\d+)_s(\d+)_(?:w(\w+)|(cells|nuclei))\.tif", file)
        if not found or (found[1], found[2]) not in known:
            return None
        kind = {"channel": found[4]} if found[4] else {"labels": found[5]}
        return {**known[found[1], found[2]], "field": int(found[3]), **kind}

    return Layout(describe, CHANNELS, (None, PIXEL_UM, PIXEL_UM))
