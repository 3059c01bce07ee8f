"""Planes on the disk: OME-Zarr that others read, edited, and made images again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from ome_zarr_models.v05.image import Image

from distgan.inference import large, tiles
from distgan.inference.canvas import mirrored
from distgan.inference.large import edit_plane, write_plane
from distgan.model import Model
from storage.cuts import Cut
from storage.errors import RecipeError
from storage.preprocess import Preparation, prepare
from storage.store import ImageStore
from storage.verify import verify

SIZE = (100, 150)
Tissues = Callable[..., Model]


def quiet(done: int, total: int) -> None:
    pass


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (tiles, large):
        monkeypatch.setattr(module, "TILE", 64)


@pytest.mark.usefixtures("small_tiles")
def test_a_plane_is_an_image_store_with_labels(tissue_of: Tissues, tmp_path: Path) -> None:
    out = tmp_path / "plane.ome.zarr"
    told: list[Any] = []
    shape, found = write_plane(tissue_of("sgan"), out, 0, SIZE, None, lambda *one: told.append(one))
    assert shape == (1, *SIZE)
    assert told == [(number + 1, 6) for number in range(6)]
    assert found is not None
    store = ImageStore.open(out)
    series = store.series[0]
    assert (series.shape, series.labels) == ((1, 1, 1, *SIZE), ("membranes", "mitochondria"))
    assert store.array(series)[:].std() > 5
    assert set(np.unique(store.array(series, "membranes")[:])) == {0, 1}
    assert not list(verify(out))
    described = Image.from_zarr(zarr.open_group(out / "0", mode="r")).ome_attributes.multiscales[0]
    assert described.axes[-1].unit == "micrometer"


@pytest.mark.usefixtures("small_tiles")
def test_a_plane_is_edited_and_made_an_image_again(tissue_of: Tissues, tmp_path: Path) -> None:
    plane, better, images = (tmp_path / f"{name}.ome.zarr" for name in ("plane", "edited", "images"))
    write_plane(tissue_of("label_gan"), plane, 0, SIZE, None, quiet)
    changed = edit_plane(plane, better, concave="drop", smallest=16)
    assert changed["mitochondria"] > 0
    model = tissue_of("label_to_image")
    write_plane(model, images, 0, None, better, quiet)
    first, second, third = map(ImageStore.open, (plane, better, images))
    for name in ("membranes", "mitochondria"):
        of = [store.array(store.series[0], name)[:] for store in (first, second, third)]
        assert np.array_equal(of[1], of[2])
        assert (of[1] <= of[0]).all()
    assert third.array(third.series[0])[:].std() > 5


@pytest.mark.usefixtures("small_tiles")
def test_a_plane_can_be_prepared_as_any_images(tissue_of: Tissues, tmp_path: Path) -> None:
    write_plane(tissue_of("sgan"), tmp_path / "plane.zarr", 0, SIZE, None, quiet)
    prepared = prepare(tmp_path / "plane.zarr", tmp_path / "patches.zarr", Preparation(Cut("tiled", (32, 32))))
    store: Any = getattr(prepared, "store", prepared)
    assert store.shape == (12, 1, 32, 32)
    assert store.labels == ("membranes", "mitochondria")


def test_what_stands_there_and_what_is_not_there_is_refused(tissue_of: Tissues, images: Path, tmp_path: Path) -> None:
    model = tissue_of("label_to_image")
    with pytest.raises(RecipeError, match="stands"):
        write_plane(model, tmp_path, 0, SIZE, None, quiet)
    with pytest.raises(RecipeError, match="not one plane"):
        write_plane(model, tmp_path / "new", 0, None, images, quiet)
    with pytest.raises(RecipeError, match="has no label images"):
        edit_plane(images, tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_beyond_a_border_is_a_mirror() -> None:
    assert mirrored(slice(-3, 8), 4).tolist() == [2, 1, 0, 0, 1, 2, 3, 3, 2, 1, 0]
