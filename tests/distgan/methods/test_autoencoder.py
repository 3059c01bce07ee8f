"""Both shapes of the plain autoencoder."""

from typing import Any

import pytest
import torch

from distgan.method import Batch, Sample, Step, build
from distgan.methods.autoencoder import Autoencoder
from distgan.networks.autoencoder import DenseEncoder
from distgan.networks.vae import Encoder


def method(preset: str) -> Any:
    keys = Autoencoder.presets[preset].get("method", {})
    return build(Autoencoder, Autoencoder.Config(name="autoencoder", **keys), Sample((2, 32, 32)), 0)


@pytest.mark.parametrize(("preset", "kind"), [("paper", Encoder), ("dense", DenseEncoder)])
def test_the_published_codes_are_of_32_numbers(preset: str, kind: type) -> None:
    one = method(preset)
    assert isinstance(one.encoder, kind)
    assert one.representation(torch.zeros(3, 2, 32, 32)).shape == (3, 32)


def test_the_loss_is_the_mean_squared_error_of_the_preview() -> None:
    one = method("default")
    step = Step(Batch(torch.rand(4, 2, 32, 32) * 2 - 1), 0)
    wanted = (one.preview(step) - step.batch.images).square().mean()
    assert one.loss(step)["reconstruction"].item() == pytest.approx(wanted.item())
