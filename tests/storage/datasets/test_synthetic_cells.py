"""Synthetic cells: shape and place can be measured again, structures follow the shape, and every time the same."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from storage.datasets import synthetic_cells as cells
from storage.drawing import philox
from storage.errors import MissingError

FLAT = cells.Grid((1, 128, 128), (0.5, 0.24, 0.24))
SOLID = cells.Grid((12, 48, 48), (1.0, 0.66, 0.66))
SMALL = {"flat": 2, "solid": 1, "grids": (FLAT, SOLID)}
each = pytest.mark.parametrize("structure", cells.STRUCTURES)


def silent(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cells")
    cells.write(folder, silent, **SMALL)
    return folder


def shape_of(label: np.ndarray, grid: cells.Grid) -> tuple[np.ndarray, float]:
    """Middle in y, x from the image's (micrometres), and angle of the long axis."""
    places = (np.argwhere(label[0]) - (np.array(grid.size[1:]) - 1) / 2) * grid.voxel_um[1:]
    _, axes = np.linalg.eigh(np.cov(places.T))
    return places.mean(0), float(np.arctan2(axes[0, -1], axes[1, -1]))


def test_every_file_is_described(folder: Path) -> None:
    describe, planted = cells.layout(folder).describe, cells.planted(folder)
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if path.suffix != ".csv"]
    assert len(files) == 3 * len(planted) == 45
    for file in files:
        known = describe(file)
        assert file.startswith(f"{known['dims']}d/")
        assert known["structure"] == planted[known["cell"]].structure
        assert known.get("labels", "image") in ("image", *cells.LABELS)
    assert describe("truth.csv") is describe("2d/golgi.png") is None


def test_the_image_of_a_cell_is_as_its_layout_says(folder: Path) -> None:
    flat = np.asarray(Image.open(folder / "2d/lamin_0001.png"))
    assert flat.shape == (128, 128, 3)
    with tifffile.TiffFile(folder / "3d/lamin_0000.tif") as file:
        assert file.series[0].axes == "ZCYX"
        assert file.series[0].shape == (12, 3, 48, 48)
        assert file.series[0].dtype == np.uint16
        assert file.imagej_metadata["spacing"] == 1.0
    assert tifffile.imread(folder / "3d/lamin_0000_nucleus.tif").shape == (12, 48, 48)


def test_labels_match_the_image(folder: Path) -> None:
    for name in cells.planted(folder):
        if name.startswith("2d"):
            image = np.moveaxis(np.asarray(Image.open(folder / f"{name}.png"), float), -1, 0)
            cell, nucleus = (np.asarray(Image.open(folder / f"{name}_{label}.png")) for label in cells.LABELS)
        else:
            image = np.moveaxis(tifffile.imread(folder / f"{name}.tif").astype(float), 1, 0)
            cell, nucleus = (tifffile.imread(folder / f"{name}_{label}.tif") for label in cells.LABELS)
        assert cell.shape == nucleus.shape == image.shape[1:]
        assert np.unique(cell).tolist() == np.unique(nucleus).tolist() == [0, 1]
        assert (nucleus <= cell).all()
        edges = [np.take(cell, end, axis).any() for axis in range(cell.ndim) for end in (0, -1)]
        assert not any(edges)
        for channel, offset in zip(image, (14 if name.startswith("2d") else 420,) * 3, strict=True):
            values, counts = np.unique(channel, return_counts=True)
            assert abs(values[counts.argmax()] - offset) < 0.05 * offset  # the mode is the background
        assert image[2][nucleus > 0].mean() > 2 * image[2][nucleus == 0].mean()


def test_place_and_angle_are_in_the_label_images() -> None:
    for key in range(20):
        one = cells.grow(philox(key), "golgi")
        _, labels = cells.photograph(philox(key, 1), one, FLAT)
        (cell, angle), (nucleus, _) = (shape_of(labels[name], FLAT) for name in cells.LABELS)
        axis = np.array((np.sin(one.angle), np.cos(one.angle)))
        assert abs(np.sin(angle - one.angle)) < 0.35
        # The curve of the cell shifts what lies about its middle towards -v.
        assert (nucleus - (one.y, one.x)) @ axis == pytest.approx(one.nucleus_u * one.a, abs=0.6)
        assert (cell - (one.y, one.x)) @ axis > 0  # the wide end is ahead


def test_a_mirrored_and_turned_cell_is_the_same_cell() -> None:
    one = replace(cells.grow(philox(0), "golgi"), angle=0.0, flip=1, y=0.0, x=0.0)
    upright = cells.expected(one, FLAT)
    np.testing.assert_allclose(cells.expected(replace(one, flip=-1), FLAT), upright[:, ::-1], atol=1e-9)
    turned = cells.expected(replace(one, angle=np.pi / 2), FLAT)
    np.testing.assert_allclose(np.rot90(turned[0]), upright[0], atol=1e-9)
    assert not np.allclose(upright, upright[:, ::-1], atol=0.1)


@each
def test_the_mean_image_of_a_shape_is_what_is_expected(structure: str) -> None:
    one = cells.grow(philox(7), structure)
    seen = np.mean([cells.photograph(philox(8, key), one, FLAT)[0][1] for key in range(25)], axis=0) - 14.0
    agreement = {
        name: np.corrcoef(seen.ravel(), cells.expected(one, FLAT, name).ravel())[0, 1] for name in cells.STRUCTURES
    }
    assert max(agreement, key=agreement.__getitem__) == structure
    assert agreement[structure] > 0.9


@each
def test_structures_follow_the_shape(structure: str) -> None:
    """What is expected of one cell does not fit another, though both are aligned."""
    first, second = (replace(cells.grow(philox(key), structure), angle=0.0, flip=1, y=0.0, x=0.0) for key in (1, 5))
    shown = [cells.expected(one, FLAT).ravel() for one in (first, second)]
    assert np.corrcoef(shown)[0, 1] < 0.9


def test_flat_is_the_middle_of_solid() -> None:
    one, odd = cells.grow(philox(3), "mitochondria"), cells.Grid((13, *FLAT.size[1:]), FLAT.voxel_um)
    np.testing.assert_array_equal(cells.expected(one, odd)[6], cells.expected(one, FLAT)[0])


def test_the_same_bytes_every_time(folder: Path, tmp_path: Path) -> None:
    cells.write(tmp_path, silent, **SMALL)
    for path in folder.rglob("*.*"):
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_a_second_fetch_finds_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "write", partial(cells.write, flat=1, solid=1, grids=(FLAT, SOLID)))
    steps: list[tuple[int, int]] = []
    folder = cells.fetch(tmp_path, lambda done, total: steps.append((done, total)))
    assert steps == [(done, 10) for done in range(1, 11)]
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic_cells"]
    monkeypatch.delattr(cells, "write")
    assert cells.fetch(tmp_path, silent) == folder


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"truth\.csv"):
        cells.planted(tmp_path)
