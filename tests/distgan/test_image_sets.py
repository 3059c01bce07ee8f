"""Images from stores, folders and models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from distgan.data.image_sets import ImageFolder, feed_of, is_model, made_by, open_images, unit_range
from distgan.model import load_model
from storage.errors import DataError, MissingError, RecipeError
from storage.patches import PatchStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures and what is none."""
    target = tmp_path / "images"
    target.mkdir()
    for number in (2, 0, 1):
        Image.fromarray(np.full((8, 16, 3), 40 * number, np.uint8)).save(target / f"{number}.png")
    (target / "notes.txt").write_text("no image")
    return target


def test_a_folder_is_a_set_in_the_order_of_names(folder: Path) -> None:
    found = open_images(folder)
    assert isinstance(found, ImageFolder)
    assert (found.shape, found.dtype, found.value_range) == ((3, 3, 8, 16), "uint8", (0.0, 80.0))
    assert found.channels == ("red", "green", "blue")
    assert found.obs.column("file").to_pylist() == ["0.png", "1.png", "2.png"]
    assert found.read(np.array([2, 0]))[:, 0, 0, 0].tolist() == [80, 0]


@pytest.mark.parametrize("shape", [(5, 3, 8, 8), (5, 1, 8, 8), (5, 8, 8)])
def test_one_npy_file_is_many_images(shape: tuple[int, ...], tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.save(tmp_path / "made.npy", values)
    found = open_images(tmp_path / "made.npy")
    assert np.array_equal(found.read(np.arange(5)), values.reshape(5, -1, 8, 8))
    assert len(found.channels) == found.shape[1]
    assert found.value_range[0] == pytest.approx(values.min())


def test_channels_may_come_last_in_npy(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 9, (5, 8, 8, 3), np.uint8)
    np.save(tmp_path / "made.npy", values)
    assert np.array_equal(open_images(tmp_path).read(np.arange(5)), values.transpose(0, 3, 1, 2))


def test_a_tiff_of_many_times_is_many_images(tmp_path: Path) -> None:
    values = np.arange(4 * 2 * 8 * 8, dtype=np.uint16).reshape(4, 1, 2, 8, 8)
    tifffile.imwrite(tmp_path / "made.tif", values, imagej=True, metadata={"axes": "TZCYX"})
    assert np.array_equal(open_images(tmp_path).read(np.arange(4)), values[:, 0])


def test_images_of_two_shapes_volumes_and_nothing_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingError, match="no images at"):
        open_images(tmp_path / "empty")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "9.png")
    with pytest.raises(DataError, match=r"9\.png is not as the first"):
        open_images(folder)
    tifffile.imwrite(tmp_path / "z.tif", np.zeros((1, 3, 1, 8, 8), np.uint8), imagej=True, metadata={"axes": "TZCYX"})
    with pytest.raises(DataError, match="more than one plane"):
        open_images(tmp_path / "z.tif")


def test_a_folder_is_scaled_as_what_it_is_compared_with(folder: Path, patches: Path) -> None:
    rows = np.array([0, 1])
    assert unit_range(open_images(folder), rows, (0, 160))[:, 0, 0, 0].tolist() == [-1.0, -0.5]
    store = open_images(patches)
    assert isinstance(store, PatchStore)
    assert torch.equal(unit_range(store, rows, (0, 1)), unit_range(store, rows, (7, 9)))


def test_a_model_makes_images_like_those_it_is_shown(finished: Path, patches: Path, folder: Path) -> None:
    assert is_model(finished / "model")
    assert not is_model(patches)
    model, store = load_model(finished / "model"), open_images(patches)
    like = feed_of(store, np.arange(70), model)
    made = made_by(model, like, 100, 3)
    assert made.shape == (100, 1, 32, 32)
    assert torch.equal(made_by(model, like, 64, 3), made[:64])
    assert not torch.equal(made_by(model, like, 64, 4), made[:64])
    with pytest.raises(RecipeError, match="makes no images such as"):
        feed_of(open_images(folder), np.arange(3), model)


def test_volumes_are_refused() -> None:
    volumes: Any = ImageFolder(Path("here"), np.zeros((2, 1, 4, 8, 8), np.uint8), ("one",), None)
    with pytest.raises(RecipeError, match="volumes"):
        feed_of(volumes, np.arange(2))
