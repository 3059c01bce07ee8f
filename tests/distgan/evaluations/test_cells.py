"""Measures of cells made again, against what can be computed by hand."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from distgan.data.batches import Feed, Known
from distgan.evaluation import Sets
from distgan.evaluations.cells import CellsEvaluation, normality
from distgan.families.cells import CellMethod
from distgan.method import Batch, MethodConfig, Sample, Turn
from storage.errors import RecipeError

CPU = torch.device("cpu")
SAMPLE = Sample((2, 8, 8), ("DNA", "actin"), {"kind": ("a", "b", "c")})
KINDS = torch.tensor([0, 0, 1, 1, 2, 2] * 20)


class Config(MethodConfig):
    column: str = "kind"


class Fixed(CellMethod):
    """Makes images again that are as bright as it is told, and says of each that it is of class a."""

    networks = ()

    def __init__(self, value: float, structure: bool = True) -> None:
        super().__init__(Config(name="fixed"), SAMPLE)
        self.made, self.value = (0, 1), value
        if structure:
            self.classes, self.structure = SAMPLE.classes["kind"], (1,)

    def turns(self) -> tuple[Turn, ...]:
        return ()

    def representation(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :3]

    def class_scores(self, images: Tensor) -> Tensor:
        return (
            torch.tensor([[3.0, 0.0, 0.0]]).repeat(len(images), 1) if self.classes else images.new_zeros(len(images), 0)
        )

    def decoded(self, codes: Tensor, batch: Batch) -> Tensor:
        return batch.images * 0.5

    def reconstruction(self, batch: Batch) -> Tensor:
        return torch.full_like(batch.images, self.value)


@pytest.fixture
def sets(tmp_path: Path) -> Sets:
    """Of class a, b, c a first, second or third row is bright, less so each; all else is black."""
    images = np.zeros((120, 2, 8, 8), np.uint8)
    for row, kind in enumerate(KINDS.tolist()):
        images[row, :, kind] = 255 - 60 * kind
    store: Any = SimpleNamespace(read=lambda rows: images[rows], value_range=(0, 255), obs=pa.table({"x": range(120)}))
    feeds = [
        Feed(store, rows, 0, CPU, known=Known({"kind": KINDS[rows]})) for rows in (np.arange(60), np.arange(60, 120))
    ]
    return Sets(feeds[0], feeds[1], None, SAMPLE, 100, 0, tmp_path)


def test_errors_are_of_light_from_black_to_white(sets: Sets) -> None:
    found = CellsEvaluation(sets).measure(Fixed(0.0))
    assert found["bce"] == pytest.approx(math.log(2), rel=1e-4)
    assert sets.held_out is not None
    squares = sets.held_out.rows(np.arange(60)).images.square().mean().item()
    assert found["psnr"] == pytest.approx(10 * math.log10(4 / squares), rel=1e-4)
    assert found["DNA/bce"] == found["actin/bce"] == pytest.approx(math.log(2), rel=1e-4)


def test_who_always_says_the_same_is_right_in_a_third(sets: Sets) -> None:
    evaluation = CellsEvaluation(sets)
    found = evaluation.measure(Fixed(0.0))
    assert found["accuracy"] == found["balanced_accuracy"] == pytest.approx(1 / 3)
    before = evaluation.before(Fixed(0.0))
    assert before["majority/balanced_accuracy"] == pytest.approx(1 / 3)
    assert before["intensity/accuracy"] == 1


def test_correlations_are_of_the_structure_in_its_cell(sets: Sets) -> None:
    evaluation = CellsEvaluation(sets)
    before = evaluation.before(Fixed(0.0))
    assert before["predicted/correlation"] == pytest.approx(1)
    assert before["mean/correlation"] == pytest.approx(1)
    black = evaluation.before(Fixed(-1.0))
    assert black["bce_mean"] == before["bce_mean"]


def test_a_method_without_structures_has_no_classes(sets: Sets) -> None:
    found = CellsEvaluation(sets).before(Fixed(0.0, structure=False))
    assert not {name for name in found if "accuracy" in name or "correlation" in name}
    assert {"bce_mean", "psnr_mean", "normality"} <= found.keys()


def test_normal_codes_are_near_and_others_far() -> None:
    random = np.random.default_rng(0)
    assert normality(random.normal(size=(4000, 3))) < 0.03
    assert normality(np.full((50, 2), 3.0)) == pytest.approx(0.99865, abs=1e-4)


def test_a_figure_shows_flat_and_solid_cells(sets: Sets) -> None:
    assert list(CellsEvaluation(sets).figures(Fixed(0.0), 10)) == ["cells"]
    evaluation = CellsEvaluation(sets)
    evaluation.batches = {"": Batch(torch.zeros(4, 2, 3, 8, 8), {"kind": KINDS[:4]})}
    solid = Fixed(0.0)
    solid.sample = Sample((2, 3, 8, 8), SAMPLE.channels, SAMPLE.classes)
    assert list(evaluation.figures(solid, 10)) == ["cells"]


def test_other_methods_are_refused(sets: Sets) -> None:
    other: Any = SimpleNamespace(config=SimpleNamespace(name="dcgan"))
    with pytest.raises(RecipeError, match="dcgan is no integrated cell"):
        CellsEvaluation(sets).measure(other)
