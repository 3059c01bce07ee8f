"""Stores of what was made in memory are stores like any others."""

from pathlib import Path

import numpy as np
import ome_zarr_models.v05 as ome_zarr
import pyarrow as pa
import pytest
import zarr

from storage.errors import RecipeError
from storage.made import write_embeddings, write_images, write_patches
from storage.store import read_box
from storage.verify import verify

FACTS = {"channels": ["DNA", "actin"], "value_range": [0, 255], "pixel_um": [0.5, 0.5], "source": "abc", "recipe": {}}


@pytest.mark.parametrize("sample", [(2, 8, 6), (2, 4, 8, 6)])
def test_samples_come_back_as_they_were(tmp_path: Path, sample: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (23, *sample), np.uint8)
    facts = FACTS | {"pixel_um": [0.5] * (len(sample) - 1), "model": "abc"}
    store = write_patches(tmp_path / "made.zarr", images, pa.table({"step": range(23)}), facts)
    np.testing.assert_array_equal(store.read(np.arange(23)), images)
    assert (store.channels, store.value_range) == (("DNA", "actin"), (0, 255))
    assert store.obs.column("step").to_pylist() == list(range(23))
    assert store.manifest.facts["model"] == "abc"
    assert not verify(tmp_path / "made.zarr")


def test_features_come_back_as_they_were(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    features = {"codes": random.normal(size=(9, 4)).astype(np.float32), "error": np.ones((9, 1), np.float32)}
    store = write_embeddings(tmp_path / "codes.zarr", features, pa.table({"row": range(9)}), {"model": "abc"})
    np.testing.assert_array_equal(store.read("codes"), features["codes"])
    assert store.sizes == {"codes": 4, "error": 1}


def test_images_come_back_as_they_were_and_any_viewer_knows_their_channels(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 2, 8, 6), np.uint8)
    obs = pa.table({"file": [f"cell {number}" for number in range(5)], "row": range(5)})
    store = write_images(tmp_path / "made.ome.zarr", images, obs, FACTS)
    (series,) = store.series
    np.testing.assert_array_equal(read_box(store.array(series), (slice(0, 5),))[:, :, 0], images)
    assert (series.channels, series.pixel_um) == (("DNA", "actin"), (None, 0.5, 0.5))
    assert store.images.column("row").to_pylist() == list(range(5))
    assert store.files.column("max").to_pylist() == images.max((1, 2, 3)).tolist()
    assert not verify(tmp_path / "made.ome.zarr")
    found = ome_zarr.Image.from_zarr(zarr.open_group(tmp_path / "made.ome.zarr/0", mode="r"))
    assert found.ome_attributes.multiscales[0].axes[1].type == "channel"


def test_nothing_is_written_over(tmp_path: Path) -> None:
    images, obs = np.zeros((3, 2, 8, 8), np.uint8), pa.table({"step": range(3)})
    write_patches(tmp_path / "made.zarr", images, obs, FACTS)
    with pytest.raises(RecipeError):
        write_patches(tmp_path / "made.zarr", images, obs, FACTS)
