"""How well images are made again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distgan.config.run_config import config_from_tables
from distgan.data.batches import Feed
from distgan.engine.distributed import Group
from distgan.engine.trainer import Trainer
from distgan.evaluation import Sets
from distgan.evaluations.reconstruction import ReconstructionEvaluation, psnr
from distgan.method import Batch, Sample, build
from distgan.methods.autoencoder import Autoencoder
from storage.errors import RecipeError
from storage.patches import PatchStore

CPU = torch.device("cpu")


class Off:
    """Makes images again that are wrong by so much, each channel by more than the one before."""

    def __init__(self, *by: float) -> None:
        self.by = torch.tensor(by)[:, None, None]

    def reconstruction(self, batch: Batch) -> torch.Tensor:
        return batch.images + self.by


@pytest.fixture
def sets(patches: Path, tmp_path: Path) -> Sets:
    store = PatchStore.open(patches)
    train, held_out = (Feed(store, rows, 0, CPU) for rows in (np.arange(80), np.arange(80, 108)))
    return Sets(train, held_out, None, Sample((1, 32, 32), ("light",)), 100, 0, tmp_path)


def test_errors_are_in_the_range_of_the_images(sets: Sets) -> None:
    found = ReconstructionEvaluation(sets).measure(Off(0.2))  # type: ignore[arg-type]
    assert found == pytest.approx({"mse": 0.04, "psnr": 20, "light/mse": 0.04, "light/psnr": 20}, rel=1e-4)


def test_channels_are_told_apart(sets: Sets) -> None:
    evaluation = ReconstructionEvaluation(replace(sets, sample=Sample((2, 32, 32), ("DNA", "actin"))))
    evaluation.batches = {"": Batch(torch.zeros(100, 2, 4, 4))}
    found = evaluation.measure(Off(0.2, 2.0))  # type: ignore[arg-type]
    assert found["DNA/psnr"] == pytest.approx(20)
    assert found["actin/psnr"] == pytest.approx(0)
    assert found["mse"] == pytest.approx((0.04 + 4) / 2)


def test_the_mean_training_image_is_the_baseline_and_held_out_images_are_compared(sets: Sets) -> None:
    evaluation = ReconstructionEvaluation(replace(sets, validation=sets.train))
    found = evaluation.before(Off(0.0))  # type: ignore[arg-type]
    training = sets.train.rows(np.arange(80)).images
    held_out = Feed(sets.train.store, np.arange(80, 108), 0, CPU).rows(np.arange(28)).images
    wanted = (held_out - training.mean(0, keepdim=True)).square().mean().item()
    assert found["mse_mean"] == pytest.approx(wanted)
    assert found["psnr_mean"] == pytest.approx(psnr(wanted))
    assert found["validation/mse_mean"] < found["mse_mean"]
    assert found["psnr"] == float("inf")


def test_images_stand_beside_what_was_made_of_them(sets: Sets) -> None:
    figure = ReconstructionEvaluation(sets).figures(Off(0.1), 64)["reconstructions"]  # type: ignore[arg-type]
    assert [axis.get_title() for axis in figure.axes] == ["made again, 64 images seen", "real, held out"]


def test_a_method_that_makes_no_image_again_is_refused(
    sets: Sets, tables: dict[str, Any], make_trainer: Callable[..., Trainer]
) -> None:
    with pytest.raises(RecipeError, match="makes no image again"):
        ReconstructionEvaluation(sets).measure(make_trainer(tables).average)


def test_a_little_training_beats_no_training(sets: Sets, tables: dict[str, Any]) -> None:
    method = {"name": "autoencoder", "width": 8, "latent": 16}
    config = config_from_tables(tables | {"method": method, "optimizer": {"lr": 3e-3}}, "the test")
    trainer = Trainer(config, build(Autoencoder, config.method, sets.sample, 0), sets.train, Group())
    evaluation = ReconstructionEvaluation(sets)
    before = evaluation.before(trainer.average)
    for _ in range(100):
        trainer.step()
    assert evaluation.measure(trainer.average)["mse"] < 0.7 * before["mse"]
