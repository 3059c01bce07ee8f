"""What CytoGAN's adversarial methods share, and the published settings of each."""

from typing import Any

import pytest
import torch

from distgan.config.run_config import AnyRun, config_from_tables
from distgan.method import Batch, Method, Sample, Step, build
from distgan.methods import load_method

CLASSES = {"compound": ("DMSO", "taxol", "ALLN"), "concentration": ()}


def configured(name: str, preset: str = "default", **keys: Any) -> AnyRun:
    return config_from_tables(
        {
            "run": {"name": "tiny", "images": 1000, **({} if preset == "paper" else {"batch_size": 8})},
            "data": {"store": "none"},
            "method": {"name": name, "preset": preset, **keys},
            "evaluate": {"every_images": 8},
            "checkpoint": {"every_images": 8},
        },
        "the test",
    )


def method(name: str, preset: str = "default", **keys: Any) -> Any:
    config = configured(name, preset, width=4, **({} if name == "vae" else {"critic_width": 4}), **keys).method
    sample = Sample((2, 32, 32), classes={column: CLASSES[column] for column in config.columns})
    return build(load_method(name), config, sample, 0)


def step(count: int = 4, **columns: torch.Tensor) -> Step:
    images = torch.rand(count, 2, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Step(Batch(images, columns), 0)


RATES = [
    ("dcgan", {"critic": 5e-5, "generator": 1e-5}, 64, (0.9999, 100)),
    ("lsgan", {"critic": 7e-5, "generator": 2e-4}, 64, (0.9999, 100)),
    ("wgan", {"critic": 7e-5, "generator": 2e-4}, 64, (0.9999, 100)),
    ("began", {"critic": 1e-5, "generator": 1e-5}, 16, (0.9999, 1000)),
    ("infogan", {"critic": 1e-5, "generator": 7e-5, "posterior": 7e-5}, 128, (0.9999, 100)),
    ("bigan", {"critic": 7e-5, "generator": 7e-5, "encoder": 7e-5}, 32, (0.9999, 100)),
]


@pytest.mark.parametrize(("name", "rates", "batch", "decay"), RATES, ids=[row[0] for row in RATES])
def test_the_paper_s_optimizers_are_the_published_ones(
    name: str, rates: dict[str, float], batch: int, decay: tuple[float, int]
) -> None:
    config = configured(name, "paper")
    assert {network: one.lr for network, one in config.optimizer.items()} == rates
    for one in config.optimizer.values():
        assert (one.kind, one.betas) == ("adam", (0.5, 0.999))
        assert (one.schedule, one.decay, one.decay_images) == ("staircase", decay[0], decay[1] * batch)
    assert config.run.batch_size == batch
    assert config.ema.half_life_images == 0


@pytest.mark.parametrize(
    ("name", "rates", "batch", "steps", "columns"),
    [
        ("lsgan", (7e-5, 2e-4), 64, 200, ("compound", "concentration")),
        ("wgan", (7e-5, 7e-5), 64, 200, ("compound", "concentration")),
        ("began", (1e-5, 1e-5), 16, 1000, ("concentration",)),
    ],
)
def test_the_conditional_optimizers_are_the_published_ones(
    name: str, rates: tuple[float, float], batch: int, steps: int, columns: tuple[str, ...]
) -> None:
    one = load_method(name).presets["conditional"]
    config = configured(name, "conditional")
    assert (config.optimizer["critic"].lr, config.optimizer["generator"].lr) == rates
    assert {(each.decay, each.decay_images) for each in config.optimizer.values()} == {(0.9995, steps * batch)}
    assert one["run"]["batch_size"] == batch
    assert config.method.columns == columns


def test_the_paper_s_keys_are_the_published_ones() -> None:
    def keys(name: str, *wanted: str) -> tuple[Any, ...]:
        return tuple(getattr(configured(name, "paper").method, key) for key in wanted)

    for name in ("dcgan", "lsgan"):
        found = keys(name, "noise", "width", "critic_width", "latent", "hidden", "input_noise", "smoothing", "fakes")
        assert found == (100, 32, 32, 100, "linear", 0.1, 0.2, "population")
    assert keys("wgan", "clip", "penalty", "mix", "critic_steps", "input_noise") == (0, 10, "pixel", 1, 0.1)
    assert keys("began", "width", "critic_width", "latent", "diversity", "control") == (128, 64, 100, 0.75, 1e-3)
    assert keys("infogan", "noise", "codes", "information", "smoothing") == (100, 2, 1, 0.2)
    assert keys("bigan", "width", "critic_width", "dense_width", "dropout", "prior") == (16, 16, 256, 0.5, "uniform")


def test_input_noise_is_there_in_training_alone_and_never_in_a_representation() -> None:
    one, at = method("lsgan"), step()
    images = at.batch.images
    noisy = one.shown(at, images, "real")
    assert (noisy - images).std().item() == pytest.approx(0.1, rel=0.05)
    assert not torch.equal(noisy, one.shown(at, images, "fake"))
    training = one.representation(images)
    one.eval()
    assert one.shown(at, images, "real") is images
    assert torch.equal(one.representation(images), training)


@pytest.mark.parametrize("name", ["dcgan", "lsgan", "wgan", "began", "infogan", "bigan", "vae", "autoencoder"])
def test_a_representation_is_of_each_image_alone_and_always_the_same(name: str) -> None:
    keys = {} if name in {"vae", "autoencoder"} else {"critic_width": 4}
    one = build(load_method(name), configured(name, width=4, **keys).method, Sample((2, 32, 32)), 0)
    images, before = step(6).batch.images, {key: value.clone() for key, value in one.state_dict().items()}
    found = one.representation(images)
    assert found.ndim == 2
    assert found.std() > 0
    assert torch.allclose(one.representation(images[2:3]), found[2:3], atol=1e-5)
    assert torch.equal(one.eval().representation(images), found)
    assert all(torch.equal(value, before[key]) for key, value in one.state_dict().items())


def test_a_method_without_a_representation_says_so() -> None:
    from storage.errors import RecipeError

    with pytest.raises(RecipeError, match="has no representation"):
        Method.representation(method("lsgan"), step().batch.images)


def test_fakes_of_the_population_move_no_running_statistics_and_leave_training_on() -> None:
    at, moved = step(), {}
    for fakes in ("batch", "population"):
        one = method("lsgan", fakes=fakes)
        before = one.generator.dense[1].running_mean.clone()
        found = one.fake(at, "critic")
        moved[fakes] = not torch.equal(one.generator.dense[1].running_mean, before)
        assert one.generator.dense[1].training
        assert not found.requires_grad
    assert moved == {"batch": True, "population": False}


def test_real_images_are_to_be_scored_a_little_less_than_one_each_by_itself() -> None:
    targets = method("dcgan").smooth(step(2000))
    assert 0.8 < targets.min() < 0.801
    assert 0.999 < targets.max() <= 1
    assert targets.mean().item() == pytest.approx(0.9, abs=0.01)


def test_a_condition_reaches_both_networks() -> None:
    one = method("lsgan", "conditional").eval()
    told = {"compound": torch.zeros(4, dtype=torch.int64), "concentration": torch.ones(4)}
    other = told | {"compound": torch.full((4,), 2)}
    stronger = told | {"concentration": torch.full((4,), 9.0)}
    images = step().batch.images
    for changed in (other, stronger):
        assert not torch.equal(one.preview(step(**told)), one.preview(step(**changed)))
        assert not torch.equal(one.critic(images, told), one.critic(images, changed))
    assert one.preview(step()).shape == (4, 2, 32, 32)


def test_critic_losses_are_halves_of_what_real_and_fake_images_miss() -> None:
    """With nothing learned yet but an offset of the score."""
    for name, real, fake in (("lsgan", 0.5 * 0.25, 0.5 * 0.25), ("dcgan", 0.237, 0.487)):
        one = method(name, smoothing=0.0)
        with torch.no_grad():
            one.critic.score.weight.zero_()
            one.critic.score.bias.fill_(0.5)
        found = one.critic_loss(step())
        assert found["real"].item() == pytest.approx(real, abs=1e-3)
        assert found["fake"].item() == pytest.approx(fake, abs=1e-3)
        made = one.generator_loss(step())["generator"].item()
        assert made == pytest.approx(2 * real, abs=1e-3)
