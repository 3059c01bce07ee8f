"""The two-sample test along a run: good samples score as the floor, bad ones do not, and it is the same each time."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from distgan.data.batches import Feed
from distgan.evaluation import Sets
from distgan.evaluations import two_sample as module
from distgan.evaluations.two_sample import TwoSampleEvaluation
from distgan.method import Sample, Step

CPU = torch.device("cpu")


@pytest.fixture
def sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Sets:
    monkeypatch.setattr(module, "STEPS", 40)
    monkeypatch.setattr(module, "WIDTH", 2)
    pictures = np.random.default_rng(0).integers(80, 120, (120, 1, 8, 8)).astype(np.uint8)
    store: Any = SimpleNamespace(read=lambda rows: pictures[rows], value_range=(0.0, 255.0))
    train, out = (Feed(store, rows, 0, CPU) for rows in (np.arange(80), np.arange(80, 120)))
    return Sets(train, out, None, Sample((1, 8, 8)), 40, 0, tmp_path)


def making(shift: float) -> Any:
    """A method that makes the images it is shown, so much brighter."""
    return SimpleNamespace(preview=lambda step: step.batch.images + shift)


def test_samples_that_differ_score_worse_than_the_floor(sets: Sets) -> None:
    evaluation = TwoSampleEvaluation(sets)
    before = evaluation.before(making(0.6))
    alike, apart = (evaluation.measure(making(shift)) for shift in (0.0, 0.6))
    assert apart["two_sample"] > max(alike["two_sample"], before["two_sample_floor"]) + 0.1
    assert apart["two_sample_auc"] == pytest.approx(1, abs=0.02)
    assert before["two_sample"] == apart["two_sample"], "the same samples score the same"
    assert set(before) == {"two_sample", "two_sample_auc", "two_sample_floor", "two_sample_floor_auc"}


def test_a_critic_is_tested_with_samples_it_has_not_learned_from(sets: Sets) -> None:
    seen: dict[int, set[bytes]] = {0: set(), 1: set()}

    def preview(step: Step) -> torch.Tensor:
        seen[step.shard % 2] |= {image.numpy().tobytes() for image in step.batch.images}
        return step.batch.images

    method: Any = SimpleNamespace(preview=preview)
    TwoSampleEvaluation(sets).measure(method)
    assert seen[0]
    assert seen[1]
    assert not seen[0] & seen[1]
