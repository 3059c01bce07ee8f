"""How well structures are found."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from distgan.data.batches import Feed, Known
from distgan.engine.trainer import Trainer
from distgan.evaluation import Sets
from distgan.evaluations.segmentation import SegmentationEvaluation, Tally, scores
from distgan.method import Sample
from storage.errors import RecipeError

CPU = torch.device("cpu")


def feed(count: int, seed: int) -> Feed:
    """Dark pixels are membrane; of the mitochondria nothing is to be seen."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, 1, 16, 16), np.uint8)
    labels = {"membranes": (images[:, 0] < 64).astype(np.uint8), "mitochondria": np.zeros((count, 16, 16), np.uint8)}
    labels["mitochondria"][:, :4] = 1
    store: Any = SimpleNamespace(read=lambda rows: images[rows], value_range=(0.0, 255.0))
    return Feed(store, np.arange(count), 0, CPU, known=Known({}, labels))


@pytest.fixture
def sets(tmp_path: Path) -> Sets:
    sample = Sample((1, 16, 16), ("light",), labels=("membranes", "mitochondria"))
    return Sets(feed(40, 0), feed(20, 1), None, sample, 100, 0, tmp_path)


class Knowing:
    """Says what is dark, so sure, and that there are no mitochondria."""

    def __init__(self, odds: float = 3.0) -> None:
        self.odds = odds

    def segment(self, images: torch.Tensor) -> torch.Tensor:
        dark = torch.where(images[:, 0] < 64 / 127.5 - 1, self.odds, -self.odds)
        return torch.stack([dark, torch.full_like(dark, -self.odds)], 1)


def test_ious_and_likelihoods_are_of_all_pixels_together() -> None:
    tally = Tally()
    tally.add(torch.tensor([2.0, 2.0, -2.0]), torch.tensor([1.0, 0.0, 1.0]))
    tally.add(torch.tensor([-2.0, -2.0, 2.0]), torch.tensor([0.0, 0.0, 1.0]))
    assert tally.ious() == pytest.approx((2 / 4, 2 / 4))
    right, wrong = (F.softplus(torch.tensor(odds)).item() for odds in (-2.0, 2.0))
    assert tally.mean_nll() == pytest.approx((4 * right + 2 * wrong) / 6)
    nothing = Tally()
    nothing.add(torch.tensor([-1.0]), torch.tensor([0.0]))
    assert nothing.ious() == (1.0, 1.0)
    both = scores({"a": tally, "b": nothing})
    assert both["mean_iu"] == pytest.approx(0.75)
    assert both["iu/a"] == both["iu/not_a"] == pytest.approx(0.5)


def test_who_knows_all_is_right_and_the_baselines_are_told(sets: Sets) -> None:
    evaluation = SegmentationEvaluation(sets)
    found = evaluation.before(Knowing())  # type: ignore[arg-type]
    assert found["iu/membranes"] == found["iu/not_membranes"] == 1
    assert found["iu/mitochondria"] == 0
    assert found["iu/not_mitochondria"] == pytest.approx(0.75)
    assert found["mean_iu"] == pytest.approx((1 + 0.375) / 2)
    assert found["brightness/iu/membranes"] == 1
    assert found["nothing/iu/membranes"] == 0
    rate = torch.tensor(0.25)
    entropy = -(rate * rate.log() + (1 - rate) * (1 - rate).log()).item()
    assert found["nothing/nll/mitochondria"] == pytest.approx(entropy, rel=1e-2)
    assert found["brightness/nll/membranes"] < 0.01 < found["nothing/nll/membranes"]


def test_both_sets_are_told_and_checkpoints_are_chosen_by_the_one_for_it(sets: Sets) -> None:
    evaluation = SegmentationEvaluation(replace(sets, validation=sets.train))
    assert evaluation.headline == "validation/mean_iu"
    found = evaluation.measure(Knowing())  # type: ignore[arg-type]
    assert found["validation/iu/membranes"] == found["iu/membranes"] == 1
    assert SegmentationEvaluation(sets).headline == "mean_iu"


def test_images_labels_and_what_was_found_stand_side_by_side(sets: Sets) -> None:
    figure = SegmentationEvaluation(sets).figures(Knowing(), 8)["segmentation"]  # type: ignore[arg-type]
    assert [axis.get_title() for axis in figure.axes] == [
        "held out",
        "labels: membranes, mitochondria",
        "found, 8 images seen",
    ]


def test_what_cannot_be_judged_is_refused(sets: Sets, make_tissue: Callable[..., Trainer]) -> None:
    with pytest.raises(RecipeError, match="nothing is held out"):
        SegmentationEvaluation(replace(sets, held_out=None))
    with pytest.raises(RecipeError, match="no labels come along"):
        SegmentationEvaluation(replace(sets, sample=Sample((1, 16, 16))))
    with pytest.raises(RecipeError, match="sgan finds no structures"):
        SegmentationEvaluation(sets).measure(make_tissue("sgan").average)


def test_a_little_training_beats_brightness(make_tissue: Callable[..., Trainer], sets: Sets) -> None:
    one = make_tissue("segmentation")
    one.feed = sets.train
    evaluation = SegmentationEvaluation(sets)
    before = evaluation.measure(one.average)
    for _ in range(60):
        one.step()
    after = evaluation.measure(one.average)
    assert after["nll"] < before["nll"]
