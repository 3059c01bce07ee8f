"""A network that begins with another model's weights has them all, or the run is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch

from distgan.config.run_config import AnyRun, config_from_tables
from distgan.engine.initialisation import initialise
from distgan.method import Method, Sample, build
from distgan.methods import load_method
from distgan.model import load_model
from storage.errors import MissingError, RecipeError


def made(config: AnyRun, channels: int = 1) -> Method:
    return build(load_method(config.method.name), config.method, Sample((channels, 32, 32)), seed=7)


def with_init(tables: dict[str, Any], **init: Any) -> AnyRun:
    return config_from_tables(tables | {"init": init}, "the test")


def test_a_network_takes_the_weights_and_the_others_keep_theirs(tables: dict[str, Any], finished: Path) -> None:
    config = with_init(tables, critic=str(finished / "model"))
    method, untouched, model = made(config), made(config), load_model(finished / "model")
    initialise(method, config.init)
    for name, value in method.critic.state_dict().items():
        assert torch.equal(value, model.method.critic.state_dict()[name])
    for name, value in method.generator.state_dict().items():
        assert torch.equal(value, untouched.generator.state_dict()[name])


def test_parts_to_be_learnt_anew_are_left_as_they_were(
    tables: dict[str, Any], finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_init(tables, critic=str(finished / "model"))
    method, untouched = made(config), made(config)
    monkeypatch.setattr(type(method), "anew", ("score",))
    initialise(method, config.init)
    assert torch.equal(method.critic.score.weight, untouched.critic.score.weight)
    assert not torch.equal(method.critic.dense[1].weight, untouched.critic.dense[1].weight)


def test_a_part_to_be_learnt_anew_may_be_a_single_weight_and_never_half_a_name(
    tables: dict[str, Any], finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_init(tables, critic=str(finished / "model"))
    method, untouched = made(config), made(config)
    monkeypatch.setattr(type(method), "anew", ("dense.1.weight", "convolutions.3.w"))
    initialise(method, config.init)
    assert torch.equal(method.critic.dense[1].weight, untouched.critic.dense[1].weight)
    assert not torch.equal(method.critic.convolutions[3].weight, untouched.critic.convolutions[3].weight)


def test_weights_that_do_not_fit_are_refused(tables: dict[str, Any], finished: Path) -> None:
    config = with_init(tables, critic=str(finished / "model"))
    with pytest.raises(RecipeError, match=r"convolutions\.0\.weight is \(4, 1, 4, 4\) in the model and \(4, 2, 4, 4\)"):
        initialise(made(config, channels=2), config.init)
    other = with_init(tables, critic={"model": str(finished / "model"), "network": "generator"})
    with pytest.raises(RecipeError, match="do not fit"):
        initialise(made(other), other.init)


def test_a_network_that_is_not_there_is_named(tables: dict[str, Any], finished: Path) -> None:
    with pytest.raises(RecipeError, match=r"init\.critick.*networks are critic, generator"):
        with_init(tables, critick=str(finished / "model"))
    config = with_init(tables, critic={"model": str(finished / "model"), "network": "encoder"})
    with pytest.raises(RecipeError, match=r"no network 'encoder'.*critic, generator"):
        initialise(made(config), config.init)
    config = with_init(tables, critic=str(finished / "nowhere"))
    with pytest.raises(MissingError):
        initialise(made(config), config.init)


def test_a_model_that_was_exchanged_is_refused(tables: dict[str, Any], finished: Path) -> None:
    config = with_init(tables, critic={"model": str(finished / "model"), "digest": "0" * 64})
    with pytest.raises(RecipeError, match="another model than when the run began"):
        initialise(made(config), config.init)
