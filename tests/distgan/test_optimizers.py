"""The learning rate along a run, and what each optimizer is given."""

from typing import Any

import pytest
import torch
from torch import nn

from distgan.config.sections import Optimizer
from distgan.engine.optimizers import make_optimizer, rate_factor


def config(**fields: Any) -> Optimizer:
    return Optimizer.model_validate({"lr": 0.5} | fields)


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("linear", [1, 0.75, 0.5, 0.25, 0]),
        ("cosine", [1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5, 0]),
    ],
)
def test_schedules_run_from_one_to_their_end(schedule: str, wanted: list[float]) -> None:
    found = [rate_factor(config(schedule=schedule), seen, 400) for seen in range(0, 401, 100)]
    assert found == pytest.approx(wanted)
    assert rate_factor(config(schedule=schedule), 999, 400) == pytest.approx(wanted[-1])


def test_rates_may_stay_for_a_share_of_the_run_before_they_fall() -> None:
    """200 epochs of which the first 150 are constant, as in pix2pix."""
    held = config(schedule="linear", hold=0.75)
    assert [rate_factor(held, seen, 200) for seen in (0, 100, 150, 175, 200, 300)] == [1, 1, 1, 0.5, 0, 0]
    assert rate_factor(config(schedule="cosine", hold=0.5), 300, 400) == pytest.approx(0.5)
    assert rate_factor(config(schedule="constant", hold=0.5), 399, 400) == 1


def test_a_staircase_falls_by_the_same_part_after_every_so_many_images() -> None:
    steps = config(schedule="staircase", decay=0.5, decay_images=100)
    assert [rate_factor(steps, seen, 400) for seen in (0, 99, 100, 199, 200, 400, 800)] == [
        1,
        1,
        0.5,
        0.5,
        0.25,
        0.0625,
        0.5**8,
    ]


def test_warmup_rises_to_the_schedule() -> None:
    warm = config(schedule="linear", warmup_images=100)
    assert rate_factor(warm, 0, 400) == pytest.approx(0.01)
    assert rate_factor(warm, 49, 400) == pytest.approx(0.5 * (1 - 49 / 400))
    assert rate_factor(warm, 200, 400) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("kind", "name"), [("adam", torch.optim.Adam), ("rmsprop", torch.optim.RMSprop), ("sgd", torch.optim.SGD)]
)
def test_an_optimizer_has_its_settings_and_leaves_frozen_weights_alone(
    kind: str, name: type[torch.optim.Optimizer]
) -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].requires_grad_(False)
    made = make_optimizer(config(kind=kind, betas=(0.25, 0.5)), network)
    assert type(made) is name
    (group,) = made.param_groups
    assert group["params"] == list(network[1].parameters())
    assert group["lr"] == 0.5
    assert group.get("betas", (0.25, 0.5)) == (0.25, 0.5)
    assert group.get("momentum", 0) == (0.25 if kind == "sgd" else 0)


@pytest.mark.parametrize("kind", ["adam", "rmsprop", "sgd"])
def test_parts_of_a_network_learn_at_parts_of_the_rate(kind: str) -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    made = make_optimizer(config(kind=kind), network, lambda name: 0.1 if name.startswith("1.") else 1.0)
    whole, part = made.param_groups
    assert whole["params"] == [*network[0].parameters(), *network[2].parameters()]
    assert part["params"] == list(network[1].parameters())
    assert [(group["lr"], group["factor"]) for group in (whole, part)] == [(0.5, 1.0), (0.05, 0.1)]
