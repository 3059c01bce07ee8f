"""Synthetic embryos: tissue with fluorescent membranes, and rosettes planted at known places.

They are built to be displayed and cut as the C. elegans stacks of Wang et al. are. Positions are z, y, x in
micrometres from the embryo's middle; only files, and the places in truth.csv, count in voxels. A cell is what lies
nearest to its seed, so k seeds on a circle meet along its axis. Seeds never move: the space around them is strained.
"""

import csv
import re
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import tifffile
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.special import ndtr

from storage.datasets import About, Progress
from storage.durable import staged

ABOUT = About(
    title="synthetic embryos with fluorescent membranes, their rosettes listed in truth.csv",
    source="made here",
    licence="as distgan itself",
    groups=("date", "embryo"),
)
DISPLAY_LOW, DISPLAY_HIGH = 2500, 4200
"""Counts shown black and white after a 3-D median, as those of the real images are."""

Floats = NDArray[np.float64]
Size = tuple[int, int, int]
"""Voxels in z, y, x."""


@dataclass(frozen=True)
class Look:
    """How the tissue is built, lit and photographed; brightness is in counts above the offset.

    bulge: how far a cell may press into its neighbours, as a share of its size.  strain: of each wave that moves the
    tissue.  haze: share of the light that arrives scattered.  *_spread: standard deviation of a brightness's logarithm.
    """

    voxel_um: tuple[float, float, float] = (1.0, 0.25, 0.25)
    half_axes_um: tuple[float, float, float] = (15.0, 17.0, 27.0)
    cell_um: tuple[float, float] = (5.5, 9.5)
    bulge: float = 0.2
    strain: float = 0.15
    membrane_um: float = 0.25
    blur_um: float = 0.25
    blur_z_um: float = 0.75
    blur_per_um_depth: float = 0.01
    fade_um: float = 45.0
    membrane_counts: float = 1600.0
    surface_share: float = 0.5
    cytoplasm_counts: float = 190.0
    background_counts: float = 40.0
    haze: float = 0.3
    scatter_um: float = 3.0
    junction_spread: float = 0.35
    patch_spread: float = 0.15
    patch_um: float = 0.6
    lamp_spread: float = 0.15
    embryo_spread: float = 0.15
    offset_counts: float = 2490.0
    gain_counts: float = 50.0
    read_noise_counts: float = 30.0


@dataclass(frozen=True)
class Embryo:
    """N cells, and the strain by which they move in the picture.

    seeds_um: N 3.  bulges_um: N, how much nearer than it is a seed counts.  junctions: N N, relative brightness of the
    membranes.  from_ball: 3 3, makes a unit ball the embryo.  waves: W 7, a wave vector, a push in y and x, frequency
    and phase.  view_um: 3, the middle of the stack.  rosettes: the middle of each, 3, and how many cells meet there.
    """

    seeds_um: Floats
    bulges_um: Floats
    junctions: Floats
    from_ball: Floats
    waves: Floats
    view_um: Floats
    rosettes: tuple[tuple[Floats, int], ...]

    def places(self, time: int, look: Look, size: Size) -> Floats:
        """Which place of the unstrained embryo each voxel shows at a time point; z y x 3."""
        voxels = np.moveaxis(np.indices(size), 0, -1) - (np.array(size) - 1) / 2
        places = voxels * look.voxel_um + self.view_um
        waves, pushes = self.waves[:, :3], self.waves[:, 3:5]
        places[..., 1:] += np.sin(places @ waves.T + self.waves[:, 5] * time + self.waves[:, 6]) @ pushes
        return np.asarray(places)


def tissue(rng: Generator, look: Look, size: Size) -> Embryo:
    """A new embryo, to be seen through stacks of `size` voxels."""
    cell_um, turn = rng.uniform(*look.cell_um), rng.uniform(0, np.pi)
    rotation = ((1, 0, 0), (0, np.cos(turn), -np.sin(turn)), (0, np.sin(turn), np.cos(turn)))
    from_ball = np.array(rotation) * look.half_axes_um
    field_um = np.array(size) * look.voxel_um
    view_um = rng.uniform(-1, 1, 3) * np.maximum(np.linalg.norm(from_ball, axis=1) - field_um / 2, 0)
    view_um[0] = rng.uniform(-0.4, 0.1) * look.half_axes_um[0]  # below it is too dark
    loose = _relaxed(rng, from_ball, cell_um)
    margin_um = look.bulge * cell_um + look.membrane_um + look.blur_um
    rings, rosettes = [np.empty((0, 3))], []
    for middle in _apart(view_um + rng.uniform(-0.4, 0.4, (10, 3)) * field_um * (0, 1, 1), 2.2 * cell_um + margin_um):
        if np.linalg.norm(np.linalg.solve(from_ball, middle)) < 0.75:
            ring = middle + _circle(rng, cell_um)
            # No other cell may reach the axis, even by its bulge, wherever the stack shows it.
            axis = middle + np.linspace(-0.5, 0.5, 9)[:, None] * field_um * (1, 0, 0)
            loose = loose[(cdist(loose, axis) - cdist(ring[:1], axis)).min(1) > margin_um]
            rings.append(ring)
            rosettes.append((middle, len(ring)))
    seeds = np.concatenate([*rings, loose])
    bulges = rng.uniform(-1, 1, len(seeds)) * look.bulge * cell_um
    bulges[: len(seeds) - len(loose)] = 0
    pairs = np.triu(rng.lognormal(0, look.junction_spread, (len(seeds), len(seeds))), 1)
    return Embryo(seeds, bulges, pairs + pairs.T, from_ball, _waves(rng, look.strain), view_um, tuple(rosettes))


def _relaxed(rng: Generator, from_ball: Floats, cell_um: float) -> Floats:
    """Seeds of cells of about `cell_um` in the embryo, made more even by two steps of Lloyd's algorithm; N 3."""
    cloud = rng.uniform(-1, 1, (int(200 * np.linalg.det(from_ball) / cell_um**3) * 2, 3))
    cloud = cloud[np.linalg.norm(cloud, axis=1) < 1] @ from_ball.T
    count = len(cloud) // 40
    seeds = cloud[:count]
    for _ in range(2):
        owner = cKDTree(seeds).query(cloud)[1]
        sums = np.stack([np.bincount(owner, axis, count) for axis in cloud.T], axis=1)
        seeds = sums / np.bincount(owner, minlength=count)[:, None]
    return seeds


def _apart(points_um: Floats, distance_um: float) -> list[Floats]:
    """Those points that are further than `distance_um` from the ones taken before."""
    taken: list[Floats] = []
    for point in points_um:
        if all(np.linalg.norm(point - one) > distance_um for one in taken):
            taken.append(point)
    return taken


def _circle(rng: Generator, cell_um: float) -> Floats:
    """5 to 8 seeds on a circle in the plane, unevenly, on average 0.8 cells apart; k 3."""
    cells = 5 + rng.binomial(3, 0.35)
    angles = 2 * np.pi / cells * (np.arange(cells) + rng.uniform(-0.25, 0.25, cells)) + rng.uniform(0, 2 * np.pi)
    return 0.4 * cell_um / np.sin(np.pi / cells) * np.stack([0 * angles, np.sin(angles), np.cos(angles)], axis=1)


def _waves(rng: Generator, strain: float) -> Floats:
    """Six waves, 8 to 40 um long and 12 to 30 time points slow; they never fold space, as six strains are below 1."""
    length_um = 8 * 5 ** np.linspace(0, 1, 6)[:, None]
    along, angle = rng.normal(size=(6, 3)), rng.uniform(0, 2 * np.pi, (6, 1))
    along *= 2 * np.pi / length_um / np.linalg.norm(along, axis=1, keepdims=True)
    push = strain * length_um / (2 * np.pi) * np.hstack([np.sin(angle), np.cos(angle)])
    return np.hstack([along, push, rng.uniform((0.2, 0), (0.5, 2 * np.pi), (6, 2))])


def render(embryo: Embryo, places: Floats, look: Look) -> Floats:
    """The light from each of the embryo's `places`, z y x 3, through the optics: z y x, counts above the offset."""
    points = places.reshape(-1, 3)
    reach, near, slopes = _nearest(points, embryo.seeds_um, embryo.bulges_um)
    depth_um = points[:, 0] + look.half_axes_um[0]
    widening = 1 + look.blur_per_um_depth * depth_um
    membranes = np.zeros(len(points))
    for other in (1, 2, 3):
        sheet = _sheet(reach[:, other] - reach[:, 0], slopes[:, other] - slopes[:, 0], widening, look)
        # Squares, so that many membranes meeting are brighter than one, but not as many times brighter.
        membranes += np.square(sheet * embryo.junctions[near[:, 0], near[:, other]])
    to_ball = np.linalg.inv(embryo.from_ball)
    radius = np.linalg.norm(points @ to_ball.T, axis=1)
    inward = -(points @ to_ball.T / radius[:, None]) @ to_ball
    steepness = np.linalg.norm(inward, axis=1)
    # The surface sinks in between the cells.
    level = 1 - radius - 0.3 * steepness * (reach[:, 0] - look.cell_um[0] / 2)
    inside = ndtr(level / steepness / look.blur_um)
    light = look.membrane_counts * inside * np.sqrt(membranes) + look.cytoplasm_counts * inside
    light += look.membrane_counts * look.surface_share * _sheet(level, inward, widening, look)
    image = (light * np.exp(-depth_um / look.fade_um)).reshape(places.shape[:3])
    scattered = gaussian_filter(image, look.scatter_um / np.array(look.voxel_um))
    return look.background_counts + (1 - look.haze) * image + look.haze * scattered


def _nearest(points: Floats, seeds: Floats, bulges: Floats) -> tuple[Floats, NDArray[np.intp], Floats]:
    """The four cells that own or border each of V points, the owner first.

    Returns how far their seeds are, less the bulge, V 4; which they are, V 4; directions away from the seeds, V 4 3.
    """
    apart, near = cKDTree(seeds).query(points, 6, workers=-1)
    order = np.argsort(apart - bulges[near], axis=1)[:, :4]
    apart, near = np.take_along_axis(apart, order, 1), np.take_along_axis(near, order, 1)
    return apart - bulges[near], near, (points[:, None] - seeds[near]) / apart[..., None]


def _sheet(level: Floats, slope: Floats, widening: Floats, look: Look) -> Floats:
    """Light of a membrane that runs where `level`, V, with gradient `slope`, V 3, is 0; V, at most 1.

    Exact where it is flat: a flat sheet seen through a Gaussian point spread stays Gaussian across, wide if it lies in
    the plane and narrow if it stands on it.
    """
    steepness = np.linalg.norm(slope, axis=1)
    lying = np.square(slope[:, 0] / steepness)
    blur = np.square(widening) * (look.blur_um**2 * (1 - lying) + look.blur_z_um**2 * lying)
    variance = look.membrane_um**2 + blur
    return look.membrane_um / np.sqrt(variance) * np.exp(-np.square(level / steepness) / (2 * variance))


def expose(rng: Generator, light: Floats, look: Look) -> NDArray[np.uint16]:
    """Photograph `light`, z y x counts above the offset: patchy label, flickering lamp, photons, camera."""
    patches = gaussian_filter(rng.normal(size=light.shape), look.patch_um / np.array(look.voxel_um))
    lamp = rng.lognormal(0, look.lamp_spread, (len(light), 1, 1))
    photons = rng.poisson(light * lamp * np.exp(look.patch_spread * patches / patches.std()) / look.gain_counts)
    dark = rng.normal(look.offset_counts, look.read_noise_counts, light.shape)
    return np.clip(np.rint(photons * look.gain_counts + dark), 0, 65535).astype(np.uint16)


def truth(embryo: Embryo, places: Floats, look: Look) -> list[tuple[int, int, int, int]]:
    """The rosettes among `places`, z y x 3: the plane, the voxel in y and x, and how many cells meet there."""
    found = []
    for middle, cells in embryo.rosettes:
        off_um = np.linalg.norm(places[..., 1:] - middle[1:], axis=3)
        for z, plane in enumerate(off_um):
            y, x = np.unravel_index(plane.argmin(), plane.shape)
            if plane[y, x] < 2 * look.voxel_um[1]:  # else it is out of view
                found.append((z, int(y), int(x), cells))
    return found


def write(
    folder: Path,
    dates: int = 3,
    embryos: int = 4,
    times: int = 8,
    size: Size = (5, 128, 128),
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> None:
    """Fill a folder with an OME-TIFF for each date, embryo of it and time point, and with truth.csv.

    The same libraries write the same bytes for the same arguments.
    """
    look, rng = Look(), default_rng(seed)
    rows: list[tuple[str | int, ...]] = [("file", "z", "y", "x", "cells")]
    for day in range(dates):
        date_light = rng.lognormal(0, look.embryo_spread)
        for number in range(embryos):
            embryo, brightness = tissue(rng, look, size), date_light * rng.lognormal(0, look.embryo_spread)
            for time in range(times):
                places = embryo.places(time, look, size)
                file = f"{date(2030, 1, 1) + timedelta(day):%Y%m%d}_emb{number:02d}_t{time:03d}.tif"
                _save(folder / file, expose(rng, brightness * render(embryo, places, look), look), look)
                rows += [(file, *row) for row in truth(embryo, places, look)]
                progress((day * embryos + number) * times + time + 1, dates * embryos * times)
    with (folder / "truth.csv").open("w", newline="") as table:
        csv.writer(table, lineterminator="\n").writerows(rows)


def _save(path: Path, stack: NDArray[np.uint16], look: Look) -> None:
    """Write a stack z y x; nothing in the file tells when, or by which version of what, it was written."""
    sizes = {f"PhysicalSize{axis}": um for axis, um in zip("ZYX", look.voxel_um, strict=True)}
    units = {f"{size}Unit": "µm" for size in sizes}
    named = {"axes": "ZYX", "UUID": str(uuid5(NAMESPACE_URL, path.name)), "Creator": "distgan"}
    tifffile.imwrite(path, stack, ome=True, software="distgan", metadata=named | sizes | units)


def fetch(cache: Path, progress: Progress) -> Path:
    """Make the data set below `cache`, whole or not at all; a second call finds it there."""
    folder = cache / "synthetic_embryos"
    if not folder.is_dir():
        with staged(folder) as partial:
            write(partial, progress=progress)
    return folder


def metadata(file: str) -> dict[str, str | int]:
    """Date, embryo (unique over all dates) and time point from a file's name; {} if it has none."""
    found = re.fullmatch(r"((\d{8})_emb\d+)_t(\d+)\.tif", file)
    return {"date": found[2], "embryo": found[1], "time": int(found[3])} if found else {}
