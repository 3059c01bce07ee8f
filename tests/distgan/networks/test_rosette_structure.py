"""Other structures of the classifier: what is added is there, and what is published stays as it is."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distgan.config.run_config import config_from_tables
from distgan.engine.initialisation import initialise
from distgan.inference.detector import Detector
from distgan.method import Sample, build
from distgan.methods import load_method
from distgan.methods.transfer_classifier import TransferClassifier
from distgan.networks.rosette import Critic
from storage.errors import RecipeError

CARD = {"value_range": (0, 255), "dtype": "uint8", "channels": ["light"]}
Keys = dict[str, Any]


def critic(size: int = 32, **keys: Any) -> Critic:
    torch.manual_seed(0)
    return Critic(1, size, 4, "batch", 0.1, outputs=2, **keys)


def made(name: str = "transfer_classifier", size: int = 32, **keys: Any) -> TransferClassifier:
    kind = load_method(name)
    config = kind.Config.model_validate({"name": name, "positive": "b", "width": 4} | keys)
    method = build(kind, config, Sample((1, size, size), classes={"label": ("a", "b")}), 0)
    assert isinstance(method, TransferClassifier)
    return method


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in network.named_parameters()}


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("keys", [{}, {"depth": 2}, {"depth": 3, "skip": True, "downsample": "pool"}])
def test_every_structure_fits_every_size(size: int, keys: Keys) -> None:
    network = critic(size, **keys)
    assert network(torch.randn(2, 1, size, size)).shape == (2, 2)
    assert network.convolutions(torch.randn(2, 1, size, size)).shape[2:] == (4, 4)


def test_windows_of_a_bag_may_be_looked_at_by_any_structure() -> None:
    method = made("bag_classifier", 64, depth=2, skip=True, downsample="pool")
    assert not method.classifier.strided
    assert method.scores(torch.randn(2, 1, 64, 64)).shape == (2, 2)


def test_pooling_has_the_weights_of_strides_at_every_place() -> None:
    strides, pooled = critic(), critic(downsample="pool")
    assert sorted(shapes(strides).values()) == sorted(shapes(pooled).values())
    first, own = strides.convolutions[0], pooled.convolutions[0]
    assert isinstance(own, nn.Sequential)
    own[0].load_state_dict(first.state_dict())
    images = torch.randn(2, 1, 32, 32)
    everywhere: Tensor = own[0](images)
    torch.testing.assert_close(everywhere[..., ::2, ::2], first(images))
    assert torch.equal(own(images), everywhere.unflatten(3, (16, 2)).unflatten(2, (16, 2)).amax((3, 5)))


def test_depth_adds_convolutions_of_three_by_three_and_nothing_else() -> None:
    plain, deep = shapes(critic()), shapes(critic(depth=3))
    assert {name: shape for name, shape in deep.items() if name in plain} == plain
    added = [shape for name, shape in deep.items() if name not in plain and len(shape) == 4]
    assert added == [(4, 4, 3, 3)] * 2 + [(8, 8, 3, 3)] * 2 + [(16, 16, 3, 3)] * 2


@pytest.mark.parametrize("skip", [False, True])
def test_a_skip_leads_around_what_says_nothing(skip: bool) -> None:
    plain, deep = critic().eval(), critic(depth=2, skip=skip).eval()
    deep.load_state_dict(deep.state_dict() | plain.state_dict())
    for name, weight in deep.named_parameters():
        if name not in shapes(plain):
            nn.init.zeros_(weight)
    images = torch.randn(2, 1, 32, 32)
    assert torch.equal(deep(images), plain(images)) == skip


def test_a_skip_without_anything_to_lead_around_is_refused() -> None:
    with pytest.raises(ValueError, match="set depth to 2 or more"):
        made(skip=True)


def test_what_was_added_learns_as_its_size_does() -> None:
    method = made(depth=2, rate_decay=0.5)
    rates = {name: method.rate("classifier", name) for name in shapes(method.classifier)}
    assert rates["convolutions.8.1.0.weight"] == rates["convolutions.6.weight"] == 1 / 4
    assert rates["convolutions.2.1.0.weight"] == rates["convolutions.0.weight"] == 1 / 16


@pytest.mark.parametrize("keys", [{"downsample": "pool"}, {"depth": 2}])
def test_a_critic_of_another_structure_is_no_beginning(tables: Keys, finished: Path, keys: Keys) -> None:
    method = {"name": "transfer_classifier", "positive": "b", "width": 4} | keys
    init = {"classifier": {"model": str(finished / "model"), "network": "critic"}}
    config = config_from_tables(tables | {"method": method, "init": init, "evaluate": {"every_images": 8}}, "the test")
    with pytest.raises(RecipeError, match=r"init\.classifier do not fit.*same structure"):
        initialise(made(**keys), config.init)


@pytest.mark.parametrize("keys", [{"downsample": "pool"}, {"depth": 2, "skip": True}])
def test_detection_cuts_windows_out_where_they_share_nothing_it_knows(keys: Keys) -> None:
    for own, way in ((keys, "crops"), ({}, "exact")):
        detector = Detector.of(made(norm="batch", **own), CARD, "", stride=4)
        assert detector.way == way
    with pytest.raises(RecipeError, match=r"no fast way.*strided convolutions alone"):
        Detector.of(made(norm="batch", **keys), CARD, "", stride=4, way="fast")
