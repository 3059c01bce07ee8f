"""Synthetic embryos: tissue with fluorescent membranes, and rosettes planted at known places.

They are to be displayed and cut as the C. elegans stacks of Wang et al. are. A cell is what lies nearest to its seed,
so k seeds on a circle meet along its axis. Seeds never move: the space around them is strained. Positions are z, y, x
in micrometres from the embryo's middle; only the files, and the places in truth.csv, count in voxels.
"""

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

from storage.datasets import About, Progress, made
from storage.layout import Layout

ABOUT = About(
    title="synthetic embryos with fluorescent membranes, their rosettes listed in truth.csv",
    source="made here",
    licence="as distgan itself",
    groups=("date", "embryo"),
)
DISPLAY_LOW, DISPLAY_HIGH = 2500, 4200  # counts shown black and white after a 3-D median; the real images' too
Floats = NDArray[np.float64]
Size = tuple[int, int, int]  # voxels in z, y, x
SIZE: Size = (5, 128, 128)


@dataclass(frozen=True)
class Look:
    """How the tissue is built, lit and photographed; brightness is in counts above the offset.

    bulge: how far a cell may press into its neighbours, as a share of its size.  strain: of each wave that moves the
    tissue.  haze: share of the light that arrives scattered.  *_spread: standard deviation of a brightness's logarithm.
    """

    voxel_um: tuple[float, float, float] = (1.0, 0.25, 0.25)
    half_axes_um: tuple[float, float, float] = (15.0, 17.0, 27.0)
    cell_um: tuple[float, float] = (6.5, 10.5)
    bulge: float = 0.25
    strain: float = 0.15
    membrane_um: float = 0.25
    blur_um: float = 0.25
    blur_z_um: float = 0.75
    blur_per_um_depth: float = 0.01
    fade_um: float = 45.0
    membrane_counts: float = 2050.0
    surface_share: float = 0.5
    cytoplasm_counts: float = 325.0
    haze: float = 0.3
    scatter_um: float = 3.0
    junction_spread: float = 0.3
    patch_spread: float = 0.12
    patch_um: float = 0.4
    lamp_spread: float = 0.2
    embryo_spread: float = 0.12
    offset_counts: float = 2525.0
    gain_counts: float = 60.0
    read_noise_counts: float = 35.0


@dataclass(frozen=True)
class Embryo:
    """N cells, and the strain by which they move in the picture.

    seeds_um: N 3.  bulges_um: N, how much nearer than it is a seed counts.  junctions: N N, relative brightness of the
    membranes.  to_ball: 3 3, makes the embryo a unit ball.  waves: W 7, a wave vector, a push in y and x, frequency
    and phase.  view_um: 3, the middle of the stack.  rosettes: the middle of each, 3, and how many cells meet there.
    """

    seeds_um: Floats
    bulges_um: Floats
    junctions: Floats
    to_ball: Floats
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
    from_ball, field_um = np.array(rotation) * look.half_axes_um, np.array(size) * look.voxel_um
    to_ball = np.asarray(np.linalg.inv(from_ball), np.float64)
    view_um = rng.uniform(-1, 1, 3) * np.maximum(np.linalg.norm(from_ball, axis=1) - field_um / 2, 0)
    view_um[0] = rng.uniform(-0.4, 0.1) * look.half_axes_um[0]  # below it is too dark
    seeds = _relaxed(rng, from_ball, cell_um)
    cells = np.column_stack([seeds, rng.uniform(-1, 1, len(seeds)) * look.bulge * cell_um])
    # No other cell may reach the axis of a rosette, even by its bulge, wherever a stack shows it.
    margin_um = look.bulge * cell_um + look.membrane_um + look.blur_um
    rosettes: list[tuple[Floats, int]] = []
    for middle in view_um + rng.uniform(-0.4, 0.4, (rng.integers(3), 3)) * field_um * (0, 1, 1):
        far = all(np.linalg.norm(middle - one) > 2.2 * cell_um + margin_um for one, _ in rosettes)
        if far and np.linalg.norm(to_ball @ middle) < 0.75:
            ring = middle + _circle(rng, cell_um)
            axis = middle + np.linspace(-0.5, 0.5, 9)[:, None] * field_um * (1, 0, 0)
            free = (cdist(cells[:, :3], axis) - cdist(ring[:1], axis)).min(1) > margin_um
            cells = np.concatenate([cells[free], np.pad(ring, ((0, 0), (0, 1)))])
            rosettes.append((middle, len(ring)))
    pairs = np.triu(rng.lognormal(0, look.junction_spread, (len(cells), len(cells))), 1)
    waves = _waves(rng, look.strain)
    return Embryo(cells[:, :3], cells[:, 3], pairs + pairs.T, to_ball, waves, view_um, tuple(rosettes))


def _relaxed(rng: Generator, from_ball: Floats, cell_um: float) -> Floats:
    """Seeds of cells of about `cell_um` in the embryo, made more even by three steps of Lloyd's algorithm; N 3."""
    cloud = rng.uniform(-1, 1, (int(200 * np.linalg.det(from_ball) / cell_um**3) * 2, 3))
    cloud = cloud[np.linalg.norm(cloud, axis=1) < 1] @ from_ball.T
    seeds = cloud[: len(cloud) // 40]
    for _ in range(3):
        owner = cKDTree(seeds).query(cloud)[1]
        seeds = np.stack([np.bincount(owner, axis) for axis in cloud.T], axis=1) / np.bincount(owner)[:, None]
    return np.asarray(seeds)


def _circle(rng: Generator, cell_um: float) -> Floats:
    """5 to 8 seeds on a circle in the plane, unevenly, on average 0.8 cells apart; k 3."""
    cells = 5 + int(rng.binomial(3, 0.35))
    angles: Floats = 2 * np.pi / cells * (np.arange(cells) + rng.uniform(-0.25, 0.25, cells) + rng.uniform(0, cells))
    return 0.4 * cell_um / float(np.sin(np.pi / cells)) * np.stack([0 * angles, np.sin(angles), np.cos(angles)], axis=1)


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
    depth_um, membranes = points[:, 0] + look.half_axes_um[0], np.zeros(len(points))
    for other in (1, 2, 3):
        sheet = _sheet(reach[:, other] - reach[:, 0], slopes[:, other] - slopes[:, 0], depth_um, look)
        # Squares, so that many membranes meeting are brighter than one, but not as many times brighter.
        membranes += np.square(sheet * embryo.junctions[near[:, 0], near[:, other]])
    ball = points @ embryo.to_ball.T
    radius = np.linalg.norm(ball, axis=1)
    inward = -(ball / radius[:, None]) @ embryo.to_ball
    steepness = np.linalg.norm(inward, axis=1)
    level = 1 - radius - 0.3 * steepness * (reach[:, 0] - look.cell_um[0] / 2)  # sunk in between the cells
    inside = np.clip(level / steepness / look.blur_um + 0.5, 0, 1)
    light = look.membrane_counts * inside * np.sqrt(membranes) + look.cytoplasm_counts * inside
    light += look.membrane_counts * look.surface_share * _sheet(level, inward, depth_um, look)
    image: Floats = (light * np.exp(-depth_um / look.fade_um)).reshape(places.shape[:3])
    scattered: Floats = gaussian_filter(image, look.scatter_um / np.array(look.voxel_um))
    return (1 - look.haze) * image + look.haze * scattered


def _nearest(points: Floats, seeds: Floats, bulges: Floats) -> tuple[Floats, NDArray[np.intp], Floats]:
    """The owner of each of V points and three more cells: how far, less the bulge, V 4; which, V 4; slopes, V 4 3."""
    apart, near = cKDTree(seeds).query(points, 8, workers=-1)
    order = np.argsort(apart - bulges[near], axis=1)[:, :4]
    apart, near = np.take_along_axis(apart, order, 1), np.take_along_axis(near, order, 1)
    return apart - bulges[near], near, (points[:, None] - seeds[near]) / apart[..., None]


def _sheet(level: Floats, slope: Floats, depth_um: Floats, look: Look) -> Floats:
    """Light of a membrane that runs where `level`, V, with gradient `slope`, V 3, is 0; V, at most 1.

    Exact where it is flat: through a Gaussian point spread it is Gaussian, wide if it lies and narrow if it stands.
    """
    steepness = np.linalg.norm(slope, axis=1)
    lying = np.square(slope[:, 0] / steepness)
    blur = (look.blur_um**2 * (1 - lying) + look.blur_z_um**2 * lying) * (1 + look.blur_per_um_depth * depth_um) ** 2
    variance = look.membrane_um**2 + blur
    return np.asarray(look.membrane_um / np.sqrt(variance) * np.exp(-np.square(level / steepness) / (2 * variance)))


def expose(rng: Generator, light: Floats, look: Look) -> NDArray[np.uint16]:
    """Photograph `light`, z y x counts above the offset: patchy label, flickering lamp, photons, camera."""
    patches = gaussian_filter(rng.normal(size=light.shape), look.patch_um / np.array(look.voxel_um))
    glow = light * np.exp(look.patch_spread * patches / patches.std())
    photons = rng.poisson(glow * rng.lognormal(0, look.lamp_spread, (len(light), 1, 1)) / look.gain_counts)
    counts = photons * look.gain_counts + rng.normal(look.offset_counts, look.read_noise_counts, light.shape)
    return np.asarray(counts.round().clip(0, 65535), np.uint16)


def truth(embryo: Embryo, places: Floats, look: Look) -> list[tuple[int, int, int, int]]:
    """The rosettes among `places`, z y x 3: the plane, the voxel in y and x, and how many cells meet there."""
    found = []
    for middle, cells in embryo.rosettes:
        off_um = np.linalg.norm(places[..., 1:] - middle[1:], axis=3)
        for z, plane in enumerate(off_um):
            y, x = divmod(int(plane.argmin()), plane.shape[1])
            if plane[y, x] < 2 * look.voxel_um[1]:  # else it is out of view
                found.append((z, y, x, cells))
    return found


def write(
    folder: Path, progress: Progress, dates: int = 3, embryos: int = 4, times: int = 8, size: Size = SIZE, seed: int = 0
) -> None:
    """Fill a folder with an OME-TIFF for each date, embryo of it and time point, and truth.csv; always the same."""
    look, rng, rows = Look(), default_rng(seed), ["file,z,y,x,cells\n"]
    for day in range(dates):
        date_light = rng.lognormal(0, look.embryo_spread)
        for number in range(embryos):
            embryo, brightness = tissue(rng, look, size), date_light * rng.lognormal(0, look.embryo_spread)
            for time in range(times):
                places = embryo.places(time, look, size)
                file = f"{date(2030, 1, 1) + timedelta(day):%Y%m%d}_emb{number:02d}_t{time:03d}.tif"
                _save(folder / file, expose(rng.spawn(1)[0], brightness * render(embryo, places, look), look), look)
                rows += [f"{file},{z},{y},{x},{cells}\n" for z, y, x, cells in truth(embryo, places, look)]
                progress((day * embryos + number) * times + time + 1, dates * embryos * times)
    (folder / "truth.csv").write_text("".join(rows))


def _save(path: Path, stack: NDArray[np.uint16], look: Look) -> None:
    """Write a stack z y x; nothing in the file tells when, or by which version of what, it was written."""
    sizes = {f"PhysicalSize{axis}": um for axis, um in zip("ZYX", look.voxel_um, strict=True)}
    units = {f"{size}Unit": "µm" for size in sizes}
    named = {"axes": "ZYX", "UUID": str(uuid5(NAMESPACE_URL, path.name)), "Creator": "distgan"}
    tifffile.imwrite(path, stack, ome=True, software="distgan", metadata=named | sizes | units)


def fetch(cache: Path, progress: Progress) -> Path:
    """Make the data set below `cache`, whole or not at all; a second call finds it there."""
    return made(cache / "synthetic_embryos", lambda folder: write(folder, progress))


def layout(folder: Path) -> Layout:
    """One image per file, described by its name; the files say how large a voxel is."""
    return Layout(describe=metadata)


def metadata(file: str) -> dict[str, str | int]:
    """Date, embryo (unique over all dates) and time point from a file's name; {} if it has none."""
    found = re.fullmatch(r"((\d{8})_emb\d+)_t(\d+)\.tif", file)
    return {"date": found[2], "embryo": found[1], "time": int(found[3])} if found else {}
