"""What the conditional beta-VAE lowers, and what it is told."""

from typing import Any

import pytest
import torch

from distgan.config.run_config import config_from_tables
from distgan.method import Batch, Sample, Step, build
from distgan.methods.conditional_beta_vae import ConditionalBetaVae

CLASSES = ("golgi", "lamin")
BATCH = Batch(torch.rand(4, 3, 16, 16) * 2 - 1, {"structure": torch.tensor([0, 1, 1, 0])})


def configured(preset: str = "default", **keys: Any) -> Any:
    tables = {
        "run": {"name": "tiny", "images": 100} | ({} if preset in ("paper", "solid") else {"batch_size": 4}),
        "data": {"store": "none"},
        "method": {"name": "conditional_beta_vae", "preset": preset, **keys},
        "evaluate": {"every_images": 96},
        "checkpoint": {"every_images": 96},
    }
    return config_from_tables(tables, "the test")


def method(**keys: Any) -> Any:
    config = configured(**{"width": 4, "depth": 2, "latent": 6, **keys})
    sample = Sample((3, 16, 16), ("membrane", "DNA", "structure"), {"structure": CLASSES})
    return build(ConditionalBetaVae, config.method, sample, 0)


def lowered(images_seen: int, **keys: Any) -> tuple[float, float]:
    found = method(**keys).weighted(torch.tensor(10.0), torch.tensor(4.0), images_seen)
    return found["reconstruction"].item(), found["divergence"].item()


@pytest.mark.parametrize(("preset", "width"), [("paper", 64), ("solid", 32)])
def test_the_paper_s_settings_are_the_published_ones(preset: str, width: int) -> None:
    config = configured(preset)
    assert (config.method.width, config.method.depth, config.method.latent) == (width, 5, 512)
    assert (config.method.gamma, config.method.capacity, config.method.cycles) == (500, 500, 10)
    assert config.run.batch_size == 32
    assert {(one.lr, one.betas) for one in config.optimizer.values()} == {(2e-4, (0.9, 0.999))}


def test_objectives_weigh_the_divergence_as_their_schedules_say() -> None:
    ramp = {"ramp_images": 1000, "beta": 3.0}
    assert lowered(500, objective="constant", **ramp) == (10, 12)
    assert [lowered(seen, objective="linear", **ramp)[1] for seen in (0, 500, 1000, 9000)] == [0, 6, 12, 12]
    assert lowered(500, objective="alpha", alpha=0.25, **ramp) == (15, 2)
    away = [lowered(seen, objective="capacity", gamma=5.0, capacity=8.0, **ramp)[1] for seen in (0, 250, 500, 1000)]
    assert away == [20, 10, 0, 20]
    cyclic = [lowered(seen, objective="cyclic", cycles=2, **ramp)[1] for seen in (0, 125, 250, 499, 500, 625, 1000)]
    assert cyclic == pytest.approx([0, 6, 12, 12, 0, 6, 12])


def test_the_error_is_summed_over_each_structure_alone() -> None:
    one = method()
    found = one.loss(Step(BATCH, 0))
    given, light = one.given(BATCH), one.light(BATCH.images)
    assert light.shape == (4, 1, 16, 16)
    again = build(ConditionalBetaVae, one.config, one.sample, 0)
    mean, log_variance = again.encoder(light, *given).chunk(2, 1)
    code = mean + (log_variance / 2).exp() * Step(BATCH, 0).normal("code", 4, 6)
    squares = (again.decoder(code, *given) - light) ** 2
    assert found["reconstruction"].item() == pytest.approx(squares.sum().item() / 4, rel=1e-4)
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum() / 4
    assert found["divergence"].item() == pytest.approx(divergence.item(), rel=1e-4)


def test_codes_and_structures_depend_on_cell_and_class() -> None:
    one = method().eval()
    codes = torch.zeros(4, 6)
    made = one.decoded(codes, BATCH)
    assert made.shape == BATCH.images.shape
    assert (made[:, :2] == -1).all()
    other_class = Batch(BATCH.images, {"structure": 1 - BATCH.columns["structure"]})
    other_cell = Batch(BATCH.images.flip(0), BATCH.columns)
    other_structure = Batch(torch.cat([BATCH.images[:, :2], BATCH.images[:, 2:].flip(0)], 1), BATCH.columns)
    assert not torch.equal(one.decoded(codes, other_class), made)
    assert not torch.equal(one.decoded(codes, other_cell), made)
    assert torch.equal(one.decoded(codes, other_structure), made)
    assert not torch.equal(one.codes(other_structure), one.codes(BATCH))
    assert one.divergences(BATCH).shape == (4, 6)
    assert (one.divergences(BATCH) >= 0).all()


def test_it_needs_no_classes() -> None:
    one = method(column="")
    assert one.config.columns == ()
    assert one.preview(Step(Batch(BATCH.images), 0)).shape == BATCH.images.shape
    assert all(torch.isfinite(value) for value in one.loss(Step(Batch(BATCH.images), 0)).values())


def test_solid_cells_are_taken_as_flat_ones_are() -> None:
    config = configured(width=4, depth=3, latent=6)
    sample = Sample((2, 4, 16, 16), classes={"structure": CLASSES})
    one: Any = build(ConditionalBetaVae, config.method, sample, 0)
    batch = Batch(torch.rand(4, 2, 4, 16, 16), BATCH.columns)
    assert all(torch.isfinite(value) for value in one.loss(Step(batch, 0)).values())
    assert one.preview(Step(batch, 0)).shape == batch.images.shape
