"""Which term of equation 6 teaches which network."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from distgan.engine.trainer import Trainer
from distgan.method import Term
from distgan.methods.dsgan import gradient_share

Make = Callable[..., Trainer]
GENERATORS = ("label_generator", "translator", "reader")


def taught(one: Trainer, term: str) -> set[str]:
    """The networks that a term of the generators' loss has a slope in."""
    method: Any = one.method
    value = method.generators_loss(one._shard(0, 0))[term]
    value = value.value if isinstance(value, Term) else value
    found = set()
    for name in GENERATORS:
        parameters = list(method.network(name).parameters())
        slopes = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
        if any(slope is not None and slope.abs().sum() > 0 for slope in slopes):
            found.add(name)
    return found


def test_every_term_teaches_whom_the_equation_says(make_tissue: Make) -> None:
    one = make_tissue("dsgan", l1=10.0)
    assert taught(one, "label_generator") == {"label_generator"}
    assert taught(one, "translator") == {"translator"}
    assert taught(one, "l1") == {"translator"}
    assert taught(one, "regression") == {"reader"}
    assert taught(one, "cycle") == {"translator", "reader"}
    assert taught(one, "cycle_generated") == set(GENERATORS)


def test_with_generated_pairs_the_labels_are_taught_by_the_pair_critic_too(make_tissue: Make) -> None:
    one = make_tissue("dsgan", pairs="generated")
    assert taught(one, "translator") == {"label_generator", "translator"}
    method: Any = one.method
    step = one._shard(0, 0)
    seen: list[torch.Tensor] = []
    method.pair_critic.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    method.pair_critic_loss(step)
    real, fake = seen
    assert torch.equal(real[:, :2], method.given(step))
    assert not torch.equal(fake[:, :2].abs(), torch.ones_like(fake[:, :2]))


def test_the_pair_critic_is_shown_real_labels_alone(make_tissue: Make) -> None:
    one = make_tissue("dsgan")
    method: Any = one.method
    step = one._shard(0, 0)
    seen: list[torch.Tensor] = []
    method.pair_critic.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    method.pair_critic_loss(step)
    assert all(torch.equal(pair[:, :2], method.given(step)) for pair in seen)


def test_a_reader_apart_learns_and_teaches_nobody(make_tissue: Make) -> None:
    one = make_tissue("dsgan", reading="apart")
    assert taught(one, "cycle") == taught(one, "cycle_generated") == {"reader"}
    assert "reader" in one.turns[-1].networks


def test_a_frozen_reader_teaches_and_stays(make_tissue: Make) -> None:
    one = make_tissue("dsgan", reading="frozen")
    method: Any = one.method
    assert "regression" not in method.generators_loss(one._shard(0, 0))
    assert one.turns[-1].networks == ("label_generator", "translator")
    before = [p.detach().clone() for p in method.reader.parameters()]
    one.step()
    assert all(torch.equal(p, old) for p, old in zip(method.reader.parameters(), before, strict=True))
    assert "translator" in taught(one, "cycle")


def test_the_terms_are_weighted_and_the_target_of_the_last_is_held(make_tissue: Make) -> None:
    one = make_tissue("dsgan", regression=7.0, cycle=3.0, generated=0.5)
    method: Any = one.method
    step = one._shard(0, 0)
    real = method.given(step)
    found = method.generators_loss(step)
    wanted = F.binary_cross_entropy_with_logits(method.reader(step.batch.images), (real + 1) / 2)
    assert found["regression"].item() == pytest.approx(7 * wanted.item(), rel=1e-5)
    made = method.translated(step, real, "translator")
    wanted = F.binary_cross_entropy_with_logits(method.reader(made), (real + 1) / 2)
    assert found["cycle"].item() == pytest.approx(3 * wanted.item(), rel=1e-5)
    images = torch.zeros(1, 1, 32, 32)
    labels = torch.zeros(1, 2, 32, 32, requires_grad=True)
    term = method.readings(images, labels, images, labels, images)["cycle_generated"]
    (slope,) = torch.autograd.grad(term, labels, allow_unused=True)
    assert slope is None


def test_the_share_of_the_labels_in_a_slope_is_told() -> None:
    critic = nn.Conv2d(3, 1, 1)
    with torch.no_grad():
        critic.weight.copy_(torch.tensor([3.0, -1.0, 4.0]).view(1, 3, 1, 1))
    pair = torch.randn(2, 3, 8, 8, requires_grad=True)
    assert gradient_share(critic(pair).mean(), pair, 2)["gradient_share/labels"].item() == pytest.approx(0.5)


def test_the_share_is_logged_when_it_is_asked_for(make_tissue: Make) -> None:
    terms = make_tissue("dsgan", gradient_shares=True).step()
    assert 0 < terms["gradient_share/labels"] < 1
    assert "gradient_share/labels" not in make_tissue("dsgan").step()
