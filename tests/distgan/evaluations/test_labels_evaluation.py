"""How like real ones label images are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distgan.engine.trainer import Trainer
from distgan.evaluation import Sets
from distgan.evaluations.kid import KidEvaluation
from distgan.evaluations.labels import LabelsEvaluation, painted, shape_of
from distgan.method import Sample, Step
from storage.errors import RecipeError


@pytest.fixture
def sets(make_tissue: Callable[..., Trainer], tmp_path: Path) -> Sets:
    feed: Any = make_tissue("sgan").feed
    sample = Sample((1, 32, 32), ("electrons",), labels=("membranes", "mitochondria"))
    return Sets(feed, None, None, sample, 100, 0, tmp_path)


class Striped:
    """Makes every second row membrane, and no mitochondria."""

    def label_images(self, step: Step) -> torch.Tensor:
        labels = torch.full((len(step.batch), 2, 32, 32), -1.0)
        labels[:, 0, ::2] = 1
        return labels


def test_areas_lengths_and_diversity_are_as_the_file_says() -> None:
    structure = torch.zeros(2, 4, 4, dtype=torch.bool)
    structure[0, :2] = True
    structure[1, :1] = True
    found = shape_of(structure)
    assert found == pytest.approx({"area": 12 / 32, "length": 8 / 32, "diversity": 0.5})


def test_made_labels_are_measured_as_real_ones_are(sets: Sets) -> None:
    found = LabelsEvaluation(sets).measure(Striped())  # type: ignore[arg-type]
    assert found["area/membranes"] == 0.5
    assert found["length/membranes"] == pytest.approx(31 / 32)
    assert found["diversity/membranes"] == 0
    assert found["area/mitochondria"] == 0
    rows = np.arange(40)
    real = sets.train.rows(rows).labels["membranes"].double().mean().item()
    assert found["area_real/membranes"] == pytest.approx(real)
    assert found["area_error"] == pytest.approx((abs(0.5 - real) / real + 1) / 2)


@pytest.mark.parametrize("name", ["label_gan", "joint_gan", "unsupervised_gan", "label_to_image", "sgan", "dsgan"])
def test_all_who_make_labels_can_be_measured_and_drawn(
    sets: Sets, make_tissue: Callable[..., Trainer], name: str
) -> None:
    evaluation = LabelsEvaluation(sets)
    average = make_tissue(name).average
    found = evaluation.measure(average)
    assert all(np.isfinite(value) for value in found.values())
    if name == "label_to_image":
        assert found["area_error"] == 0
    figure = evaluation.figures(average, 8)["pairs"]
    assert [axis.get_title() for axis in figure.axes] == ["made, 8 images seen", "real"]


def test_images_stand_to_the_right_of_their_labels() -> None:
    shown = painted(torch.zeros(2, 1, 8, 8), torch.ones(2, 2, 8, 8))
    assert shown.shape == (2, 3, 8, 16)
    assert shown[0, :, 0, 0].tolist() == [1, 1, -1]
    assert shown[0, :, 0, 8].tolist() == [0, 0, 0]
    assert painted(None, torch.ones(2, 2, 8, 8)).shape == (2, 3, 8, 8)


def test_images_made_of_labels_can_be_compared_with_real_ones(
    sets: Sets, make_tissue: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distgan.evaluations.kid.TRAINING_STEPS", 2)
    monkeypatch.setattr("distgan.evaluations.kid.FEWEST", 2)
    found = KidEvaluation(sets).measure(make_tissue("label_to_image").average)
    assert np.isfinite(found["kid"])


def test_who_makes_no_labels_is_refused(sets: Sets, make_tissue: Callable[..., Trainer]) -> None:
    with pytest.raises(RecipeError, match="segmentation makes no label images"):
        LabelsEvaluation(sets).measure(make_tissue("segmentation").average)
