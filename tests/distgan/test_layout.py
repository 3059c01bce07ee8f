"""Weights with their channels last: the same training, whatever goes through them by address."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from distgan.config.sections import Optimizer
from distgan.engine.memory_format import copied, flat, put_channels_last, unflat
from distgan.engine.optimizers import make_optimizer
from distgan.engine.trainer import Trainer

MakeTrainer = Callable[..., Trainer]
LAST = torch.channels_last


@pytest.fixture
def channels_last(tables: dict[str, Any]) -> dict[str, Any]:
    tables["run"]["memory_format"] = "channels_last"
    return tables


@pytest.mark.parametrize(
    "shape", [(3,), (4, 5), (2, 3, 4, 4), (2, 1, 4, 4), (1, 3, 4, 4), (2, 3, 1, 1), (2, 3, 2, 2, 2)]
)
@pytest.mark.parametrize("order", ["contiguous", "last"])
def test_what_is_made_flat_comes_back_in_the_order_of_its_weight(shape: tuple[int, ...], order: str) -> None:
    module = nn.Module()
    module.weight = nn.Parameter(torch.zeros(shape))
    put_channels_last(module)
    value = torch.arange(module.weight.numel(), dtype=torch.float32).view(shape)
    given = value if order == "contiguous" else copied(value, module.weight)
    numbers = flat(given, module.weight)
    assert numbers.shape == (value.numel(),)
    back = unflat(torch.cat([torch.zeros(5), numbers])[5:], module.weight)
    assert torch.equal(back, value)
    assert back.stride() == module.weight.stride()
    module.weight.data.copy_(value)
    assert torch.equal(module.weight.data.as_strided((value.numel(),), (1,)), numbers)


@pytest.mark.parametrize("kind", ["adam", "rmsprop", "sgd"])
def test_every_optimizer_moves_weights_of_both_orders_alike(kind: str) -> None:
    config = Optimizer.model_validate({"kind": kind, "lr": 0.1, "betas": (0.5, 0.9)})
    plain, last = nn.Conv2d(3, 2, 4), nn.Conv2d(3, 2, 4)
    last.load_state_dict(plain.state_dict())
    put_channels_last(last)
    optimizers = [make_optimizer(config, one) for one in (plain, last)]
    for _ in range(3):
        gradient = torch.randn(2, 3, 4, 4)
        plain.weight.grad, last.weight.grad = gradient, copied(gradient, last.weight)
        for one in optimizers:
            one.step()
    assert last.weight.is_contiguous(memory_format=LAST)
    torch.testing.assert_close(last.weight, plain.weight, rtol=0, atol=1e-6)


def test_gradients_moments_and_averages_lie_as_their_weights_also_after_a_restart(
    channels_last: dict[str, Any], make_trainer: MakeTrainer
) -> None:
    whole, second = make_trainer(channels_last), make_trainer(channels_last)
    for _ in range(3):
        whole.step()
    second.restore(whole.collect(), whole.steps)
    for one in (whole, second):
        found = one.passes(one.turns[0], partial(one._shard, repeat=0))
        weights = [weight for weight in one.method.parameters() if not weight.is_contiguous()]
        assert len(weights) > 4
        assert all(gradient.stride() == weight.stride() for weight, gradient in found.gradients.items())
        for optimizer in one.optimizers.values():
            for weight, memory in optimizer.state.items():
                assert all(v.stride() == weight.stride() for v in memory.values() if v.shape == weight.shape)
    for average, weight in zip(whole.average.parameters(), whole.method.parameters(), strict=True):
        assert average.stride() == weight.stride()
    assert second.digest() == whole.digest()
    for _ in range(3):
        whole.step()
        second.step()
        assert second.digest() == whole.digest()


def test_training_with_the_channels_last_is_training_up_to_rounding(
    channels_last: dict[str, Any], make_trainer: MakeTrainer
) -> None:
    last = make_trainer(channels_last)
    channels_last["run"]["memory_format"] = "contiguous"
    plain = make_trainer(channels_last)
    assert list(last.collect()) == list(plain.collect())
    for number in range(2):
        found = [one.passes(one.turns[number], partial(one._shard, repeat=0)) for one in (last, plain)]
        ours, theirs = (torch.cat([value.flatten() for value in one.gradients.values()]) for one in found)
        assert (ours - theirs).norm() < 1e-5 * theirs.norm()
