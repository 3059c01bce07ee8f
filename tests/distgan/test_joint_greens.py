"""Greens that go together as planted are told from greens of different cells."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from distgan.codes import Prior
from distgan.metrics.green_place import MEASURES, apart, between, correlations, measured, pairs
from distgan.metrics.red_object import lengths
from distgan.score import Asked
from distgan.scores import joint_greens as module
from storage.datasets.synthetic_yeast import PROTEINS, SIZE, grow
from storage.drawing import philox
from storage.errors import RecipeError
from storage.made import write_patches


@pytest.fixture(scope="module")
def cells() -> Any:
    return module.planted(60, 0)


def test_places_are_measured_in_pixels_along_x() -> None:
    image = np.full((1, 3, 5, 21), 0.1)
    image[0, 0, 2, 10] = 1
    image[0, 1, 1, [4, 8]] = 0.9
    image[0, 2, 3, 12] = 0.5
    found = measured(image)
    assert found["shift"] == pytest.approx(np.array([[-4, 2]]))
    assert found["spread"] == pytest.approx(np.array([[2, 0]]), abs=1e-9)
    assert found["brightness"][0].tolist() == pytest.approx([0.1 + 2 * 0.8 / 105, 0.1 + 0.4 / 105])


def test_correlations_are_of_ranks_and_their_distance_over_pairs() -> None:
    x = np.arange(10.0)
    values = np.stack([x, x**3, -x, np.ones(10)], 1)
    found = correlations(values)
    assert found[:3, :3] == pytest.approx(np.array([[1, 1, -1], [1, 1, -1], [-1, -1, 1]]))
    assert np.isnan(found[3]).all()
    assert between(values[:, :1], values[:, 1:3])[0] == pytest.approx([1, -1])
    assert apart(found, -found) == pytest.approx(2)
    assert pairs(("a", "b"), {"x": found[:2, :2]}) == [{"one": "a", "other": "b", "x": pytest.approx(1)}]


def test_planted_cells_are_those_of_the_data_set(cells: Any) -> None:
    assert cells.shape == (60, 7, *SIZE)
    assert 0 <= cells.min() < cells.max() <= 1
    found = {of: correlations(measured(cells)[of]) for of in MEASURES}
    one, other = PROTEINS.index("cytoplasm"), PROTEINS.index("nucleus")
    assert found["spread"][one, other] > 0.5, "both grow longer with the cell"
    mixed = measured(module._mixed(cells, 0))
    assert abs(correlations(mixed["spread"])[one, other]) < 0.35
    stages = [grow(philox(0, 3, number)).stage for number in range(60)]
    assert np.corrcoef(lengths(cells[:, 0]), stages)[0, 1] > 0.95


def test_planted_cells_of_half_the_size_are_the_same_cells(cells: Any) -> None:
    half = module.planted(60, 0, (24, 40))
    assert half.shape == (60, 7, 24, 40)
    assert half.mean((2, 3)) == pytest.approx(cells.mean((2, 3)), rel=0.05)
    assert lengths(half[:, 0]) == pytest.approx(lengths(cells[:, 0]) / 2, rel=0.15)
    nucleus = PROTEINS.index("nucleus")
    both = [measured(one)["spread"][:, nucleus] for one in (half, cells)]
    assert np.corrcoef(both)[0, 1] > 0.9


class Oracle:
    """Makes planted cells: a code is a row of them, and the smallest red code has the smallest cell."""

    def __init__(self, cells: Any) -> None:
        self.known = torch.from_numpy(cells).float() * 2 - 1
        self.shown = ("red", *PROTEINS)
        self.prior = Prior(4, red=2)

    def cells(self, codes: torch.Tensor) -> torch.Tensor:
        return self.known[(codes[:, 0].sigmoid() * len(self.known)).long().clamp(max=len(self.known) - 1)]

    def reds(self, codes: torch.Tensor) -> torch.Tensor:
        return self.cells(codes)[:, :1]

    def decoded(self, codes: torch.Tensor, batch: Any) -> torch.Tensor:
        return self.cells(codes)[:, :2]


def test_a_model_of_planted_cells_is_better_than_greens_of_different_cells(
    cells: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    images = np.stack([255 * cells[:, 0], 255 * cells[:, 1]], 1).round().astype(np.uint8)
    obs = pa.table({"protein": [PROTEINS[row % 6] for row in range(60)]})
    facts = {
        "channels": ["red", "green"],
        "value_range": [0, 255],
        "pixel_um": [None, None],
        "source": "",
        "recipe": {},
    }
    store = write_patches(tmp_path / "cells.zarr", images, obs, facts)
    from distgan.config.sections import Data

    config = SimpleNamespace(
        data=Data.model_validate({"store": str(store.path)}), method=SimpleNamespace(name="star_gan", column="protein")
    )
    method = Oracle(module.planted(60, 9))
    sample = SimpleNamespace(shape=(2, *SIZE), classes={"protein": PROTEINS})
    method.sample = sample  # type: ignore[attr-defined]
    card: dict[str, Any] = {"image_shape": [2, *SIZE]}
    model = SimpleNamespace(method=method, config=config, card=card)
    monkeypatch.setattr(module, "load_model", lambda folder: model)
    settings = module.Settings(cells=60, films=2, steps=5)
    told = module.score(Asked("model", settings, tmp_path))
    rows = told.facts["greens with each other, distance from the planted correlations"]
    assert [row["measure"] for row in rows] == list(MEASURES)
    spread = rows[0]
    assert spread["made"] < 0.6 * spread["of different cells"]
    assert len(told.tables["pairs"]) == 3 * 15
    assert told.figures["pairs"]().axes[0].get_xlabel().startswith("planted")
    along = {row["protein"]: row for row in told.facts["greens with the stage, correlation of spread and length"]}
    assert along["nucleus"]["planted"] > 0.5
    assert along["ring"]["planted"] < -0.5
    card["image_shape"] = [2, 64, 64]
    with pytest.raises(RecipeError, match="joint statistics of these proteins are not known"):
        module.score(Asked("model", settings, tmp_path))
