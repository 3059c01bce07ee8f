"""Osokin et al.: which images a critic sees, what is averaged over classes, and the published settings."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from distgan.config.run_config import config_from_tables
from distgan.data.batches import Feed, Known
from distgan.engine.distributed import Group
from distgan.engine.trainer import Trainer
from distgan.families.red_green import classes_of
from distgan.losses import cross_entropy, gradient_penalty
from distgan.method import Batch, Method, Sample, Step, build
from distgan.methods import load_method
from storage.errors import RecipeError
from storage.sampler import StratifiedSampler

CLASSES = ("Alp14", "Arp3", "Cki2")
STRATA = {"protein": CLASSES}


def tables(name: str, **keys: Any) -> dict[str, Any]:
    strata = {"strata": "protein"} if name.startswith("star") else {}
    return {
        "run": {"name": "tiny", "images": 1000, "batch_size": 12, "virtual_shards": 2},
        "data": {"store": "none", **strata},
        "method": {"name": name, "noise": 4, "width": 4, "critic_width": 4, **keys},
        "evaluate": {"every_images": 100},
        "checkpoint": {"every_images": 100},
    }


def method(name: str, classes: Any = STRATA, shape: tuple[int, ...] = (2, 16, 24), **keys: Any) -> Any:
    config = config_from_tables(tables(name, **keys), "the test")
    return build(load_method(name), config.method, Sample(shape, classes=classes), 0)


def stratified(count: int = 12) -> Step:
    """Classes by turns from the second; every image of a class has its value."""
    number = (torch.arange(count) + 1) % 3
    images = (number / 4 - 0.5)[:, None, None, None] + torch.zeros(count, 2, 16, 24)
    return Step(Batch(images, {"protein": number}), 0)


def test_each_critic_of_the_star_sees_its_own_class() -> None:
    star = method("star_wgan_gp")
    real = star.real(stratified())
    assert real.shape == (3, 4, 2, 16, 24)
    assert [image.unique().item() for image in real] == [-0.5, -0.25, 0.0]


def test_a_shard_that_cannot_have_equally_many_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"11 images, and 3 values.*multiple of run\.virtual_shards times 3"):
        method("star_gan").real(stratified(11))


def test_batches_that_are_not_stratified_are_a_mistake_of_ours() -> None:
    step = stratified()
    step.batch.columns["protein"][0] = 0
    with pytest.raises(AssertionError, match="stratified"):
        method("star_gan").real(step)


def test_the_recipe_of_a_star_must_stratify() -> None:
    wrong = tables("star_gan", preset="default")
    wrong["data"] = {"store": "none", "strata": "field"}
    with pytest.raises(RecipeError, match=r'Set data\.strata = "protein"'):
        config_from_tables(wrong, "the test")


@pytest.mark.parametrize("name", ["star_gan", "star_wgan_gp"])
def test_losses_are_the_mean_over_classes_or_their_sum(name: str) -> None:
    mean, total = method(name), method(name, over_classes="sum")
    for loss in ("critic_loss", "generator_loss"):
        one, other = getattr(mean, loss)(stratified()), getattr(total, loss)(stratified())
        for term, value in one.items():
            factor = 1 if "/" in term else 3
            assert other[term].item() == pytest.approx(factor * value.item(), rel=1e-5)


def test_the_loss_of_the_star_is_that_of_its_classes_one_by_one() -> None:
    star, step = method("star_wgan_gp", penalty=7.0), stratified()
    found = star.critic_loss(step)
    real, made = star.real(step), star.made(step, 4).detach()
    mix = step.uniform("mix", 3, 4, 1, 1, 1)
    distance, penalty = torch.tensor(0.0), torch.tensor(0.0)
    for one in range(3):
        distance += (star.critic[one](made[one]).mean() - star.critic[one](real[one]).mean()) / 3
        penalty += 7 * gradient_penalty(star.critic[one], real[one], made[one], mix[one]) / 3
    assert found["distance"].item() == pytest.approx(distance.item(), rel=1e-4)
    assert found["penalty"].item() == pytest.approx(penalty.item(), rel=1e-4)
    lowered = [-star.critic[one](made[one]).mean().item() / 3 for one in range(3)]
    assert star.generator_loss(step)["generator"].item() == pytest.approx(sum(lowered), rel=1e-4)


def test_by_cross_entropy_real_and_made_images_are_normalised_apart() -> None:
    gan = method("separable_gan", {})
    step = stratified()
    found = gan.critic_loss(step)
    (critic,), made = gan.critic, gan.made(step, 12).detach()[0]
    assert found["real"].item() == pytest.approx(cross_entropy(critic(step.batch.images), 1.0).item(), rel=1e-5)
    assert found["fake"].item() == pytest.approx(cross_entropy(critic(made), 0.0).item(), rel=1e-5)
    wanted = cross_entropy(critic(made), 1.0)
    assert gan.generator_loss(step)["generator"].item() == pytest.approx(wanted.item(), rel=1e-5)


def test_a_cell_has_one_red_and_the_greens_of_all_classes() -> None:
    star = method("star_wgan_gp").eval()
    noise = torch.randn(5, star.generator.inputs)
    cells, made = star.cells(noise), star.generator(noise)
    assert cells.shape == (5, 4, 16, 24)
    for one in range(3):
        assert torch.equal(made[one], cells[:, [0, 1 + one]])
    with pytest.raises(RecipeError, match="no red channel in common"):
        method("star_gan", towers="separable").cells(noise)


@pytest.mark.parametrize("name", ["star_gan", "star_wgan_gp", "multichannel_wgan_gp"])
def test_a_preview_is_of_the_class_of_each_image(name: str) -> None:
    one, step = method(name).eval(), stratified()
    found = one.preview(step)
    cells = one.cells(step.normal("z", 12, one.generator.inputs))
    for image, cell, number in zip(found, cells, step.batch.columns["protein"], strict=True):
        assert torch.equal(image, cell[[0, 1 + int(number)]])
    drawn = one.preview(Step(Batch(step.batch.images), 0))
    assert drawn.shape == found.shape


@pytest.mark.parametrize("towers", ["star", "separable", "plain"])
def test_baselines_have_a_generator_for_each_class(towers: str) -> None:
    one = method("star_wgan_gp", towers=towers).eval()
    images = one.made(stratified(), 4)
    assert images.shape == (3, 4, 2, 16, 24)
    assert torch.equal(images[0, :, 0], images[1, :, 0]) == (towers == "star")


def test_a_class_without_training_samples_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"a class has no training samples.*protein Arp3"):
        classes_of(Sample((2, 8, 8), classes=STRATA, counts={"protein": (3, 0, 1)}), "protein")
    with pytest.raises(RecipeError, match="column of numbers"):
        classes_of(Sample((2, 8, 8), classes={"protein": ()}), "protein")


@pytest.mark.parametrize("name", ["separable_gan", "star_gan", "multichannel_wgan_gp", "pix2pix"])
def test_one_channel_is_not_enough(name: str) -> None:
    config = config_from_tables({**tables(name), "method": {"name": name}}, "the test").method
    with pytest.raises(RecipeError, match=r"1 channel\(s\), and 2 are needed"):
        build(load_method(name), config, Sample((1, 16, 16), classes=STRATA), 0)


def test_the_multichannel_cell_is_the_image_with_the_greens_of_its_look_alikes() -> None:
    images = torch.randn(4, 2, 16, 24).clamp(-1, 1)
    companions = torch.randn(4, 3, 2, 16, 24)
    step = Step(Batch(images, {"protein": torch.zeros(4).long()}, companions=companions), 0)
    (whole,) = method("multichannel_wgan_gp", masked=False).real(step)
    assert whole.shape == (4, 4, 16, 24)
    assert torch.equal(whole[:, 0], images[:, 0])
    assert torch.equal(whole[:, 1:], companions[:, :, 1])
    (masked,) = method("multichannel_wgan_gp").real(step)
    inside = (images[:, :1] > -1).expand_as(whole)
    assert 0 < inside.float().mean() < 1
    assert torch.equal(masked[inside], whole[inside])
    assert (masked[~inside] == -1).all()


def test_the_width_of_every_generator_is_as_large_per_channel() -> None:
    """Of two channels half of the features are each one's; of the multi-channel model a quarter of twice as many."""
    multi = method("multichannel_wgan_gp", separable=True).generator
    star = method("star_wgan_gp").generator
    for one in (multi, star):
        assert [tower[0].out_channels for tower in one.red] == [8, 4, 1]
        assert one.red_inputs == 4
    assert [tower[0].out_channels for tower in star.green[0]] == [8, 4, 1]
    assert [tower[0].out_channels for tower in multi.green[0]] == [24, 12, 3]


@pytest.mark.parametrize(
    ("name", "rate", "betas", "steps", "batch"),
    [
        ("separable_gan", 2e-4, (0.5, 0.999), 1, 64),
        ("separable_wgan_gp", 1e-4, (0.0, 0.9), 5, 64),
        ("multichannel_wgan_gp", 1e-4, (0.0, 0.9), 5, 64),
        ("star_gan", 2e-4, (0.5, 0.999), 1, 384),
        ("star_wgan_gp", 1e-4, (0.0, 0.9), 5, 384),
    ],
)
def test_the_paper_s_settings_are_the_published_ones(
    name: str, rate: float, betas: tuple[float, float], steps: int, batch: int
) -> None:
    recipe = {**tables(name), "run": {"name": "tiny"}, "method": {"name": name, "preset": "paper"}}
    config = config_from_tables(recipe, "the test")
    assert config.run.batch_size == batch
    assert config.run.images == 50_000 * steps * batch
    assert config.run.seed == 42
    assert config.augment.flip
    assert config.ema.half_life_images == 0
    for optimizer in config.optimizer.values():
        assert (optimizer.kind, optimizer.lr, optimizer.betas) == ("adam", rate, betas)
    keys = config.method
    assert (keys.noise, keys.width, keys.critic_width) == (50, 32, 32)
    assert getattr(keys, "critic_steps", 1) == steps
    assert getattr(keys, "penalty", 10.0) == 10.0
    if name.startswith("star"):
        assert (keys.green_noise, keys.over_classes, keys.towers) == ("shared", "mean", "star")
    with torch.device("meta"):
        classes = {"protein": tuple("abcdef")} if name[:4] in ("star", "mult") else {}
        found = load_method(name)(keys, Sample((2, 48, 80), classes=classes))
    sizes = {part: sum(p.numel() for p in found.network(part).parameters()) for part in ("generator", "critic")}
    assert (
        sizes
        == {
            "separable_gan": {"generator": 2_643_840, "critic": 2_764_032},
            "separable_wgan_gp": {"generator": 2_643_840, "critic": 2_762_240},
            "multichannel_wgan_gp": {"generator": 43_158_080, "critic": 33_770_240},
            "star_gan": {"generator": 11_455_040, "critic": 6 * 2_764_032},
            "star_wgan_gp": {"generator": 11_455_040, "critic": 16_573_440},
        }[name]
    )


def test_weights_begin_as_published() -> None:
    star = method("star_gan", width=32)
    weights = torch.cat([p.flatten() for p in star.parameters() if p.ndim == 4])
    scales = torch.cat([p.flatten() for name, p in star.named_parameters() if p.ndim == 1 and "weight" in name])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    assert scales.mean().item() == pytest.approx(1, abs=0.01)
    assert scales.std().item() == pytest.approx(0.02, rel=0.2)


def test_the_noise_of_pix2pix_is_dropout_that_the_step_draws() -> None:
    config = config_from_tables({**tables("pix2pix"), "method": {"name": "pix2pix", "width": 4}}, "the test").method
    one: Method = build(load_method("pix2pix"), config, Sample((2, 32, 32)), 0).eval()
    red = torch.randn(1, 2, 32, 32).expand(3, -1, -1, -1).clamp(-1, 1)
    found = one.preview(Step(Batch(red), 0))
    assert torch.equal(found[:, 0], red[:, 0])
    assert not torch.equal(found[0, 1], found[1, 1])
    assert torch.equal(found, one.preview(Step(Batch(red), 0)))
    assert not torch.equal(found, one.preview(Step(Batch(red), 64)))


def test_a_star_is_trained_on_the_same_samples_whatever_its_shards() -> None:
    """Of each class as many, and each as often."""
    pictures = np.random.default_rng(0).integers(0, 256, (30, 2, 16, 24), np.uint8)
    numbers = torch.from_numpy(np.random.default_rng(1).integers(0, 3, 30))
    store: Any = SimpleNamespace(read=lambda rows: pictures[rows], value_range=(0.0, 255.0))
    order = StratifiedSampler(numbers.numpy().astype(np.str_), 0)
    feed = Feed(store, np.arange(30), 0, torch.device("cpu"), order=order, known=Known({"protein": numbers}))
    config = config_from_tables(tables("star_wgan_gp"), "the test")
    trainer = Trainer(
        config, build(load_method("star_wgan_gp"), config.method, Sample((2, 16, 24), classes=STRATA), 0), feed, Group()
    )
    shards = [trainer._shard(shard, 0).batch for shard in range(2)]
    assert [torch.bincount(shard.columns["protein"]).tolist() for shard in shards] == [[2, 2, 2], [2, 2, 2]]
    assert all(torch.isfinite(value) for value in trainer.step().values())
