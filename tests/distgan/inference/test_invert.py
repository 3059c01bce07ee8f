"""Codes of images are found, each by itself."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from distgan.config.run_config import config_from_tables
from distgan.inference.invert import Inverter, Search
from distgan.method import Batch, Sample, Step, build
from distgan.methods import load_method
from storage.errors import RecipeError

COUNT = 3
QUICK = Search(starts=2, evaluations=60, encoder=0)


def model_of(name: str, channels: int = 1, **keys: Any) -> Any:
    """Untrained; the generator's activations are spread by normalisation of fresh statistics."""
    tables = {
        "run": {"name": "tiny", "images": 100, "batch_size": 4},
        "data": {"store": "none"},
        "method": {"name": name, "width": 4, "critic_width": 4, **keys},
        "evaluate": {"every_images": 96},
        "checkpoint": {"every_images": 96},
    }
    config = config_from_tables(tables, "the test")
    method = build(load_method(name), config.method, Sample((channels, 32, 32)), 0)
    with torch.no_grad():
        for _ in range(20):
            method.preview(Step(Batch(torch.zeros(16, channels, 32, 32)), 0))
    method.eval().requires_grad_(requires_grad=False)
    return SimpleNamespace(method=method, config=config)


def planted(model: Any) -> tuple[Batch, torch.Tensor]:
    """Images that the generator makes, and their codes."""
    some = Batch(torch.zeros(COUNT, *model.method.sample.shape))
    codes = model.method.prior.drawn(Step(some, 0, seed=9), "planted", COUNT)
    return Batch(model.method.decoded(codes, some)), codes


@pytest.mark.parametrize(("name", "keys"), [("wgan_gp", {"noise": 6}), ("infogan", {"noise": 6})])
def test_images_that_the_generator_makes_are_made_again(name: str, keys: dict[str, int]) -> None:
    model = model_of(name, **keys)
    batch, codes = planted(model)
    inverter = Inverter(model, QUICK, batch)
    found = inverter(batch, [0, 1, 2])
    spread = inverter.error(batch.images, batch.images.roll(1, 0))
    assert (found.errors < 0.1 * spread).all()
    torch.testing.assert_close(inverter.error(batch.images, model.method.decoded(found.codes, batch)), found.errors)
    assert model.method.prior.inside(found.codes).equal(found.codes)
    assert ((found.codes - codes).square().sum(1) < 0.1 * codes.square().sum(1)).float().mean() > 0.5


def test_a_code_does_not_depend_on_which_others_are_sought() -> None:
    model = model_of("dcgan", noise=6)
    batch, _ = planted(model)
    inverter = Inverter(model, Search(starts=2, evaluations=10, encoder=0), batch)
    found = inverter(batch, [7, 8, 9])
    alone = inverter(Batch(batch.images[1:2]), [8])
    torch.testing.assert_close(alone.codes, found.codes[1:2], atol=1e-3, rtol=1e-3)


def test_red_codes_are_found_by_the_red_channel_and_kept() -> None:
    model = model_of("separable_gan", channels=2, noise=4)
    batch, _ = planted(model)
    mixed = Batch(torch.cat([batch.images[:, :1], batch.images[:, 1:].roll(1, 0)], 1))
    first = Inverter(model, Search(starts=3, evaluations=80, encoder=0, red_first=True), mixed)(mixed, [0, 1, 2])
    jointly = Inverter(model, Search(starts=3, evaluations=80, encoder=0), mixed)(mixed, [0, 1, 2])

    def red(codes: torch.Tensor) -> torch.Tensor:
        return (model.method.decoded(codes, mixed) - mixed.images)[:, 0].square().mean((1, 2))

    assert red(first.codes).mean() < red(jointly.codes).mean()
    assert (first.errors > jointly.errors).any()


def test_a_trained_encoder_learns_codes_and_is_begun_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distgan.inference.invert.PAIRS", 16)
    model = model_of("dcgan", noise=4)
    batch, codes = planted(model)
    inverter = Inverter(model, Search(starts=0, evaluations=0, encoder=120), batch)
    found = inverter(batch, [0, 1, 2])
    assert found.encoded is not None
    assert (found.codes - codes).square().mean() < 0.8 * codes.square().mean()
    assert torch.equal(found.codes, found.encoded)
    inverter.search = Search(starts=0, evaluations=20)
    assert (inverter(batch, [0, 1, 2]).errors < found.errors).all()


def test_an_encoder_is_trained_to_the_same_bits() -> None:
    model = model_of("dcgan", noise=4)
    batch, _ = planted(model)
    search = Search(starts=0, evaluations=0, encoder=2)
    first, second = (Inverter(model, search, batch)(batch, [0, 1, 2]).codes for _ in range(2))
    assert torch.equal(first, second)


def test_an_autoencoder_needs_no_search() -> None:
    model = model_of_autoencoder()
    batch = Batch(torch.rand(COUNT, 1, 32, 32) * 2 - 1)
    found = Inverter(model, Search(evaluations=0), batch)(batch, [0, 1, 2])
    assert torch.equal(found.codes, model.method.codes(batch))
    better = Inverter(model, Search(evaluations=10), batch)(batch, [0, 1, 2])
    assert (better.errors < found.errors).all()


def model_of_autoencoder() -> Any:
    tables = {
        "run": {"name": "tiny", "images": 100, "batch_size": 4},
        "data": {"store": "none"},
        "method": {"name": "autoencoder", "width": 4, "latent": 5},
        "evaluate": {"every_images": 96},
        "checkpoint": {"every_images": 96},
    }
    config = config_from_tables(tables, "the test")
    method = build(load_method("autoencoder"), config.method, Sample((1, 32, 32)), 0)
    return SimpleNamespace(method=method.eval().requires_grad_(requires_grad=False), config=config)


def test_what_cannot_be_sought_is_refused() -> None:
    model = model_of("wgan_gp", noise=6)
    some = Batch(torch.zeros(1, 1, 32, 32))
    with pytest.raises(RecipeError, match="nothing to find codes by"):
        Inverter(model, Search(starts=0, encoder=0), some)
    with pytest.raises(RecipeError, match="no red codes"):
        Inverter(model, Search(red_first=True), some)
    other: Any = SimpleNamespace(method=None, config=SimpleNamespace(method=SimpleNamespace(name="bag_classifier")))
    with pytest.raises(RecipeError, match="bag_classifier makes no images of codes"):
        Inverter(other, Search(), some)
    with pytest.raises(RecipeError, match="below 0"):
        Search(starts=-1)
