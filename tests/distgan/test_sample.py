"""Images out of a model: which they are, and how they are written."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from distgan.data.batches import to_unit_range
from distgan.inference.sample import sample, write_samples, write_values
from distgan.model import Model, load_model
from storage.errors import RecipeError


@pytest.fixture(scope="module")
def model(finished: Path) -> Model:
    return load_model(finished / "model")


def quiet(done: int, total: int) -> None:
    pass


def images(model: Model, count: int, seed: int = 0) -> torch.Tensor:
    return torch.cat(list(sample(model, count, seed)))


def test_an_image_depends_on_the_seed_and_its_number_alone(model: Model) -> None:
    many = images(model, 100)
    assert many.shape == (100, 1, 32, 32)
    assert many.abs().max() <= 1
    assert torch.equal(images(model, 10), many[:10])
    torch.manual_seed(3)
    assert torch.equal(images(model, 65), many[:65])
    assert len({image.numpy().tobytes() for image in many}) == 100
    assert not torch.equal(images(model, 10, seed=1), many[:10])


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_values_are_written_as_the_store_has_them(model: Model, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / "deep" / f"samples{suffix}"
    assert write_samples(model, out, 5, seed=0, progress=quiet) == (5, 1, 32, 32)
    values = np.load(out) if suffix == ".npy" else tifffile.imread(out)[:, None]
    assert (values.dtype, values.shape) == (np.uint8, (5, 1, 32, 32))
    half_a_grey_value = 0.5 * 2 / 255 + 1e-6
    assert (to_unit_range(values, (0, 255)) - images(model, 5)).abs().max() <= half_a_grey_value


def test_a_picture_is_written_to_look_at(model: Model, tmp_path: Path) -> None:
    assert write_samples(model, tmp_path / "s.png", 9, seed=0, progress=quiet) == (9, 1, 32, 32)
    with Image.open(tmp_path / "s.png") as picture:
        assert np.asarray(picture).std() > 0


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_a_tiff_gives_back_every_channel_in_its_place(tmp_path: Path, dtype: str, channels: int) -> None:
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (3, channels, 8, 8), dtype, endpoint=True)
    write_values(tmp_path / "v.tif", values)
    with tifffile.TiffFile(tmp_path / "v.tif") as file:
        assert file.series[0].axes == ("TYX" if channels == 1 else "TCYX")
        assert np.array_equal(file.asarray().reshape(values.shape), values)


@pytest.mark.parametrize("name", ["s.jpg", "s", "s.npy.gz"])
def test_another_suffix_is_refused_and_nothing_written(model: Model, tmp_path: Path, name: str) -> None:
    with pytest.raises(RecipeError, match="cannot be written as"):
        write_samples(model, tmp_path / name, 4, seed=0, progress=quiet)
    assert list(tmp_path.iterdir()) == []
