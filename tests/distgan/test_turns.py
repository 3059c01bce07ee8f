"""Passes over the shards: what they find, and that they move nothing."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from distgan.engine.trainer import Trainer
from distgan.engine.turns import Found
from distgan.method import Step

MakeTrainer = Callable[..., Trainer]


def found_by(trainer: Trainer) -> Found:
    return trainer.passes(trainer.turns[0], lambda shard: trainer._shard(shard, 0))


@pytest.fixture
def batch_normed(tables: dict[str, Any]) -> dict[str, Any]:
    return tables | {"method": tables["method"] | {"critic_norm": "batch"}}


def test_passes_move_nothing_and_can_be_made_again(batch_normed: dict[str, Any], make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(batch_normed)
    before = trainer.digest()
    first, again = found_by(trainer), found_by(trainer)
    assert trainer.digest() == before
    assert all(parameter.grad is None for parameter in trainer.method.parameters())
    for one, other in ((first.gradients, again.gradients), (first.buffers, again.buffers), (first.terms, again.terms)):
        assert one
        assert all(torch.equal(value, other[key]) for key, value in one.items())  # type: ignore[index]
    assert any(not torch.equal(value, buffer) for buffer, value in first.buffers.items())


@pytest.mark.parametrize("where", ["term", "gradient", "statistic", "nowhere"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_mean_that_is_not_finite_is_seen_and_named(
    batch_normed: dict[str, Any], make_trainer: MakeTrainer, where: str, bad: float
) -> None:
    trainer = make_trainer(batch_normed)
    right, norm = trainer.turns[0].loss, trainer.method.critic.convolutions[1]

    def loss(step: Step) -> Mapping[str, Tensor]:
        terms = dict(right(step))
        wrong = bad if step.shard == 1 else 0.0
        if where == "term":
            terms["told"] = torch.tensor(wrong)
        if where == "gradient":
            terms["slope"] = (
                trainer.method.critic.score.weight.mul(0).add(0.0 if wrong else 1.0).sqrt().sum()
            )  # infinite, times nought
        if where == "statistic":
            norm.running_mean.data[0] += wrong
        return terms

    found = trainer.passes(type(trainer.turns[0])("critic", ("critic",), loss), lambda shard: trainer._shard(shard, 0))
    assert bool(found.finite) is (where == "nowhere")
    if where != "nowhere":
        assert (
            trainer.passes.fault(found)
            == {
                "term": "the term told",
                "gradient": "the gradient of critic.score.weight",
                "statistic": "critic.convolutions.1.running_mean",
            }[where]
        )


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_half_precision_is_near_the_whole_and_leaves_the_state_in_single(
    tables: dict[str, Any], make_trainer: MakeTrainer, norm: str
) -> None:
    tables["method"]["critic_norm"] = norm
    single = make_trainer(tables)
    tables["run"]["precision"] = "bfloat16"
    half = make_trainer(tables)
    wanted, found = found_by(single), found_by(half)
    assert list(found.terms) == list(wanted.terms)
    assert all(value.dtype == torch.float32 for value in (*found.gradients.values(), *found.terms.values()))
    one, other = (torch.cat([g.flatten() for g in each.gradients.values()]) for each in (wanted, found))
    assert 1e-5 < (one - other).norm() / one.norm() < 0.1
    half.step()
    assert {name: value.dtype for name, value in half.collect().items()} == {
        name: value.dtype for name, value in (single.step(), single.collect())[1].items()
    }
