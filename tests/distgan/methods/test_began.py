"""The balance of BEGAN."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from distgan.engine.trainer import Trainer


@pytest.fixture
def one(tables: dict[str, Any], make_trainer: Callable[..., Trainer]) -> Trainer:
    keys = {"name": "began", "width": 4, "critic_width": 4, "control": 0.5}
    return make_trainer(tables | {"method": keys})


def test_k_follows_the_mean_of_all_shards(one: Trainer) -> None:
    method: Any = one.method
    before = method.k.item()
    terms = one.step()
    balance = 0.75 * terms["real"] - terms["error/fake"]
    assert balance != 0
    assert method.k.item() == pytest.approx(min(max(before + 0.5 * balance.item(), 1e-8), 1))
    assert terms["k/critic"].item() == before


@pytest.mark.parametrize(("real", "fake", "wanted"), [(0.4, 0.1, 0.6), (9.0, 0.1, 1.0), (0.0, 9.0, 1e-8)])
def test_k_stays_between_its_ends(one: Trainer, real: float, fake: float, wanted: float) -> None:
    method: Any = one.method
    method.k.fill_(0.5)
    method.after_step({"real": torch.tensor(real), "error/fake": torch.tensor(fake)})
    assert method.k.item() == pytest.approx(wanted)


def test_the_critic_is_to_miss_fakes_by_as_much_as_k_says(one: Trainer) -> None:
    method: Any = one.method
    method.k.fill_(0.5)
    found = method.critic_loss(one._shard(0, 0))
    assert found["fake"].item() == pytest.approx(-0.5 * found["error/fake"].item())
    wanted = found["real"] + (0.75 * found["real"] - found["error/fake"]).abs()
    assert found["convergence/critic"].item() == pytest.approx(wanted.item())
    assert not found["error/fake"].requires_grad


def test_k_is_kept_in_the_state_of_a_run(one: Trainer) -> None:
    one.step()
    state = {name: value.clone() for name, value in one.collect().items()}
    k: Any = one.method.k
    assert any(torch.equal(value, k) for name, value in state.items() if name.endswith("k"))
    k.fill_(0.9)
    one.restore(state, 1)
    assert one.method.k != 0.9
