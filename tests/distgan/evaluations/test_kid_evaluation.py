"""Samples are compared with the same real images, in the same features, every time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from distgan.data.batches import Feed
from distgan.engine.trainer import Trainer
from distgan.evaluation import Sets
from distgan.evaluations import kid as evaluation
from distgan.evaluations.kid import KidEvaluation, kid_metrics
from distgan.method import Sample
from distgan.metrics.kid import Kid
from storage.errors import RecipeError
from storage.patches import PatchStore

CPU = torch.device("cpu")


class Copies:
    """A method whose samples are what it is given."""

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self.shown = 0

    def preview(self, step: Any) -> Tensor:
        self.shown += len(step.batch)
        return self.images[self.shown - len(step.batch) : self.shown]


@pytest.fixture
def feeds(patches: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Feed, Feed]:
    """80 images to train on, and 28 that are held out."""
    monkeypatch.setattr(evaluation, "TRAINING_STEPS", 5)
    store = PatchStore.open(patches)
    return Feed(store, np.arange(80), 0, CPU), Feed(store, np.arange(80, 108), 0, CPU)


def sets(train: Feed, held_out: Feed | None, samples: int, folder: Path, seed: int = 0) -> Sets:
    return Sets(train, held_out, None, Sample((1, 32, 32)), samples, seed, folder)


@pytest.fixture
def evaluator(feeds: tuple[Feed, Feed], tmp_path: Path) -> KidEvaluation:
    return KidEvaluation(sets(*feeds, 100, tmp_path))


def test_real_images_score_as_the_floor_and_noise_far_above_it(
    evaluator: KidEvaluation, feeds: tuple[Feed, Feed]
) -> None:
    real = feeds[0].rows(np.arange(28)).images
    noise = torch.rand(28, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    floor, copied, noisy = evaluator.floor(), evaluator.score(Copies(real)), evaluator.score(Copies(noise))  # type: ignore[arg-type]
    assert floor.samples == copied.samples == noisy.samples == 28
    assert copied.value < 0.1 * noisy.value
    assert floor.value < 0.1 * noisy.value


def test_features_count_in_the_spread_of_the_training_images(evaluator: KidEvaluation) -> None:
    assert np.abs(evaluator.training_features.mean(0)).max() < 1e-9
    assert evaluator.training_features.std(0) == pytest.approx(1, abs=0.05)
    assert np.abs(evaluator.real_features.mean(0)).max() > 1e-3  # the same scale, and not one of their own


def test_the_held_out_images_themselves_score_below_zero(evaluator: KidEvaluation) -> None:
    """Two samples that are the same are nearer than two samples of one distribution."""
    assert evaluator.score(Copies(evaluator.real.images)).value < 0  # type: ignore[arg-type]


def test_without_held_out_images_the_training_images_are_compared_with(
    feeds: tuple[Feed, Feed], tmp_path: Path
) -> None:
    found = KidEvaluation(sets(feeds[0], None, 1000, tmp_path))
    assert len(found.real) == 80


def test_the_figure_says_which_real_images_it_shows(
    evaluator: KidEvaluation, feeds: tuple[Feed, Feed], tmp_path: Path
) -> None:
    alone = KidEvaluation(sets(feeds[0], None, 1000, tmp_path))
    for one, title in ((evaluator, "real, held out"), (alone, "real, training")):
        figure = one.figures(Copies(one.real.images), 64)["samples"]  # type: ignore[arg-type]
        assert [axis.get_title() for axis in figure.axes] == ["generated, 64 images seen", title]


def test_real_images_are_as_diverse_as_real_images_and_one_image_is_not(
    evaluator: KidEvaluation, feeds: tuple[Feed, Feed]
) -> None:
    real = feeds[0].rows(np.arange(28)).images
    found = evaluator.measure(Copies(real))  # type: ignore[arg-type]
    alone = evaluator.measure(Copies(real[:1].expand_as(real)))  # type: ignore[arg-type]
    assert found["kid"] == evaluator.score(Copies(real)).value  # type: ignore[arg-type]
    assert 0.5 < found["diversity/spread"] < 2
    assert found["diversity/coverage"] > 0.5
    assert alone["diversity/spread"] < 1e-3
    assert (alone["diversity/duplicates"], alone["diversity/coverage"] < 0.3) == (1, True)


@pytest.mark.parametrize(("train", "held_out"), [(80, 19), (19, 28)])
def test_too_few_images_are_refused(patches: Path, tmp_path: Path, train: int, held_out: int) -> None:
    store = PatchStore.open(patches)
    feeds = [Feed(store, np.arange(count), 0, CPU) for count in (train, held_out)]
    with pytest.raises(RecipeError, match="20 are needed"):
        KidEvaluation(sets(feeds[0], feeds[1], 100, tmp_path))


def test_the_features_are_trained_once_and_read_back(
    evaluator: KidEvaluation, feeds: tuple[Feed, Feed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "_train", None)
    again = KidEvaluation(sets(*feeds, 100, tmp_path))
    assert again.features_sha256 == evaluator.features_sha256
    assert np.array_equal(again.real_features, evaluator.real_features)
    assert again.floor() == evaluator.floor()


def test_the_same_images_and_seed_make_the_same_features_and_another_seed_others(
    evaluator: KidEvaluation, feeds: tuple[Feed, Feed], tmp_path: Path
) -> None:
    torch.manual_seed(5)
    same, other = (KidEvaluation(sets(*feeds, 100, tmp_path / str(seed), seed)) for seed in (0, 1))
    assert same.features_sha256 == evaluator.features_sha256 != other.features_sha256


def test_scoring_neither_changes_a_method_nor_torch_s_generator(
    evaluator: KidEvaluation, tables: dict[str, Any], make_trainer: Callable[..., Trainer]
) -> None:
    trainer = make_trainer(tables)
    before, state = trainer.digest(), torch.random.get_rng_state()
    first = evaluator.score(trainer.average)
    assert evaluator.score(trainer.average) == first
    evaluator.figures(trainer.average, 64)
    assert trainer.digest() == before
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_distance_is_told_with_its_interval() -> None:
    assert kid_metrics("kid", Kid(1.0, 0.5, 1.5, 100)) == {"kid": 1.0, "kid_low": 0.5, "kid_high": 1.5}
