"""Walks through latent spaces: what a dimension does is found, ordered and drawn."""

import csv
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from distgan.inference.told import samples_of
from distgan.inference.traverse import codes_of, dimensions, effects, numbers, traverse
from distgan.method import Batch
from distgan.model import Model
from storage.errors import RecipeError

COUNT = 70
METHODS = ["cell_autoencoder", "conditional_autoencoder", "conditional_beta_vae"]
Models = Callable[..., Model]
Stores = Callable[..., Any]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("edges", [(16, 16), (4, 8, 8)])
def test_a_walk_is_drawn_of_every_model(
    model_of: Models, store_of: Stores, name: str, edges: tuple[int, ...], tmp_path: Path
) -> None:
    found = traverse(model_of(name, edges), store_of(edges), tmp_path / "deep" / "walk.png", count=3, steps=5)
    assert sorted(found.order.tolist()) == [0, 1, 2, 3, 4]
    with Image.open(tmp_path / "deep" / "walk.png") as picture:
        assert np.asarray(picture).std() > 0
    lines = list(csv.DictReader((tmp_path / "deep" / "walk.csv").read_text(encoding="utf-8").splitlines()))
    assert [int(line["dimension"]) for line in lines] == found.order.tolist()
    assert {"divergence_nats", "effect", "brightness"} <= lines[0].keys()
    assert not {"structure", "batch"} & lines[0].keys()


def test_a_film_goes_there_and_back(model_of: Models, store_of: Stores, tmp_path: Path) -> None:
    traverse(model_of("conditional_beta_vae"), store_of(), tmp_path / "walk.gif", steps=4, reach=30)
    with Image.open(tmp_path / "walk.gif") as film:
        assert film.n_frames == 6  # type: ignore[attr-defined]


def test_dimensions_come_by_effect_or_by_divergence() -> None:
    codes = np.random.default_rng(0).normal(size=(50, 3))
    none = np.full((50, 3), np.nan)
    obs = pa.table({"size": codes[:, 1] * 2 + 1, "name": ["x"] * 50, "pixels": range(50)})
    features = numbers(obs) | {"same": np.ones(50)}
    found = dimensions(codes, none, np.array([1.0, 3.0, 2.0]), features)
    assert found.order.tolist() == [1, 2, 0]
    assert list(found.correlations) == ["size"]
    assert found.correlations["size"][1] == pytest.approx(1)
    assert abs(found.correlations["size"][0]) < 0.5
    told = dimensions(codes, np.tile([0.1, 0.2, 5.0], (50, 1)), np.array([1.0, 3.0, 2.0]), features)
    assert told.order.tolist() == [2, 1, 0]


def test_a_dimension_that_does_nothing_has_no_effect(model_of: Models) -> None:
    model = model_of("cell_autoencoder")
    method: Any = model.method
    method.decoder.dense[0].weight[:, 2] = 0
    found = effects(method, Batch(torch.zeros(1, 3, 16, 16)))
    assert found[2] == 0
    assert (np.delete(found, 2) > 0).all()


def test_codes_are_those_of_every_cell_in_order(model_of: Models, store_of: Stores) -> None:
    model, store = model_of("cell_autoencoder"), store_of()
    codes, divergences, features = codes_of(model, store)
    assert codes.shape == (COUNT, 5)
    assert np.isnan(divergences).all()
    wanted = store.read(np.arange(COUNT))[:, 1].reshape(COUNT, -1).mean(1) / 127.5 - 1
    np.testing.assert_allclose(features["DNA mean"], wanted, rtol=1e-4, atol=1e-5)
    last = model.method.representation(samples_of(model, store, [COUNT - 1]).images)
    np.testing.assert_allclose(codes[-1:], last, rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_refused(model_of: Models, store_of: Stores, tmp_path: Path) -> None:
    model, store = model_of("conditional_beta_vae"), store_of()
    with pytest.raises(RecipeError, match=r"cannot be written as \.jpg"):
        traverse(model, store, tmp_path / "walk.jpg")
    with pytest.raises(RecipeError, match="has no row 70"):
        traverse(model, store, tmp_path / "walk.png", row=COUNT)
    with pytest.raises(RecipeError, match="not trained on samples such as"):
        traverse(model, store_of((8, 8)), tmp_path / "walk.png")
    store.obs = store.obs.set_column(0, "structure", [["golgi", "vacuole"] * (COUNT // 2)])
    with pytest.raises(RecipeError, match="does not know the structure 'vacuole'"):
        traverse(model, store, tmp_path / "walk.png")
    store.obs = store.obs.drop_columns(["structure"])
    with pytest.raises(RecipeError, match="has no column 'structure'"):
        traverse(model, store, tmp_path / "walk.png")
    other: Any = SimpleNamespace(method=None, config=SimpleNamespace(method=SimpleNamespace(name="dcgan")))
    with pytest.raises(RecipeError, match="dcgan has no codes of cells"):
        traverse(other, store, tmp_path / "walk.png")
