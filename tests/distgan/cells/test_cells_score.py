"""Tables of a model of cells, against what can be counted or computed by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distgan.config.run_config import AnyRun
from distgan.families.cells import CellMethod
from distgan.method import Batch
from distgan.methods.conditional_autoencoder import ConditionalAutoencoder
from distgan.score import Asked, Told
from distgan.scores.cells import Settings, score
from storage.errors import RecipeError
from storage.patches import PatchStore
from tests.distgan.cells.conftest import CLASSES, model_of, write_cells

STRUCTURES = (*CLASSES, "all")


def scored(target: Path, **keys: Any) -> Told:
    return score(Asked(str(target), Settings(resamples=100, draws=4, **keys), target))


def test_classes_are_counted_in_each_set(phase_2: Path) -> None:
    rows = scored(phase_2).facts["classes"]
    assert [row["structure"] for row in rows] == list(STRUCTURES)
    assert rows[0] == {"structure": "golgi", "total": 20, "train": 12, "held out": 8}
    assert rows[-1] == {"structure": "all", "total": 60, "train": 36, "held out": 24}


def test_of_another_store_every_cell_is_judged(phase_2: Path, tmp_path: Path) -> None:
    other = write_cells(tmp_path / "other.zarr", seed=3)
    rows = scored(phase_2, store=str(other.path)).facts["classes"]
    assert (rows[-1]["train"], rows[-1]["held out"]) == (36, 60)


def test_the_confusion_is_of_what_the_encoder_says(phase_2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says golgi, and of golgi lamin; so a third would be right who always said one thing."""

    def class_scores(self: CellMethod, images: Tensor) -> Tensor:
        dark = images[:, :2, 2:].mean((1, 2, 3)) < images[:, :2, :2].mean((1, 2, 3))  # golgi is in rows 0 and 1
        return torch.stack([~dark, dark, torch.zeros_like(dark)], 1).float() * 9

    monkeypatch.setattr(ConditionalAutoencoder, "class_scores", class_scores)
    told = scored(phase_2)
    found = {row["structure"]: row for row in told.facts["confusion"]}
    assert sum(found[name][other] for name in CLASSES for other in CLASSES) == 24
    assert found["nucleoli"]["golgi"] == 8
    right = sum(found[name][name] for name in CLASSES)
    by = {row["by"]: row for row in told.facts["accuracy"]}
    assert by["encoder"]["accuracy"] == pytest.approx(right / 24, abs=1e-4)
    assert by["majority"]["balanced accuracy"] == pytest.approx(1 / 3, abs=1e-4)
    assert by["encoder"]["accuracy low"] <= by["encoder"]["accuracy"] <= by["encoder"]["accuracy high"]
    assert f"{right / 24:.1%} right" in told.figures["confusion"]().axes[0].get_title()


def test_what_is_made_again_without_fault_has_no_error(phase_2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ConditionalAutoencoder, "reconstruction", lambda self, batch: batch.images)
    rows = scored(phase_2).facts["reconstruction"]
    assert len(rows) == 2 * 3 * len(STRUCTURES)
    assert {row["channel"] for row in rows} == {"membrane", "DNA", "structure"}
    for row in rows:
        assert row["PSNR [dB]"] == 120
        assert row["cross-entropy"] < row["mean image's"]
        assert 5 < row["mean image's PSNR"] < 40


def test_made_structures_lie_where_real_ones_do_if_they_are_the_same(
    phase_2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ConditionalAutoencoder, "decoded", lambda self, codes, batch: batch.images)
    told = scored(phase_2)
    rows = told.facts["colocalisation"]
    assert {(row["structure"], row["channel"]) for row in rows} == {
        (name, channel) for name in STRUCTURES for channel in ("membrane", "DNA")
    }
    for row in rows:
        assert row["real"] == row["likeliest"] == row["drawn"]
        assert (row["drawn - real"], row["drawn - real low"], row["drawn - real high"]) == (0, 0, 0)
        assert (row["real"] > 0.8) == (row["channel"] == "membrane")
    for row in told.facts["uncertainty"]:
        assert row["spread"] == row["error"] == 0
        assert row["real spread"] > 0.05


def test_the_spread_is_of_what_is_drawn(phase_2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pixel of a structure is 0.5 + 0.1 times the first number of its code."""

    def decoded(self: CellMethod, codes: Tensor, batch: Batch) -> Tensor:
        images = batch.images.clone()
        images[:, 1] = 0.2 * codes[:, 0, None, None]
        return images

    monkeypatch.setattr(ConditionalAutoencoder, "decoded", decoded)
    rows = {row["structure"]: row for row in scored(phase_2).facts["uncertainty"]}
    assert rows["all"]["spread"] == pytest.approx(0.1, rel=0.2)
    assert rows["all"]["error"] > 0.2
    assert scored(phase_2).facts["uncertainty"] == list(rows.values())
    assert scored(phase_2, seed=1).facts["uncertainty"] != list(rows.values())


def test_a_model_of_shapes_has_neither_classes_nor_structures(phase_1: Path) -> None:
    told = scored(phase_1)
    assert set(told.tables) == {"classes", "reconstruction"}
    assert told.facts["classes"] == [{"structure": "all", "total": 60, "train": 36, "held out": 24}]
    assert {row["structure"] for row in told.facts["reconstruction"]} == {"all"}
    assert 0 < told.facts["normality"] < 1


def test_a_beta_vae_says_no_class(configured: Callable[..., AnyRun], store: PatchStore, tmp_path: Path) -> None:
    told = scored(model_of(configured("conditional_beta_vae"), tmp_path / "vae", store))
    assert set(told.tables) == {"classes", "reconstruction", "colocalisation", "uncertainty"}
    assert set(told.figures) == {"colocalisation", "uncertainty"}
    assert all(draw() for draw in told.figures.values())


def test_a_model_that_has_seen_every_cell_is_refused(
    configured: Callable[..., AnyRun], store: PatchStore, tmp_path: Path
) -> None:
    config = configured("cell_autoencoder")
    config = config.model_copy(update={"data": config.data.model_copy(update={"split": None})})
    with pytest.raises(RecipeError, match="has seen every cell"):
        scored(model_of(config, tmp_path / "all", store))
