"""Many structures in one cell: its own reference stays, and each structure is of its class."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from distgan.inference.integrate import integrate
from distgan.inference.told import samples_of
from distgan.method import Batch
from distgan.model import Model
from storage.errors import RecipeError

CLASSES = ("golgi", "lamin", "nucleoli")
Models = Callable[..., Model]
Stores = Callable[..., Any]


@pytest.mark.parametrize("name", ["conditional_autoencoder", "conditional_beta_vae"])
@pytest.mark.parametrize("edges", [(16, 16), (4, 8, 8)])
def test_every_structure_is_put_into_each_cell(
    model_of: Models, store_of: Stores, name: str, edges: tuple[int, ...], tmp_path: Path
) -> None:
    model, store = model_of(name, edges), store_of(edges)
    rows = [4, 9]
    assert integrate(model, store, rows, tmp_path / "cells.npy") == (2, 3, 3, *edges)
    found = np.load(tmp_path / "cells.npy")
    real = store.read(np.array(rows))
    assert (found[:, :, :2] == real[:, None, :2]).all()
    method: Any = model.method
    cells = samples_of(model, store, rows)
    for kind in range(len(CLASSES)):
        wanted = method.decoded(torch.zeros(2, 5), Batch(cells.images, {"structure": torch.full((2,), kind)}))
        grey = (wanted[:, 2].numpy() + 1) * 127.5
        assert np.abs(found[:, kind, 2] - grey).max() <= 0.51
    assert len({found[0, kind, 2].tobytes() for kind in range(3)}) == 3


def test_draws_differ_and_depend_on_the_seed_and_the_row_alone(
    model_of: Models, store_of: Stores, tmp_path: Path
) -> None:
    model, store = model_of("conditional_autoencoder"), store_of()
    assert integrate(model, store, [4, 9], tmp_path / "a.npy", draws=3)[0] == 6
    integrate(model, store, [9], tmp_path / "b.npy", draws=3)
    integrate(model, store, [9], tmp_path / "c.npy", draws=3, seed=1)
    a, b, c = (np.load(tmp_path / f"{name}.npy") for name in "abc")
    assert (a[3:] == b).all()
    assert not (b == c).all()
    assert not (b[0] == b[1]).all()


def test_a_picture_is_written_to_look_at(model_of: Models, store_of: Stores, tmp_path: Path) -> None:
    integrate(model_of("conditional_beta_vae", (4, 8, 8)), store_of((4, 8, 8)), [0, 1], tmp_path / "s.png", draws=2)
    with Image.open(tmp_path / "s.png") as picture:
        assert np.asarray(picture).std() > 0


def test_what_does_not_fit_is_refused(model_of: Models, store_of: Stores, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="knows no structures"):
        integrate(model_of("cell_autoencoder"), store_of(), [0], tmp_path / "s.png")
    with pytest.raises(RecipeError, match=r"cannot be written as \.tif"):
        integrate(model_of("conditional_beta_vae"), store_of(), [0], tmp_path / "s.tif")
    with pytest.raises(RecipeError, match="has no row -1"):
        integrate(model_of("conditional_beta_vae"), store_of(), [-1], tmp_path / "s.png")
