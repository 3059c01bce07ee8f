"""Synthetic rosettes: whole images with known rosettes, and labelled crops as Wang et al. had them (section 3.2).

The tissue, its light and the camera are those of `synthetic_embryos`; the stacks are filtered and displayed as the
C. elegans stacks were (a 3-D median, counts 2500 to 4200 as 8 bits).

    whole/DATE_embNN_tTTT.tif                 stacks Z Y X without a label: to pretrain on, and to detect in
    labelled/PART/LABEL/..._pP_yYYY_xXXX.tif  32 x 32, a rosette in the middle (LABEL rosette) or none
    truth.csv                                 the box of every rosette of every plane of whole/, as `prepare` takes it

Parts: "test", 20 + 20 crops of the last date; of the other dates "small", 12 + 40, and "rest", what makes it up to
58 + 175; "spare", all other rosettes of all dates and three times as many crops without one.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import tifffile
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from storage.datasets import About, Progress, made
from storage.datasets.synthetic_embryos import (
    DISPLAY_HIGH,
    DISPLAY_LOW,
    Embryo,
    Look,
    Size,
    expose,
    render,
    tissue,
    truth,
)
from storage.layout import Layout
from storage.operations.filters import box_median

ABOUT = About(
    title="labelled 32 x 32 crops of synthetic embryos, and whole images with every rosette's box in truth.csv",
    source="made here",
    licence="as distgan itself",
    groups=("date", "embryo"),
)
CROP = 32
JITTER = 3
"""Pixels by which the middle of a crop may miss that of its rosette."""
LOOK = Look(
    cell_um=(5.5, 9.0), junction_spread=0.45, patch_spread=0.16, haze=0.4, membrane_counts=1850.0, gain_counts=110.0
)
"""Smaller cells in murkier light than those of `synthetic_embryos`: with them a few dozen labels were nearly enough."""
APART = CROP // 2 + 4
"""Pixels, along y or x, that the middle of a crop without a rosette keeps from every one."""
SPARE = 3
"""Spare crops without a rosette, for each with one."""
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Labels:
    """How many crops there are with a rosette and without one.  small: that many of the training crops."""

    test: tuple[int, int] = (20, 20)
    train: tuple[int, int] = (58, 175)
    small: tuple[int, int] = (12, 40)


@dataclass(frozen=True)
class Stack:
    """One file of whole/.  image: Z Y X.  rosettes: z, y, x of each and how many cells meet there."""

    day: int
    name: str
    image: Bytes
    rosettes: list[tuple[int, int, int, int]]


@dataclass(frozen=True)
class Crop:
    """A place of CROP x CROP pixels: stack, plane and corner."""

    stack: Stack
    z: int
    y: int
    x: int

    @property
    def name(self) -> str:
        """Without the suffix."""
        return f"{self.stack.name}_p{self.z}_y{self.y:03d}_x{self.x:03d}"

    @property
    def image(self) -> Bytes:
        """Y X."""
        return self.stack.image[self.z, self.y : self.y + CROP, self.x : self.x + CROP]


def write(
    folder: Path,
    progress: Progress,
    dates: int = 3,
    embryos: int = 12,
    times: int = 4,
    size: Size = (5, 128, 128),
    labels: Labels | None = None,
    seed: int = 0,
) -> None:
    """Fill a folder as the module says; always the same.

    Of few embryos there may be fewer rosettes than `labels` wants; the small set comes before the rest.
    """
    stacks: list[Stack] = []
    rows = ["file,frame,z,y,x,height,width,cells\n"]
    (folder / "whole").mkdir()
    for stack in _stacks(default_rng([seed, 0]), dates, embryos, times, size):
        stacks.append(stack)
        file = f"whole/{stack.name}.tif"
        _save(folder / file, stack.image)
        for z, y, x, cells in stack.rosettes:
            top, left = _corner(stack, y, x)
            rows.append(f"{file},0,{z},{top},{left},{CROP},{CROP},{cells}\n")
        progress(len(stacks), dates * embryos * times)
    (folder / "truth.csv").write_text("".join(rows))
    for part, label, crop in _labelled(default_rng([seed, 1]), stacks, labels or Labels()):
        path = folder / "labelled" / part / label / f"{crop.name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        _save(path, crop.image)


def _stacks(rng: Generator, dates: int, embryos: int, times: int, size: Size) -> Iterator[Stack]:
    """In the order of their names. Two of three embryos have a rosette, the others as it comes."""
    for day in range(dates):
        date_light = rng.lognormal(0, LOOK.embryo_spread)
        for number in range(embryos):
            embryo = tissue(rng, LOOK, size)
            while number % 3 and not embryo.rosettes:
                embryo = tissue(rng, LOOK, size)
            brightness = date_light * rng.lognormal(0, LOOK.embryo_spread)
            for time in range(times):
                name = f"{date(2030, 1, 1) + timedelta(day):%Y%m%d}_emb{number:02d}_t{time:03d}"
                yield _stack(rng, embryo, brightness, size, day, name, time)


def _stack(rng: Generator, embryo: Embryo, brightness: float, size: Size, day: int, name: str, time: int) -> Stack:
    """Photographed, filtered and displayed; time points lie three of the embryo's apart."""
    places = embryo.places(3 * time, LOOK, size)
    counts = box_median(expose(rng, brightness * render(embryo, places, LOOK), LOOK), (2, 2, 2)).astype(np.float64)
    shown = ((counts - DISPLAY_LOW) * (255 / (DISPLAY_HIGH - DISPLAY_LOW))).round().clip(0, 255)
    return Stack(day, name, shown.astype(np.uint8), truth(embryo, places, LOOK))


def _labelled(rng: Generator, stacks: Sequence[Stack], labels: Labels) -> Iterator[tuple[str, str, Crop]]:
    """Part, label and place of every labelled crop."""
    last = stacks[-1].day
    found = [_with_rosette(rng, stack) for stack in stacks]
    spare = []
    for kind, label in enumerate(("rosette", "non_rosette")):
        for held_out in (True, False):
            own = [one for one, stack in zip(found, stacks, strict=True) if (stack.day == last) is held_out]
            with_one = [crop for crops in own for crop in crops]
            test, train, small = (count[kind] for count in (labels.test, labels.train, labels.small))
            wanted = test if held_out else train
            if label == "rosette":
                crops = [with_one[row] for row in rng.permutation(len(with_one))]
            else:
                places = [stack for stack in stacks if (stack.day == last) is held_out]
                crops = _without_rosette(rng, places, wanted + SPARE * len(with_one))
            for row, crop in enumerate(crops[:wanted]):
                yield "test" if held_out else "small" if row < small else "rest", label, crop
            spare += [("spare", label, crop) for crop in crops[wanted:]]
    yield from spare


def _with_rosette(rng: Generator, stack: Stack) -> list[Crop]:
    """A crop about each rosette that is not at the edge of the image, its middle up to JITTER pixels off."""
    crops = []
    for z, y, x, _ in stack.rosettes:
        middle = np.array((y, x))
        if (middle == np.add(_corner(stack, y, x), CROP // 2)).all():
            off = rng.integers(-JITTER, JITTER + 1, 2)
            crops.append(Crop(stack, z, *_corner(stack, *(middle + off).tolist())))
    return crops


def _without_rosette(rng: Generator, stacks: Sequence[Stack], count: int) -> list[Crop]:
    """Crops anywhere, no two alike, whose middle keeps APART from every rosette of the plane."""
    crops: dict[str, Crop] = {}
    while stacks and len(crops) < count:
        stack = stacks[int(rng.integers(len(stacks)))]
        z, y, x = (int(rng.integers(high)) for high in np.subtract(stack.image.shape, (0, CROP - 1, CROP - 1)))
        middle = np.array((y, x)) + CROP // 2
        of_plane = [place[1:3] for place in stack.rosettes if place[0] == z]
        if all(np.abs(middle - place).max() >= APART for place in of_plane):
            crop = Crop(stack, z, y, x)
            crops[crop.name] = crop
    return list(crops.values())


def _corner(stack: Stack, y: int, x: int) -> tuple[int, int]:
    """Of the crop about a pixel, moved into the image if it has to be."""
    height, width = stack.image.shape[1:]
    return min(max(y - CROP // 2, 0), height - CROP), min(max(x - CROP // 2, 0), width - CROP)


def _save(path: Path, image: Bytes) -> None:
    """Nothing in the file tells when, or by which version of what, it was written."""
    axes = {"axes": "ZYX"[-image.ndim :]}
    tifffile.imwrite(path, image, photometric="minisblack", software="distgan", metadata=axes, compression="zlib")


def fetch(cache: Path, progress: Progress) -> Path:
    """Make the data set below `cache`, whole or not at all; a second call finds it there."""
    return made(cache / "synthetic_rosettes", lambda folder: write(folder, progress))


def layout(folder: Path) -> Layout:
    """One image per file, described by its path."""
    return Layout(describe=metadata, pixel_um=LOOK.voxel_um)


def metadata(file: str) -> dict[str, str | int]:
    """Label ("unlabelled" of whole images), date, embryo (unique over all dates) and time; of crops part and plane."""
    found = re.fullmatch(r"(?:whole|labelled/(\w+)/(\w+))/((\d{8})_emb\d+)_t(\d+)(?:_p(\d+)_y\d+_x\d+)?\.tif", file)
    if not found:
        return {}
    part, label, embryo, day, time, plane = found.groups()
    known: dict[str, str | int] = {"label": label or "unlabelled", "date": day, "embryo": embryo, "time": int(time)}
    return known | ({"part": part, "plane": int(plane)} if part else {})
