"""`distgan evaluate tissue`: planted tissue, the same again, and what is not like it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from distgan.assessment.label_reading import read_pairs
from distgan.assessment.label_samples import labels_of, makes_labels, other_noise, pairs_of
from distgan.data.image_sets import feed_of
from distgan.engine.trainer import Trainer
from distgan.inference.canvas import canvas
from distgan.model import load_model, save_model
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
    assert set(found.tables) >= {"global statistics", "shape features"}
    return json.loads(json.dumps(found.facts, allow_nan=False))


def test_real_images_are_compared_with_those_held_out(real: Path) -> None:
    found = told(real)
    train, held_out, _ = found["global statistics"].values()
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


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_of(tmp_path_factory.mktemp("small"), 0, cut=32)


@pytest.fixture
def model(make_tissue: Callable[..., Trainer], small: Path, tmp_path: Path) -> Callable[..., Path]:
    def untrained(name: str, **keys: Any) -> Path:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        save_model(folder, make_tissue(name, **keys), PatchStore.open(small), {}, "none")
        return folder

    return untrained


@pytest.mark.parametrize("name", ["sgan", "label_gan", "joint_gan", "label_completion"])
def test_a_model_is_scored(model: Callable[..., Path], small: Path, name: str) -> None:
    found = told(model(name), store=str(small), samples=40, batches=[10, 20], runs=3)
    assert found["images"]["made"] == 40
    assert found["pairwise 1 - IU"]["made"] >= 0
    assert 0.5 < found["pairwise 1 - IU"]["training images"] < 1
    assert ("other noise" in found) == (name == "label_completion")
    if name == "label_completion":  # its noise image is that of the labels it is given
        assert "made" not in found["support"]
    else:
        assert found["support"]["made"]["samples"] == "noise images of 2 x 2, 32 x 32 pixels"
        assert found["support"]["made"]["least 1 - IU by batch"].keys() == {"10", "20"}
        assert found["support"]["made"]["support"] in (100, 400, "more than 400")


def test_the_score_draws_its_figures(model: Callable[..., Path], small: Path) -> None:
    keys = {"split": {"by": "y", "held_out": 0.5}, "store": str(small), "batches": [10], "runs": 2, "repeats": 2}
    found = score(Asked(str(model("label_gan")), Settings.model_validate(keys | {"samples": 20}), Path()))
    assert set(found.figures) == {"shape map", "support", "most alike"}
    support = [row for row in found.tables["support"].to_pylist() if row["of"] == "made"]
    assert [(row["run"], row["batch"]) for row in support] == [(0, 10), (1, 10)]
    for name in ("shape map", "support"):
        drawn = found.figures[name]()
        assert all(axis.get_xlabel() and axis.get_ylabel() for axis in drawn.axes)
    assert len(found.figures["most alike"]().axes) == 4


def test_both_networks_that_complete_labels_are_told_the_same_noise(model: Callable[..., Path], small: Path) -> None:
    tables: tuple[dict[str, Any], ...] = ({}, {"kind": "unet"}, {"kind": "unet", "noise": 0})
    store = PatchStore.open(small)
    found = []
    for table in tables:
        one = load_model(model("label_completion", translator=table))
        found.append(other_noise(one, feed_of(store, np.arange(5), one), [1], 0))
    refinement, unet, deaf = found
    assert [one.network for one in found] == ["refinement", "unet", "unet"]
    assert refinement.same == unet.same != deaf.same == "no noise image"
    assert refinement.apart > 0
    assert deaf.apart == 0  # it is told the labels alone
    assert refinement.real_apart == unet.real_apart > 0.5
    elsewhere = other_noise(one, feed_of(store, np.arange(20, 25), one), [1], 0)
    assert elsewhere.real_apart != refinement.real_apart


def read(reader: Path, of: Path | None, small: Path, labels: Path | None = None) -> dict[str, Any]:
    rows = {"training images": np.arange(40), "held-out images": np.arange(40, 60)}
    return read_pairs(reader, load_model(of) if of else None, PatchStore.open(small), rows, labels, 20, 0)


def test_pairs_are_read_by_a_reader_of_real_images(model: Callable[..., Path], small: Path) -> None:
    reader, dsgan = model("segmentation"), model("dsgan")
    found = read(reader, dsgan, small)
    rows = ("training images", "held-out images", "made", "made, read by its own reader")
    assert all(0 < found[row]["mean_iu"] < 1 and found[row]["nll"] > 0 for row in rows)
    assert found["made of"] == "its own labels"
    given = read(reader, dsgan, small, small)
    assert given["made"] != found["made"]
    assert given["made of"] == str(small)
    translated = read(reader, model("label_to_image"), small)
    assert translated["made of"] == "real labels"
    assert set(read(reader, None, small)) == {"reader", "structures", "training images", "held-out images"}


def test_labels_alone_are_those_of_the_pairs(model: Callable[..., Path], small: Path) -> None:
    one = load_model(model("sgan"))
    feed = feed_of(PatchStore.open(small), np.arange(20), one)
    both = [labels.tolist() for _, labels in pairs_of(one, feed, 20, 1)]
    assert [labels.tolist() for labels in labels_of(one, feed, 20, 1)] == both


def test_a_model_that_is_given_all_labels_makes_none(model: Callable[..., Path]) -> None:
    made = {name: makes_labels(load_model(model(name)).method) for name in ("label_to_image", "sgan", "label_gan")}
    assert made == {"label_to_image": False, "sgan": True, "label_gan": True}


def test_what_cannot_be_read_is_refused(model: Callable[..., Path], small: Path) -> None:
    reader = model("segmentation")
    with pytest.raises(RecipeError, match="finds no structures"):
        read(model("sgan"), model("dsgan"), small)
    with pytest.raises(RecipeError, match="other structures"):
        read(model("segmentation", structures=["membranes"]), model("dsgan"), small)
    with pytest.raises(RecipeError, match="makes no images of labels"):
        read(reader, model("joint_gan"), small, small)


def test_every_table_has_its_rows(real: Path) -> None:
    found = told(real)
    rows = ["training images", "held-out images"]
    assert list(found["single cells"]) == list(found["global statistics"]) == [*rows, "parametric"]
    parametric = found["global statistics"]["parametric"]
    assert parametric["cell size"] is None
    assert parametric["mitochondrion size"] == pytest.approx(
        found["global statistics"]["training images"]["mitochondrion size"], rel=0.2
    )
    assert list(found["pairwise 1 - IU"]) == rows
    assert list(found["support"]) == [*rows, "parametric"]
    assert "single cells" in found["support"]["parametric"]["samples"]


def test_nothing_to_compare_with_is_said(real: Path) -> None:
    plane = real.with_name(real.name.replace(".zarr", ".ome.zarr"))
    with pytest.raises(RecipeError, match="not said which real"):
        told(plane)
    with pytest.raises(RecipeError, match="no label image 'walls'"):
        told(real, membranes="walls")
