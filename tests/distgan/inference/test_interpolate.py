"""Walks begin and end where they should, and are written as stores, a grid and a film."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from distgan.codes import Prior
from distgan.data.batches import from_unit_range
from distgan.inference.interpolate import between_samples, between_treatments, drawn, interpolate, path
from distgan.inference.invert import Search
from distgan.inference.latent import slerp
from distgan.inference.told import samples_of
from distgan.model import Model
from storage.embeddings import EmbeddingStore
from storage.errors import RecipeError
from storage.patches import PatchStore

Models = Callable[..., Model]
Stores = Callable[..., Any]


def quiet(done: int, total: int) -> None:
    pass


def carded(model: Model) -> Model:
    """With all that a card has which frames are written by."""
    model.card.update({"method": model.config.method.name, "pixel_um": [None, None]})
    return model


def test_a_walk_of_drawn_codes_is_written(model_of: Models, tmp_path: Path) -> None:
    model = carded(model_of("cell_autoencoder"))
    walks = drawn(model, 3, seed=1, columns={})
    told = interpolate(model, walks, tmp_path / "walk", steps=5)
    frames, codes = PatchStore.open(tmp_path / "walk/frames.zarr"), EmbeddingStore.open(tmp_path / "walk/codes.zarr")
    assert frames.shape == (15, 3, 16, 16)
    assert frames.obs.column("walk").to_pylist()[::5] == ["drawn 0", "drawn 1", "drawn 2"]
    found = torch.from_numpy(codes.read("codes"))
    torch.testing.assert_close(found[[0, 4, 5, 9, 10, 14]], walks.stops.flatten(0, 1))
    torch.testing.assert_close(found[7], slerp(*walks.stops[1], 0.5))
    method: Any = model.method
    wanted = from_unit_range(method.decoded(found, walks.told), (0, 255), "uint8")
    np.testing.assert_array_equal(frames.read(np.arange(15)), wanted)
    changes = np.asarray(frames.obs.column("change").to_pylist()).reshape(3, 5)
    assert (changes[:, 0] == 0).all()
    assert told["largest change"] == pytest.approx(changes.max())
    with Image.open(tmp_path / "walk/film.gif") as film:
        assert film.n_frames == 8  # type: ignore[attr-defined]
        assert min(film.size) >= 2 * 128
    with Image.open(tmp_path / "walk/grid.png") as grid:
        assert np.asarray(grid).std() > 0


def test_a_walk_goes_through_every_stop() -> None:
    stops = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(0))
    for way in ("auto", "slerp", "lerp"):
        codes = path(stops, 5, way, Prior(4, 2))
        assert codes.shape == (2, 9, 6)
        torch.testing.assert_close(codes[:, [0, 4, 8]], stops)
    line, both = path(stops, 3, "lerp", None), path(stops, 3, "auto", Prior(4, 2))
    torch.testing.assert_close(both[..., 4:], line[..., 4:])
    assert not torch.allclose(both[:, 1, :4], line[:, 1, :4])
    torch.testing.assert_close(path(stops, 3, "auto", None), line)


@pytest.mark.parametrize("name", ["cell_autoencoder", "conditional_beta_vae"])
def test_samples_are_walked_between_by_their_codes(model_of: Models, store_of: Stores, name: str) -> None:
    model, store = model_of(name), store_of()
    walks = between_samples(model, store, [[40, 3], [3, 7]], Search(), quiet)
    method: Any = model.method
    for line, rows in zip(walks.stops, ([40, 3], [3, 7]), strict=True):
        torch.testing.assert_close(line, method.codes(samples_of(model, store, rows)))
    torch.testing.assert_close(walks.told.images, samples_of(model, store, [40, 3]).images)
    assert walks.names == ("40 to 3", "3 to 7")


def test_treatments_are_walked_between_by_their_means(model_of: Models, store_of: Stores) -> None:
    model, store = model_of("cell_autoencoder"), store_of()
    ends = (("structure", "golgi"), ("structure", "lamin"))
    walks = between_treatments(model, store, *ends, 4, Search(), quiet)
    assert walks.stops.shape == (5, 2, 5)
    method: Any = model.method
    means = [method.codes(samples_of(model, store, range(first, 70, 3))).mean(0) for first in (0, 1)]
    torch.testing.assert_close(walks.stops[0], torch.stack(means))
    torch.testing.assert_close(walks.stops[1:, 1] - walks.stops[1:, 0], (means[1] - means[0]).expand(4, 5))
    with pytest.raises(RecipeError, match="has structure = 'vacuole'"):
        between_treatments(model, store, ends[0], ("structure", "vacuole"), 4, Search(), quiet)


def test_a_conditional_model_must_be_told(model_of: Models) -> None:
    model = model_of("conditional_beta_vae")
    with pytest.raises(RecipeError, match="must be told structure"):
        drawn(model, 2, 0, {})
    with pytest.raises(RecipeError, match="does not know the structure 'vacuole'"):
        drawn(model, 2, 0, {"structure": "vacuole"})
    assert drawn(model, 2, 0, {"structure": "lamin"}).told.columns["structure"].tolist() == [1, 1]


def test_only_separable_models_walk_in_red(model_of: Models, tmp_path: Path) -> None:
    model = carded(model_of("cell_autoencoder"))
    with pytest.raises(RecipeError, match="no red codes"):
        interpolate(model, drawn(model, 1, 0, {}), tmp_path / "walk", steps=3, red_only=True)
