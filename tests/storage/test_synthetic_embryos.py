"""Synthetic embryos: what is planted is there, what is written can be read, and every time the same."""

import csv
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile

from storage.datasets import load_dataset
from storage.datasets import synthetic_embryos as embryos

SIZE = (3, 96, 96)
LOOK = embryos.Look()


def write(folder: Path, *, seed: int = 0, dates: int = 1, times: int = 2) -> Path:
    folder.mkdir(parents=True)
    embryos.write(folder, lambda done, total: None, dates=dates, embryos=2, times=times, size=SIZE, seed=seed)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def meeting(embryo: embryos.Embryo, place: np.ndarray, tolerance_um: float) -> int:
    """How many cells are about equally near to a place, counted without the module's own search."""
    reach = np.linalg.norm(embryo.seeds_um - place, axis=1) - embryo.bulges_um
    return int((reach < reach.min() + tolerance_um).sum())


@pytest.fixture(scope="module")
def grown() -> list[embryos.Embryo]:
    rng = np.random.default_rng(3)
    return [embryos.tissue(rng, LOOK, SIZE) for _ in range(30)]


def test_cells_meet_all_along_the_axis_of_a_rosette(grown: list[embryos.Embryo]) -> None:
    half_um = (SIZE[0] - 1) / 2 * LOOK.voxel_um[0]
    for embryo in grown:
        for middle, cells in embryo.rosettes:
            assert 5 <= cells <= 8
            for height_um in np.linspace(-half_um, half_um, 7):
                assert meeting(embryo, middle + np.array((height_um, 0, 0)), 1e-9) == cells
    assert sum(len(embryo.rosettes) for embryo in grown) > 10


def test_the_truth_names_the_voxels_where_they_meet(grown: list[embryos.Embryo]) -> None:
    """A voxel is up to half a diagonal off the axis, and the strain stretches it."""
    found = 0
    for time, embryo in enumerate(grown):
        places = embryo.places(time, LOOK, SIZE)
        for z, y, x, cells in embryos.truth(embryo, places, LOOK):
            assert meeting(embryo, places[z, y, x], 0.75) == cells
            found += 1
    assert found > 30


def test_elsewhere_few_cells_meet(grown: list[embryos.Embryo]) -> None:
    """At the corners of cells that nobody planted: as in any foam, three, and now and then four."""
    counts = []
    for embryo in grown:
        places = embryo.places(0, LOOK, SIZE)
        far = np.linalg.norm(places @ embryo.to_ball.T, axis=3) < 1
        for middle, _ in embryo.rosettes:
            far &= np.linalg.norm(places[..., 1:] - middle[1:], axis=3) > 2
        counts += [meeting(embryo, place, 0.25) for place in places[far][::7]]
    corners = np.array([count for count in counts if count >= 3])
    assert len(corners) > 100
    assert np.mean(corners <= 4) > 0.99


def test_the_truth_follows_the_tissue(grown: list[embryos.Embryo]) -> None:
    """From one time point to the next a rosette moves, but by little."""
    moves = []
    for embryo in grown:
        first, second = (
            {row[::3]: row[1:3] for row in embryos.truth(embryo, embryo.places(time, LOOK, SIZE), LOOK)}
            for time in (0, 1)
        )
        moves += [np.hypot(*np.subtract(first[key], second[key])) for key in first.keys() & second.keys()]
    assert 0.2 < np.mean(moves) < 4


def test_light_comes_from_membranes_and_fades_with_depth(grown: list[embryos.Embryo]) -> None:
    """A rosette's middle is brighter than its cells; outside the embryo it is dark."""
    for embryo in grown[:8]:
        places = embryo.places(0, LOOK, SIZE)
        light = embryos.render(embryo, places, LOOK)
        radius = np.linalg.norm(places @ embryo.to_ball.T, axis=3)
        assert light.shape == SIZE
        assert light.min() >= 0
        for z, y, x, _ in embryos.truth(embryo, places, LOOK):
            assert light[z, y, x] > np.median(light[z][radius[z] < 0.9])
        if (radius > 1.3).any():
            assert light[radius > 1.3].mean() < 0.3 * light[radius < 0.9].mean()


def test_the_camera_adds_offset_and_noise() -> None:
    counts = embryos.expose(np.random.default_rng(0), np.full((4, 64, 64), 600.0), LOOK)
    assert counts.dtype == np.uint16
    assert counts.mean() == pytest.approx(LOOK.offset_counts + 600, rel=0.1)
    shot = np.sqrt(600 * LOOK.gain_counts)
    assert 0.7 * shot < counts.std() < 2 * np.hypot(shot, LOOK.read_noise_counts)


def test_the_display_range_shows_the_tissue() -> None:
    rng = np.random.default_rng(0)
    embryo = embryos.tissue(rng, LOOK, SIZE)
    counts = embryos.expose(rng, embryos.render(embryo, embryo.places(0, LOOK, SIZE), LOOK), LOOK)
    low, high = np.percentile(counts, (1, 99))
    assert embryos.DISPLAY_LOW - 200 < low < high < embryos.DISPLAY_HIGH + 200


def test_files_hold_planes_and_voxel_sizes(tmp_path: Path) -> None:
    folder = write(tmp_path / "set")
    files = sorted(folder.glob("*.tif"))
    assert len(files) == 4
    with tifffile.TiffFile(files[0]) as file:
        assert file.series[0].axes == "ZYX"
        assert file.series[0].shape == SIZE
        assert file.series[0].dtype == np.uint16
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert [pixels[f"PhysicalSize{axis}"] for axis in "ZYX"] == list(LOOK.voxel_um)
    assert {pixels[f"PhysicalSize{axis}Unit"] for axis in "ZYX"} == {"µm"}


def test_every_row_of_the_truth_is_inside_a_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", dates=2)
    with (folder / "truth.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert rows
    for row in rows:
        assert (folder / row["file"]).is_file()
        assert all(0 <= int(row[axis]) < limit for axis, limit in zip("zyx", SIZE, strict=True))
        assert 5 <= int(row["cells"]) <= 8


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    first = content(write(tmp_path / "first"))
    assert content(write(tmp_path / "second")) == first
    assert content(write(tmp_path / "other", seed=1)) != first


def test_neighbours_in_time_are_alike_and_embryos_are_not(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", times=3)
    stack = {path.name[9:19]: tifffile.imread(path).ravel() for path in folder.glob("*.tif")}
    near = np.corrcoef(stack["emb00_t000"], stack["emb00_t001"])[0, 1]
    assert near > np.corrcoef(stack["emb00_t000"], stack["emb00_t002"])[0, 1]
    assert near > np.corrcoef(stack["emb00_t000"], stack["emb01_t000"])[0, 1] + 0.1


def test_names_tell_date_embryo_and_time() -> None:
    expected = {"date": "20300102", "embryo": "20300102_emb03", "time": 12}
    assert embryos.metadata("20300102_emb03_t012.tif") == expected
    assert embryos.metadata("truth.csv") == {}
    assert embryos.layout(Path()).describe("20300102_emb03_t012.tif") == expected
    assert set(embryos.ABOUT.groups) <= expected.keys()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embryos, "write", partial(embryos.write, dates=1, embryos=2, times=2, size=(3, 32, 32)))


@pytest.mark.usefixtures("small")
def test_a_second_fetch_finds_the_first(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    folder = load_dataset("synthetic_embryos").fetch(tmp_path, lambda done, total: steps.append((done, total)))
    assert folder == tmp_path / "synthetic_embryos"
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    written = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert load_dataset("synthetic_embryos").fetch(tmp_path, lambda done, total: steps.append((done, total))) == folder
    assert len(steps) == 4
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == written


@pytest.mark.usefixtures("small")
def test_an_interrupted_fetch_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embryos.fetch(tmp_path, interrupt)
    assert list(tmp_path.iterdir()) == []
    folder = embryos.fetch(tmp_path, lambda done, total: None)
    assert len(list(folder.glob("*.tif"))) == 4
