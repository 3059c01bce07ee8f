"""The figures of Han et al.: what is read from models, scores, runs and planes, and what is refused or left out."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

from distgan.config.run_config import RECIPES
from distgan.engine.trainer import Trainer
from distgan.figures import load_paper, read_settings
from distgan.figures.han.numbers import (
    gradients,
    noise_distances,
    people,
    real_or_made,
    segmentation,
    shape_maps,
    statistics,
    support_sizes,
)
from distgan.figures.han.pictures import ablations, completions, pairs, planes, single, translations
from distgan.inference.canvas import canvas
from distgan.inference.edit import continuous
from distgan.inference.large import edit_plane
from distgan.metrics.shape_features import NAMES
from distgan.model import save_model
from distgan.plots.figure_set import Asked, Drawn, LeftOut, write_set
from storage.errors import DataError, MissingError, RecipeError
from storage.made import write_patches
from storage.patches import PatchStore
from storage.store import Series

HAN = load_paper("han")
STRUCTURES = ("membranes", "mitochondria")


def asked(home: Path, **settings: Any) -> Asked:
    return Asked(HAN.Settings(paper="han", **settings), Path, home)


def only(found: Iterator[Drawn | LeftOut]) -> Drawn:
    (drawn,) = found
    assert isinstance(drawn, Drawn)
    return drawn


def heights(drawn: Drawn) -> list[float]:
    bars: Any = drawn.figure.axes[0].patches
    return [round(bar.get_height(), 6) for bar in bars]


def score(folder: Path, called: float | None, iu: float, reader: str = "one", keys: Any = None) -> str:
    """What `distgan evaluate tissue --out` leaves."""
    folder.mkdir()
    rows = {"training images": 0.0, "held-out images": 0.1, "parametric": None, "made": 0.3}
    real = {"called_real": 0.25, "called_real_sd": 0.07, "cells": 100}
    told = {
        "global statistics": {
            name: {"cell size": 20.0, "chi-squared cell size": value} for name, value in rows.items()
        },
        "single cells": {
            "training images": {"cells": 90},
            "held-out images": real,
            "made": real | {"called_real": called} if called is not None else {"cells": 1},
        },
        "segmentation": {
            "reader": reader,
            "made of": "its own labels",
            "held-out images": {"mean_iu": 0.8, "nll": 0.1},
            "made": {"mean_iu": iu, "nll": 0.2},
            "made, read by its own reader": {"mean_iu": 0.95, "nll": 0.01},
        },
    }
    (folder / "score.json").write_text(json.dumps(told | (keys or {})))
    random = np.random.default_rng(0)
    of = np.repeat(["training images", "made"], 20)
    features = {"of": of} | {name: random.normal(of == "made", 1) for name in NAMES}
    csv.write_csv(pa.table(features), folder / "shape_features.csv")
    support = [
        {"of": "made", "run": run, "batch": size, "least 1 - IU": 1 / size} for run in (0, 1) for size in (10, 20)
    ]
    csv.write_csv(pa.Table.from_pylist(support), folder / "support.csv")
    return str(folder)


@pytest.fixture
def scored(tmp_path: Path) -> Asked:
    scores = {"SGAN": score(tmp_path / "sgan", 0.2, 0.7), "JointGAN": score(tmp_path / "joint", None, 0.6)}
    return asked(tmp_path, scores=scores)


def test_every_bar_is_a_number_of_a_score_beside_the_baselines(scored: Asked) -> None:
    chi = only(statistics(scored))
    assert [row["of"] for row in chi.numbers] == [
        "training images",
        "held-out images",
        "parametric",
        "SGAN",
        "JointGAN",
    ]
    assert heights(chi) == [0.1, 0.3, 0.3]  # the parametric model has no cell size
    called = only(real_or_made(scored))
    assert [(row["of"], row["called_real"]) for row in called.numbers] == [
        ("held-out images", 0.25),
        ("SGAN", 0.2),
        ("JointGAN", None),
    ]
    assert heights(called) == [0.25, 0.2]
    read = only(segmentation(scored))
    assert {row["of"]: row["mean_iu"] for row in read.numbers} == {
        "held-out images": 0.8,
        "SGAN": 0.7,
        "SGAN, own reader": 0.95,
        "JointGAN": 0.6,
        "JointGAN, own reader": 0.95,
    }
    assert all(one.figure.axes[0].get_ylabel() for one in (chi, called, read))


def test_pairs_read_by_different_networks_are_not_compared(scored: Asked, tmp_path: Path) -> None:
    scores = scored.settings.scores | {"DSGAN": score(tmp_path / "dsgan", 0.2, 0.9, reader="another")}
    with pytest.raises(DataError, match="different networks"):
        list(segmentation(asked(tmp_path, scores=scores)))
    unread = score(tmp_path / "unread", 0.2, 0.9, keys={"segmentation": None})
    (left,) = segmentation(asked(tmp_path, scores={"DSGAN": unread}))
    assert isinstance(left, LeftOut)
    with pytest.raises(MissingError, match="no score at"):
        list(statistics(asked(tmp_path, scores={"SGAN": str(tmp_path / "nothing")})))


def test_places_without_a_study_stay_empty(scored: Asked, tmp_path: Path) -> None:
    empty = only(people(scored))
    assert heights(empty) == []
    assert len(empty.figure.axes[0].texts) == 2
    (tmp_path / "told").mkdir()
    together = [{"measure": "accuracy", "value": 0.6}, {"measure": "fooled", "value": 0.4, "low": 0.3, "high": 0.5}]
    (tmp_path / "told" / "score.json").write_text(json.dumps({"together": together}))
    studies = {"SGAN": {"full images": str(tmp_path / "told")}}
    drawn = only(people(asked(tmp_path, scores=scored.settings.scores, studies=studies)))
    assert heights(drawn) == [0.4]
    assert [text.get_text() for text in drawn.figure.axes[0].texts] == ["nobody has judged"]


def test_features_of_all_models_share_one_map_with_the_real_ones_once(scored: Asked) -> None:
    drawn = only(shape_maps(scored))
    counts = {name: sum(row["of"] == name for row in drawn.numbers) for name in ("training images", "SGAN", "JointGAN")}
    assert counts == {"training images": 20, "SGAN": 20, "JointGAN": 20}
    support = only(support_sizes(scored))
    assert len(support.numbers) == 8
    assert np.asarray(support.figure.axes[0].lines[1].get_ydata()).tolist() == pytest.approx([0.1, 0.05])


def test_only_the_same_noise_is_compared(tmp_path: Path) -> None:
    told: dict[str, Any] = {
        "apart": 0.5,
        "apart_sd": 0.1,
        "real_apart": 0.9,
        "noise": 8,
        "same": "abc",
        "images": 16,
        "draws": 16,
    }
    folders = {}
    others: dict[str, dict[str, Any]] = {"CRN": {}, "U-Net": {"apart": 0.1}, "other": {"same": "def"}}
    for name, keys in others.items():
        folders[name] = score(tmp_path / name, None, 0.5, keys={"other noise": told | keys})
    both = {name: folders[name] for name in ("CRN", "U-Net")}
    assert heights(only(noise_distances(asked(tmp_path, completion_scores=both)))) == [0.5, 0.1, 0.9]
    with pytest.raises(DataError, match="other noise"):
        list(noise_distances(asked(tmp_path, completion_scores=folders)))


def test_gradient_shares_are_read_along_the_run(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "dsgan"
    run.mkdir(parents=True)
    lines = [{"images_seen": seen, "metrics": {"gradient_share/labels": seen / 1000}} for seen in (100, 200)]
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    drawn = only(gradients(asked(tmp_path, runs={"DSGAN": "dsgan"})))
    assert np.asarray(drawn.figure.axes[0].lines[0].get_ydata()).tolist() == [0.1, 0.2]
    (run / "metrics.jsonl").write_text('{"images_seen": 0, "metrics": {}}\n')
    with pytest.raises(DataError, match="no gradient shares"):
        list(gradients(asked(tmp_path, runs={"DSGAN": "dsgan"})))


@pytest.fixture
def store(tmp_path: Path) -> PatchStore:
    random = np.random.default_rng(0)
    labels = {name: random.integers(0, 2, (40, 32, 32), np.uint8) for name in STRUCTURES}
    facts = {"channels": ["electrons"], "value_range": [0, 255], "pixel_um": [0.01, 0.01], "source": "none"}
    images = random.integers(0, 256, (40, 1, 32, 32), np.uint8)
    return write_patches(tmp_path / "real.zarr", images, pa.table({"section": np.arange(40)}), facts, labels)


@pytest.fixture
def model(make_tissue: Callable[..., Trainer], store: PatchStore, tmp_path: Path) -> Callable[..., str]:
    def untrained(name: str, **keys: Any) -> str:
        folder = tmp_path / f"model {len(list(tmp_path.iterdir()))}"
        save_model(folder, make_tissue(name, **keys), store, {}, "none")
        return str(folder)

    return untrained


def test_models_stand_a_line_each_under_real_samples(
    model: Callable[..., str], store: PatchStore, tmp_path: Path
) -> None:
    sgan, labels = model("sgan"), model("label_gan")
    real = str(store.path)
    drawn = only(pairs(asked(tmp_path, models={"SGAN": sgan}, real=real)))
    assert [row["model"] for row in drawn.numbers] == ["real", "SGAN"]
    assert 0.4 < drawn.numbers[0]["area of membranes"] < 0.6
    drawn = only(ablations(asked(tmp_path, labels={"FCGAN": labels, "SGAN": sgan}, real=real)))
    assert [axis.texts[0].get_text() for axis in drawn.figure.axes[::2]] == ["real", "FCGAN", "SGAN"]
    with pytest.raises(RecipeError, match="makes labels alone"):
        list(pairs(asked(tmp_path, models={"FCGAN": labels}, real=real)))
    drawn = only(translations(asked(tmp_path, translators={"SGAN": sgan, "2": model("label_to_image")}, real=real)))
    assert [row["model"] for row in drawn.numbers] == ["SGAN", "2"]
    with pytest.raises(RecipeError, match="makes no images of labels"):
        list(translations(asked(tmp_path, translators={"FCGAN": labels}, real=real)))


def test_completions_show_what_other_noise_makes(model: Callable[..., str], store: PatchStore, tmp_path: Path) -> None:
    settings = {"completions": {"CRN": model("label_completion")}, "real": str(store.path)}
    drawn = only(completions(asked(tmp_path, **settings)))
    assert [row["image"] for row in drawn.numbers] == [0, 1]
    assert all(row["mitochondria, 1 - IU of neighbours"] > 0 for row in drawn.numbers)


def test_models_without_cells_are_left_out(model: Callable[..., str], store: PatchStore, tmp_path: Path) -> None:
    (left,) = single(asked(tmp_path, models={"SGAN": model("sgan")}, real=str(store.path)))
    assert isinstance(left, LeftOut)
    assert "too few single cells" in left.reason


def test_a_plane_is_shown_with_what_editing_dropped(tmp_path: Path) -> None:
    masks = np.zeros((2, 64, 96), np.bool_)
    masks[0, :, ::16] = masks[0, ::16] = True
    masks[0, 4:6, 20:26] = True  # a membrane that parts nothing
    series = Series("0", (1, 1, 1, 64, 96), "uint8", ("electrons",), (None, 0.01, 0.01), STRUCTURES)
    with canvas(tmp_path / "plane.ome.zarr", series, (64, 96), {}) as write:
        write(slice(0, 64), slice(0, 96), 200 * masks[:1].astype(np.uint8), masks)
    edit_plane(tmp_path / "plane.ome.zarr", tmp_path / "edited.ome.zarr", smallest=16)
    settings = {"plane": str(tmp_path / "plane.ome.zarr"), "edited": str(tmp_path / "edited.ome.zarr")}
    whole, edited = planes(asked(tmp_path, **settings))
    assert isinstance(whole, Drawn)
    assert isinstance(edited, Drawn)
    after = continuous(masks[0], 16)
    assert not after[4:6, 20:26].any()
    dropped = (masks[0] & ~after).sum() / masks[0].sum()
    assert edited.numbers[0]["dropped [share of its pixels]"] == pytest.approx(dropped)
    _, left = planes(asked(tmp_path, plane=settings["plane"]))
    assert isinstance(left, LeftOut)


def test_what_is_not_named_is_left_out_and_the_recipe_names_all_of_it(tmp_path: Path) -> None:
    found = write_set(tmp_path / "out", HAN.HEADING, HAN.PARTS, asked(tmp_path))
    assert found["figures"] == []
    assert len(found["left_out"]) == len(HAN.PARTS)
    paper, settings = read_settings(RECIPES / "figures_han.toml")
    assert paper is HAN
    assert all(getattr(settings, key) for part in HAN.PARTS for key in part.needs)
