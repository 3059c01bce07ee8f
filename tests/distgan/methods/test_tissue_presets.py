"""The published settings of Han et al.'s code, number by number (its README, and `models/networks.py`)."""

import tomllib
from typing import Any

import pytest

from distgan.config.run_config import RECIPES, AnyRun, config_from_tables, read_config


def paper(name: str, preset: str = "paper") -> AnyRun:
    tables = {
        "run": {"name": "tiny", "images": 2000, **({} if preset == "paper" else {"batch_size": 1})},
        "data": {"store": "none"},
        "method": {"name": name, "preset": preset},
        "evaluate": {"every_images": 8},
        "checkpoint": {"every_images": 8},
    }
    return config_from_tables(tables, "the test")


NAMES = ["label_gan", "joint_gan", "unsupervised_gan", "label_to_image", "label_completion", "sgan", "dsgan"]
STEPS = dict.fromkeys(NAMES, 2) | {"dsgan": 1}
FIRST = {"scales": (1, 2, 4), "depths": (3, 3, 3), "weights": (0.5, 0.4, 0.1), "width": 32}
SECOND = {"scales": (1, 1), "depths": (3, 4), "weights": (0.5, 0.5), "width": 64}
FCGAN = {"noise": 8, "width": 32, "depth": 5, "norm": "instance_affine", "start": "image"}
REFINEMENT = {"kind": "refinement", "noise": 8, "width": 64, "depth": 6, "convolutions": 2, "sigma": 0.0}


def holds(table: Any, wanted: dict[str, Any]) -> bool:
    return {key: getattr(table, key) for key in wanted} == wanted


@pytest.mark.parametrize("name", NAMES)
def test_optimisers_batches_and_mirrors_are_the_published_ones(name: str) -> None:
    config = paper(name)
    assert config.run.batch_size == 1
    assert config.ema.half_life_images == 0
    assert (config.augment.flip, config.augment.quarter_turns, config.augment.shift_px) == (True, True, 0)
    assert (config.method.loss, config.method.pool) == ("cross_entropy", 50)
    assert config.method.generator_steps == STEPS[name]
    first = {"label_gan", "joint_gan", "unsupervised_gan"}
    for network, optimizer in config.optimizer.items():
        assert (optimizer.kind, optimizer.lr, optimizer.betas) == ("adam", 2e-4, (0.5, 0.999))
        constant = 0.5 if name in first or (name == "sgan" and network.startswith("label")) else 0.75
        assert (optimizer.schedule, optimizer.hold) == ("linear", constant)


@pytest.mark.parametrize("name", ["label_gan", "joint_gan", "unsupervised_gan"])
def test_stage_1(name: str) -> None:
    method = paper(name).method
    assert holds(method.generator, FCGAN)
    assert holds(method.critic, FIRST | {"norm": "instance", "weighted": False})


def test_the_ablations_differ_by_what_they_leave_out() -> None:
    assert paper("label_gan", "vector").method.generator.start == "vector"
    assert holds(paper("label_gan", "vector").method.critic, FIRST | {"weighted": False})
    for preset, depth in (("small_field", 3), ("large_field", 5)):
        method = paper("label_gan", preset).method
        assert holds(method.critic, {"scales": (1,), "depths": (depth,), "weights": (1.0,), "width": 32})
        assert holds(method.generator, FCGAN)
    dcgan = paper("label_gan", "dcgan").method
    assert holds(dcgan.generator, {"start": "vector", "width": 64, "depth": 5, "norm": "batch"})
    assert holds(dcgan.critic, {"kind": "whole", "scales": (1,), "norm": "batch"})


@pytest.mark.parametrize("name", ["label_to_image", "sgan"])
def test_stage_2(name: str) -> None:
    method = paper(name).method
    unet = {"kind": "unet", "width": 64, "unet_depth": 8, "noise": 0, "sigma": 0.1, "dropout": 0.5, "norm": "instance"}
    assert holds(method.translator, unet)
    assert holds(method.pair_critic, SECOND | {"weighted": False})
    assert (method.l1, method.l1_weights) == (10, (2, 4))
    if name == "sgan":
        assert method.label_reduction == 2
        assert holds(method.label_generator, FCGAN)
        assert holds(method.label_critic, FIRST | {"weighted": False})


def test_the_joint_stage() -> None:
    method = paper("dsgan").method
    assert holds(method.label_generator, FCGAN)
    assert holds(method.translator, REFINEMENT)
    assert holds(method.reader, {"width": 32, "depth": 7})
    two = {"scales": (1, 2), "depths": (3, 3), "weights": (0.5, 0.4), "width": 32, "weighted": False}
    assert holds(method.label_critic, two)
    four = {"scales": (1, 1, 2, 2), "depths": (3, 4, 3, 4), "weights": (0.3, 0.3, 0.2, 0.2), "width": 64}
    assert holds(method.pair_critic, four | {"weighted": False})
    weights = {"l1": 10, "regression": 10, "cycle": 5, "generated": 1, "l1_weights": (), "label_reduction": 2}
    assert holds(method, weights | {"pairs": "real", "reading": "trained"})


def test_without_the_published_departures_the_equations_hold() -> None:
    method = paper("dsgan", "default").method
    assert method.l1 == 0
    assert method.label_critic.weighted
    assert method.pair_critic.weighted


def test_a_key_of_a_table_leaves_the_others_as_the_method_has_them() -> None:
    table = paper("dsgan", "small").method.pair_critic
    assert holds(table, {"width": 16, "scales": (1, 2)})
    assert holds(paper("label_to_image", "small").method.pair_critic, {**SECOND, "width": 16})


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("vnc_*.toml")), ids=lambda path: path.stem)
def test_recipes_are_complete_and_use_what_they_prepare(recipe: Any) -> None:
    config = read_config(recipe)
    assert config.run.name == recipe.stem
    train, held_out = ([one for one in config.data.subset["section"] if (one > 9) == out] for out in (False, True))
    assert min(held_out) - max(train) == 3, "sections between show the cells of both"
    assert config.data.split is not None
    tables = tomllib.loads(recipe.read_text(encoding="utf-8"))
    assert "split" in tables["data"]
