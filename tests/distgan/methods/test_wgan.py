"""Clipped weights, and the published penalty."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from distgan.engine.trainer import Trainer
from distgan.losses import gradient_penalty


def wgan(tables: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return tables | {"method": {"name": "wgan", "width": 4, "critic_width": 4, **keys}}


def test_weights_are_clipped_each_time_the_critic_has_learned(
    tables: dict[str, Any], make_trainer: Callable[..., Trainer]
) -> None:
    one = make_trainer(wgan(tables, clip=0.03))
    critic, generator = one.turns
    before = [weight.detach().clone() for weight in one.method.network("critic").parameters()]
    assert max(weight.abs().max() for weight in before) > 0.03
    one.take(critic, 0)
    after = list(one.method.network("critic").parameters())
    assert max(weight.abs().max() for weight in after).item() == pytest.approx(0.03)
    for new, old in zip(after, before, strict=True):
        inside = old.abs() < 0.02  # RMSProp has moved these by less than its rate times ten
        assert torch.allclose(new[inside], old[inside], atol=1e-3)
    free = [weight.detach().clone() for weight in one.method.network("generator").parameters()]
    one.take(generator, 0)
    assert max(weight.abs().max() for weight in one.method.network("generator").parameters()) > 0.03
    assert free


def test_without_a_limit_nothing_is_clipped(tables: dict[str, Any], make_trainer: Callable[..., Trainer]) -> None:
    one = make_trainer(wgan(tables, preset="paper"))
    one.step()
    assert max(weight.abs().max() for weight in one.method.network("critic").parameters()) > 0.03


@pytest.mark.parametrize("mix", ["image", "pixel"])
def test_the_penalty_is_of_noisy_images_between_real_and_fake(
    tables: dict[str, Any], make_trainer: Callable[..., Trainer], mix: str
) -> None:
    one = make_trainer(wgan(tables, preset="paper", mix=mix))
    method: Any = one.method
    step = one._shard(0, 0)
    found = method.critic_loss(step)["penalty"]
    real, fake = step.batch.images, method.fake(step, "critic")
    place = step.uniform("mix", *(real.shape if mix == "pixel" else (len(real), 1, 1, 1)))
    noise = 0.1 * step.normal("input mixed", *real.shape)
    between = place * real + (1 - place) * fake + noise
    wanted = 10 * gradient_penalty(method.critic, between, between, torch.zeros(1), {})
    assert found.item() == pytest.approx(wanted.item(), rel=1e-3)
