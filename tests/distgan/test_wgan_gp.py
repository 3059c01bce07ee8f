"""The options of WGAN-GP that its paper has not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from distgan.engine.trainer import Trainer
from distgan.losses import gradient_penalty, r1_penalty

MakeTrainer = Callable[..., Trainer]


def test_a_lazy_penalty_is_paid_now_and_then_and_weighs_as_much_in_all(
    tables: dict[str, Any], make_trainer: MakeTrainer
) -> None:
    tables["method"] |= {"penalty": 2.0, "critic_norm": "layer"}
    always = make_trainer(tables)
    tables["method"]["penalty_every"] = 3
    lazy = make_trainer(tables)
    one, other = always._shard(0, 0), lazy._shard(0, 0)
    torch.testing.assert_close(lazy.method.critic_loss(other)["penalty"], 3 * always.method.critic_loss(one)["penalty"])
    paid = []
    for _ in range(7):
        paid.append("penalty" in lazy.step())
        assert "penalty" in always.step()
    assert paid == [True, False, False, True, False, False, True]


def test_a_lazy_run_goes_on_with_its_rhythm_after_a_restart(tables: dict[str, Any], make_trainer: MakeTrainer) -> None:
    tables["method"]["penalty_every"] = 4
    whole, second = make_trainer(tables), make_trainer(tables)
    for _ in range(3):
        whole.step()
    second.restore(whole.collect(), whole.steps)
    for _ in range(3):
        whole.step()
        second.step()
        assert second.digest() == whole.digest()


@pytest.mark.parametrize("kind", ["wgan_gp", "r1"])
def test_the_penalty_is_of_the_kind_that_was_asked_for(
    tables: dict[str, Any], make_trainer: MakeTrainer, kind: str
) -> None:
    tables["method"] |= {"penalty": 2.0, "penalty_kind": kind, "critic_norm": "layer"}
    trainer = make_trainer(tables)
    step, method = trainer._shard(0, 0), trainer.method
    real = step.batch.images
    with torch.no_grad():
        fake = method.preview(step)
    between = gradient_penalty(method.critic, real, fake, step.uniform("mix", len(real), 1, 1, 1))
    wanted = {"wgan_gp": between, "r1": r1_penalty(method.critic, real)}
    torch.testing.assert_close(method.critic_loss(step)["penalty"], 2 * wanted[kind])
