"""`distgan evaluate tissue`: planted tissue, the same again, and what is not like it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from distgan.engine.trainer import Trainer
from distgan.inference.canvas import canvas
from distgan.model import save_model
from distgan.score import Asked, Told
from distgan.scores.tissue import Settings, score
from storage.cuts import Cut
from storage.errors import RecipeError
from storage.patches import PatchStore
from storage.preprocess import Preparation, prepare
from storage.store import Series

EDGE, PERIOD = 384, 24
STRUCTURES = ("membranes", "mitochondria")


def planted(seed: int, radius: float = 5.0) -> NDArray[np.bool_]:
    """Cells with bent walls and a mitochondrion in every second one, L H W."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:EDGE, :EDGE].astype(np.float64)
    y, x = y + 3 * np.sin(x / 9 + seed), x + 3 * np.sin(y / 7)
    membranes = (y % PERIOD < 3) | (x % PERIOD < 3)
    mitochondria = np.zeros_like(membranes)
    for row, column in np.argwhere(random.random((EDGE // PERIOD,) * 2) < 0.5):
        centre = (np.asarray([row, column]) + 0.5) * PERIOD + random.normal(0, 2, 2)
        mitochondria |= np.hypot(y - centre[0], x - centre[1]) < radius * random.uniform(0.8, 1.2)
    return np.stack([membranes, mitochondria & ~membranes])


def store_of(folder: Path, seed: int, radius: float = 5.0, cut: int = 96) -> Path:
    labels = planted(seed, radius)
    series = Series("0", (1, 1, 1, EDGE, EDGE), "uint8", ("electrons",), (None, 0.01, 0.01), STRUCTURES)
    plane = folder / f"{seed}-{radius}-{cut}.ome.zarr"
    with canvas(plane, series, (EDGE, EDGE), {}) as write:
        write(slice(0, EDGE), slice(0, EDGE), 200 * (1 - labels[:1].astype(np.uint8)), labels)
    patches = plane.with_name(plane.name.replace(".ome", ""))
    prepare(plane, patches, Preparation(Cut("tiled", (cut, cut))))
    return patches


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_of(tmp_path_factory.mktemp("real"), 0)


def told(target: Path, **keys: Any) -> dict[str, Any]:
    settings = Settings.model_validate({"split": {"by": "y", "held_out": 0.5}, "repeats": 5} | keys)
    found: Told = score(Asked(str(target), settings, Path()))
    assert set(found.tables) == {"global statistics", "shape features"}
    return json.loads(json.dumps(found.facts, allow_nan=False))  # type: ignore[no-any-return]


def test_real_images_are_compared_with_those_held_out(real: Path) -> None:
    found = told(real)
    assert list(found["global statistics"]) == ["training images", "held-out images"]
    train, held_out = found["global statistics"].values()
    assert train["chi-squared cell size"] == 0
    assert 0.5 < train["mitochondria per cell"] < 1  # one in two cells, but a border touches more cells
    assert held_out["chi-squared mitochondrion size"] < 0.2
    assert 0.2 < found["single cells"]["held-out images"]["called_real"] < 0.8
    assert found["single cells"]["parametric"]["cells"] > 50
    assert found["bins"]["roundness"][-1] == 1


def test_others_are_found_to_be_others(real: Path, tmp_path: Path) -> None:
    alike, other = (told(store_of(tmp_path, seed, radius), store=str(real)) for seed, radius in ((1, 5.0), (2, 8.0)))
    made = [one["global statistics"]["made"] for one in (alike, other)]
    assert made[0]["chi-squared mitochondrion size"] < 0.2 < 0.7 < made[1]["chi-squared mitochondrion size"]
    called = [one["single cells"]["made"]["called_real"] for one in (alike, other)]
    assert called[1] < 0.1 < 0.25 < called[0]


def test_a_plane_is_scored_as_patches_are(real: Path) -> None:
    plane = real.with_name(real.name.replace(".zarr", ".ome.zarr"))
    found = told(plane, store=str(real))
    assert found["images"]["made"] == 1
    assert found["global statistics"]["made"]["cell size"] == pytest.approx(
        found["global statistics"]["training images"]["cell size"], rel=0.1
    )


@pytest.mark.parametrize("name", ["sgan", "label_gan", "label_completion"])
def test_a_model_is_scored(make_tissue: Callable[..., Trainer], tmp_path: Path, name: str) -> None:
    small = store_of(tmp_path, 0, cut=32)
    save_model(tmp_path / "model", make_tissue(name), PatchStore.open(small), {}, "none")
    found = told(tmp_path / "model", store=str(small), samples=40)
    assert found["images"]["made"] == 40
    assert found["least 1 - IU by batch"].keys() >= {"10", "40"}
    assert found["pairwise_iu"] >= 0
    assert isinstance(found["support"], int) or found["support"].startswith("more than")


def test_nothing_to_compare_with_is_said(real: Path) -> None:
    plane = real.with_name(real.name.replace(".zarr", ".ome.zarr"))
    with pytest.raises(RecipeError, match="not said which real"):
        told(plane)
    with pytest.raises(RecipeError, match="no label image 'walls'"):
        told(real, membranes="walls")
