"""Weights to begin with, out of another model: `[init]`."""

from collections.abc import Mapping
from pathlib import Path

import torch

from distgan.config.sections import Init
from distgan.method import Method
from distgan.model import load_model
from storage.errors import RecipeError


def initialise(method: Method, given: Mapping[str, Init]) -> None:
    """Put the weights of other models into networks of the method, but for those it wants to learn anew.

    Raises RecipeError: the model has no such network, or its weights have other names or shapes; or a network that
    never learns is given none.
    Raises MissingError, DataError: as `load_model`; or the model is not the one it was when the run began.
    """
    if missing := [name for name in method.frozen if name not in given]:
        raise RecipeError(
            f"{method.config.name} never changes its {missing[0]}, so it must come from a model",
            f"[init] does not name {missing[0]}",
            f"Train that model first, and set init.{missing[0]}",
        )
    for name, init in given.items():
        assert name in method.networks, "config_from_tables checks that"
        model = load_model(Path(init.model))
        if init.digest and model.digest != init.digest:
            raise RecipeError(
                f"init.{name} is another model than when the run began",
                f"{init.model} has digest {model.digest[:12]}..., and it was {init.digest[:12]}...",
                "Put the model back, or begin another run by --set run.name=NAME",
            )
        source = init.network or name
        if source not in model.method.networks:
            raise RecipeError(
                f"the model of init.{name} has no network {source!r}",
                f"its networks are {', '.join(model.method.networks)}",
                f"Name one of these: init.{name} = {{ model = {str(init.model)!r}, network = ... }}",
            )
        _take(method, name, model.method.network(source).state_dict())


def _take(method: Method, name: str, weights: Mapping[str, torch.Tensor]) -> None:
    network = method.network(name)

    def shapes(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
        anew = {key for key in state for part in method.anew if f"{key}.".startswith(f"{part}.")}
        return {key: tuple(value.shape) for key, value in state.items() if key not in anew}

    wanted, found = shapes(network.state_dict()), shapes(weights)
    if wanted != found:
        key = min(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
        raise RecipeError(
            f"the weights for init.{name} do not fit",
            f"{key} is {found.get(key, 'not there')} in the model and {wanted.get(key, 'not there')} in the network",
            "Give both the same structure, widths, sizes, channels and normalisation",
        )
    network.load_state_dict(network.state_dict() | {key: weights[key] for key in found})
