"""The two terms of a variational autoencoder."""

from typing import Any

import pytest
import torch

from distgan.config.run_config import config_from_tables
from distgan.method import Batch, Sample, Step, build
from distgan.methods.vae import Vae


def method(preset: str = "default", **keys: Any) -> Any:
    tables = {
        "run": {"name": "tiny", "images": 100} | ({} if preset == "paper" else {"batch_size": 4}),
        "data": {"store": "none"},
        "method": {"name": "vae", "preset": preset, "width": 4, **keys},
        "evaluate": {"every_images": 8},
        "checkpoint": {"every_images": 8},
    }
    config = config_from_tables(tables, "the test")
    return config, build(Vae, config.method, Sample((2, 32, 32)), 0)


STEP = Step(Batch(torch.rand(4, 2, 32, 32) * 2 - 1), 0)


def test_the_paper_s_settings_are_the_published_ones() -> None:
    config, _ = method("paper")
    assert (config.method.deviation, config.method.latent, config.method.beta) == (0.1, 256, 1)
    assert Vae.Config(name="vae").width == 32
    for one in config.optimizer.values():
        assert (one.lr, one.betas, one.decay, one.decay_images) == (1e-3, (0.9, 0.999), 0.996, 12_800)
    assert config.run.batch_size == 128


def test_without_noise_the_error_is_that_of_the_reconstruction_from_black_0_to_white_1() -> None:
    _, one = method(deviation=0.0)
    found = one.loss(STEP)["reconstruction"]
    squares = (one.reconstruction(STEP.batch) / 2 - STEP.batch.images / 2).square()
    assert found.item() == pytest.approx(squares.sum().item() / 4, rel=1e-5)
    _, noisy = method()
    assert noisy.loss(STEP)["reconstruction"] != found


def test_codes_that_are_normal_do_not_diverge() -> None:
    _, one = method(beta=2.0, latent=8)
    with torch.no_grad():
        one.encoder.dense.weight.zero_()
        assert one.loss(STEP)["divergence"] == 0
        one.encoder.dense.bias[:8] = 3.0
    assert one.loss(STEP)["divergence"].item() == pytest.approx(2 * 8 * 4.5)
