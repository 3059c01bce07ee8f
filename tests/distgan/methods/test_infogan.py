"""Which network learns what in InfoGAN, and its codes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from distgan.engine.trainer import Trainer
from distgan.method import Term


@pytest.fixture
def one(tables: dict[str, Any], make_trainer: Callable[..., Trainer]) -> Trainer:
    keys = {"name": "infogan", "width": 4, "critic_width": 4, "codes": 3}
    return make_trainer(tables | {"method": keys})


def test_noise_ends_with_codes_between_minus_one_and_one(one: Trainer) -> None:
    method: Any = one.method
    noise = torch.cat([method.noise(one._shard(0, repeat), "x") for repeat in range(2)])
    codes = noise[:, -3:]
    assert noise.shape[1] == 103
    assert -1 <= codes.min() < -0.5
    assert 0.5 < codes.max() < 1
    assert noise[:, :-3].abs().max() > 1.5


def test_the_posterior_learns_from_fakes_alone_and_the_scores_move_the_critic_alone(one: Trainer) -> None:
    method: Any = one.method
    terms = method.critic_loss(one._shard(0, 0))
    assert {name: term.into for name, term in terms.items() if isinstance(term, Term)} == {
        "real": ("critic",),
        "fake": ("critic",),
    }
    weights = list(method.posterior.parameters())
    assert all(each.abs().max() > 0 for each in torch.autograd.grad(terms["posterior"], weights, retain_graph=True))
    first = method.critic.convolutions[0].weight
    (shared,) = torch.autograd.grad(terms["posterior"], [first])
    assert shared.abs().max() > 0


def test_the_right_codes_surprise_less_than_others(one: Trainer) -> None:
    method: Any = one.method
    activations = torch.randn(50, method.critic.features, 1, 1)
    mean, _ = method.posterior(activations)
    noise = torch.cat([torch.zeros(50, 100), mean.detach()], 1)
    assert method.surprise(activations, noise) < method.surprise(activations, noise + 1)
