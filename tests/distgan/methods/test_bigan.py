"""Dropout by named noise, and who learns what in BiGAN."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from distgan.engine.trainer import Trainer


@pytest.fixture
def one(tables: dict[str, Any], make_trainer: Callable[..., Trainer]) -> Trainer:
    keys = {"name": "bigan", "width": 4, "critic_width": 4, "dense_width": 4, "prior": "uniform", "dropout": 0.25}
    return make_trainer(tables | {"method": keys})


def test_dropout_is_of_the_step_and_the_layer_and_keeps_the_mean(one: Trainer) -> None:
    method: Any = one.method
    step, ones = one._shard(0, 0), torch.ones(100, 200)
    drop = method.dropout(step, "real")
    found = drop(ones, 3)
    assert (found == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert found.mean().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(drop(ones, 3), found)
    assert not torch.equal(drop(ones, 4), found)
    assert not torch.equal(method.dropout(step, "fake")(ones, 3), found)
    method.eval()
    assert method.dropout(step, "real")(ones, 3) is ones


def test_each_network_learns_from_the_pair_it_made_half_of(one: Trainer) -> None:
    method: Any = one.method
    terms = method.coding_loss(one._shard(0, 0))
    assert {name: term.into for name, term in terms.items()} == {"generator": ("generator",), "encoder": ("encoder",)}
    (alone,) = torch.autograd.grad(
        terms["encoder"].value, [method.generator.dense[0].weight], allow_unused=True, retain_graph=True
    )
    assert alone is None
    (own,) = torch.autograd.grad(terms["encoder"].value, [method.encoder.dense.weight])
    assert own.abs().max() > 0


def test_codes_and_samples_are_drawn_alike(one: Trainer) -> None:
    """The published code trains with uniform codes and shows samples of normal ones."""
    method: Any = one.method
    for name in ("critic", "preview"):
        codes = method.noise(one._shard(0, 0), name)
        assert 0 <= codes.min() < codes.max() < 1


def test_a_reconstruction_is_of_each_image_alone(one: Trainer) -> None:
    method: Any = one.method
    step = one._shard(0, 0)
    found = method.reconstruction(step.batch)
    assert found.shape == step.batch.images.shape
    assert torch.equal(method.eval().reconstruction(step.batch), found)
