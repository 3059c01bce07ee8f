"""`distgan evaluate quality`: a finished run, and planted faults that must be found."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from distgan.evaluations.kid import FEATURES
from distgan.score import Asked, Told
from distgan.scores.quality import Settings, score
from storage.errors import RecipeError
from storage.manifest import sha256_file

Images = NDArray[np.uint8]


def cells(count: int, seed: int) -> Images:
    """Two channels of noisy blobs that lie near each other; of one kind or the other. N C H W."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16]
    images = np.empty((count, 2, 16, 16))
    for image, kind in zip(images, np.arange(count) % 2, strict=True):
        centre = random.uniform(5, 11, 2)
        for channel in image:
            cy, cx = centre + random.normal(0, 0.5, 2)
            channel[:] = 190 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (8 if kind else 40))
    return (images + random.normal(20, 6, images.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little time for the features."""
    monkeypatch.setattr("distgan.evaluations.kid.TRAINING_STEPS", 40)


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """400 real cells in one file."""
    np.save(tmp_path / "real.npy", cells(400, 0))
    return tmp_path / "real.npy"


def scored(made: Images, real: Path, **keys: Any) -> Told:
    np.save(real.with_name("made.npy"), made)
    settings = Settings(store=str(real), **keys)
    return score(Asked(str(real.with_name("made.npy")), settings, real.parent))


def value(told: Told, measure: str, of: str = "made") -> float:
    (row,) = [row for row in told.facts["in features"] if row["measure"] == measure]
    return row[of]


@pytest.mark.usefixtures("quick")
def test_images_of_the_same_kind_are_as_good_as_real_ones(real: Path) -> None:
    told = scored(cells(300, 1), real)
    row = told.facts["in features"][0]
    assert row["low"] < 0.1
    assert value(told, "FID") < 2 * value(told, "FID", "real instead")
    for measure in ("precision", "recall", "coverage"):
        assert value(told, measure) > 0.75
    assert all(row["dB"] < 1.5 for row in told.facts["spectra"])
    (pair,) = told.facts["correlations of channels"]
    assert pair["apart"] < 0.1
    assert all(row["p"] > 1e-3 for row in told.facts["copies of training images"])
    assert len(told.facts["notes"]) == 1  # nothing was held out
    assert told.facts["images"] == 200
    json.dumps(told.facts)
    for draw in told.figures.values():
        assert draw().axes


@pytest.mark.usefixtures("quick")
def test_a_generator_of_copies_is_found_though_all_else_is_perfect(real: Path) -> None:
    made = cells(200, 1)
    made[:] = np.load(real)[:200][:, :, ::-1].transpose(0, 1, 3, 2)  # turned by a quarter
    told = scored(made, real)
    assert value(told, "coverage") > 0.75
    for row in told.facts["copies of training images"]:
        assert row["p"] < 1e-6
        assert row["below 1 % of held-out"] > 0.3
    assert sum("look at the figure" in note for note in told.facts["notes"]) == 2


@pytest.mark.usefixtures("quick")
def test_a_dropped_kind_costs_recall_and_not_precision(real: Path) -> None:
    told = scored(cells(600, 1)[::2], real)
    assert value(told, "precision") > 0.75
    assert value(told, "coverage") < 0.65
    assert value(told, "recall") < 0.75
    assert value(told, "KID", "low") > value(told, "KID", "real instead")


@pytest.mark.usefixtures("quick")
def test_blur_is_seen_in_the_spectra(real: Path) -> None:
    blurred = ndimage.gaussian_filter(cells(300, 1).astype(float), (0, 0, 0.8, 0.8)).astype(np.uint8)
    told = scored(blurred, real)
    for row in told.facts["spectra"]:
        assert row["dB"] > 5 > 1 > row["real instead"]


@pytest.mark.usefixtures("quick")
def test_channels_that_do_not_belong_together_are_seen(real: Path) -> None:
    made = cells(300, 1)
    made[:, 1] = np.roll(made[:, 1], 1, 0)
    (pair,) = scored(made, real).facts["correlations of channels"]
    assert pair["made"] < pair["real"] - 0.2
    assert pair["apart"] > 5 * pair["real instead"]


def test_a_model_is_scored_in_the_features_of_its_run(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distgan.evaluations.kid.TRAINING_STEPS", 5)  # as of the run
    told = score(Asked(str(finished / "model"), Settings(), finished))
    assert told.facts["images"] == 27  # held out of 108
    assert told.facts["training images"] == 81
    assert sha256_file(finished / FEATURES)[:12] in told.facts["features"]
    assert told.facts["notes"] == []
    assert "correlations of channels" not in told.facts
    own = score(Asked(str(finished / "model"), Settings(features=str(finished / "model")), finished))
    assert "representation of model" in own.facts["features"]


@pytest.mark.usefixtures("quick")
def test_what_cannot_be_compared_is_refused(real: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"quality\.store"):
        score(Asked(str(real), Settings(), tmp_path))
    with pytest.raises(RecipeError, match="C H W"):
        scored(cells(40, 0)[:, :1], real)
    with pytest.raises(RecipeError, match="too few images"):
        scored(cells(19, 0), real)
    np.save(real, cells(60, 0)[..., :12])
    with pytest.raises(RecipeError, match="multiples of 8"):
        scored(cells(60, 1)[..., :12], real)
    settings = Settings(store=str(real), training=20)
    assert settings.neighbours == 5


@pytest.mark.usefixtures("quick")
def test_copies_are_looked_for_in_as_many_as_are_asked_for(real: Path) -> None:
    told = scored(cells(30, 1), real, training=50)
    assert told.facts["training images"] == 50
    assert any("50 of 200 training images" in note for note in told.facts["notes"])
