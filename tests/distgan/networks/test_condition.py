"""Metadata beside a vector."""

import math

import pytest
import torch

from distgan.networks.condition import Condition

CLASSES = {"compound": ("DMSO", "taxol"), "dose": ()}
COLUMNS = {"compound": torch.tensor([1, 0, 1]), "dose": torch.tensor([0.0, math.e - 1, 1 - math.e])}


def test_classes_are_one_hot_and_numbers_on_a_log_scale() -> None:
    found = Condition(CLASSES, 0).eval()(torch.full((3, 2), 7.0), COLUMNS)
    wanted = torch.tensor([[7, 7, 0, 1, 0], [7, 7, 1, 0, 1], [7, 7, 0, 1, -1]])
    assert found == pytest.approx(wanted)


def test_an_embedding_is_of_all_columns_together_and_has_no_negative_values() -> None:
    condition = Condition(CLASSES, 16)
    found = condition(torch.zeros(3, 2), COLUMNS)
    assert condition.size == 16
    assert found.shape == (3, 18)
    assert found.min() >= 0


def test_nothing_to_be_told_changes_nothing() -> None:
    vectors = torch.randn(3, 2)
    condition = Condition({}, 16)
    assert condition(vectors, {}) is vectors
    assert condition.size == 0
    assert list(condition.parameters()) == []


def test_drawn_columns_are_like_those_of_training() -> None:
    torch.manual_seed(0)
    condition = Condition(CLASSES, 0)
    doses = (2 + 0.5 * torch.randn(4000)).expm1()
    columns = {"compound": torch.zeros(4000, dtype=torch.int64), "dose": doses}
    for _ in range(1500):
        condition(torch.zeros(4000, 1), columns)
    moved = condition.mean.clone()
    condition.eval()(torch.zeros(4000, 1), {**columns, "dose": torch.zeros(4000)})
    assert torch.equal(condition.mean, moved)
    noise = {name: torch.rand(4000) for name in CLASSES}
    found = condition.drawn(noise, {name: torch.randn(4000) for name in CLASSES})
    assert found["compound"].bincount().tolist() == pytest.approx([2000, 2000], rel=0.1)
    assert found["compound"].dtype == torch.int64
    assert found["dose"].log1p().mean().item() == pytest.approx(2, abs=0.1)
    assert found["dose"].log1p().std().item() == pytest.approx(0.5, abs=0.05)
