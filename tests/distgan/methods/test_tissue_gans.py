"""Labels, images and both out of noise; images of labels; SGAN, and the networks it can be begun from."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from distgan.engine.trainer import Trainer
from distgan.method import Batch, Step
from storage.errors import RecipeError

Make = Callable[..., Trainer]


def method_of(one: Trainer) -> Any:
    return one.method


@pytest.mark.parametrize(
    ("name", "channels"), [("label_gan", 2), ("joint_gan", 3), ("unsupervised_gan", 1)], ids=lambda value: str(value)
)
def test_the_critic_is_shown_what_there_is_to_make(make_tissue: Make, name: str, channels: int) -> None:
    one = make_tissue(name)
    method, step = method_of(one), one._shard(0, 0)
    assert method.real(step).shape == method.made(step, "z").shape == (4, channels, 32, 32)
    if name == "joint_gan":
        assert torch.equal(method.real(step)[:, :1], step.batch.images)
    if name != "unsupervised_gan":
        labels = torch.stack([step.batch.labels[label] for label in ("membranes", "mitochondria")], 1)
        assert torch.equal(method.real(step)[:, -2:], labels.float() * 2 - 1)


def test_each_step_of_the_generator_has_other_noise(make_tissue: Make) -> None:
    one = make_tissue("label_gan")
    method, step = method_of(one), one._shard(0, 0)
    assert one.turns[1].times == 2
    first, again, other = (method.made(replace(step, repeat=repeat), "z") for repeat in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_scales_are_weighed_and_the_published_critic_weighs_none(make_tissue: Make) -> None:
    one = make_tissue("label_gan", pool=0)
    method, step = method_of(one), one._shard(0, 0)
    scores = [score.detach() for score in method.critic(method.real(step))]
    losses = [F.binary_cross_entropy_with_logits(score, torch.ones_like(score)) for score in scores]
    wanted = sum(weight * loss for weight, loss in zip((0.5, 0.4, 0.1), losses, strict=True))
    assert method.critic_loss(step)["critic_real"].item() == pytest.approx(0.5 * float(wanted), rel=1e-5)
    plain = method_of(make_tissue("label_gan", pool=0, preset="paper"))
    assert plain.critic_loss(step)["critic_real"].item() == pytest.approx(0.5 * float(sum(losses)), rel=1e-5)
    told = method.generator_loss(step)["generator"]
    scores = [score.detach() for score in method.critic(method.made(step, "generator"))]
    wanted = sum(w * F.softplus(-score).mean() for w, score in zip((0.5, 0.4, 0.1), scores, strict=True))
    assert told.item() == pytest.approx(float(wanted), rel=1e-5)


def test_least_squares_is_a_choice(make_tissue: Make) -> None:
    one = make_tissue("label_gan", loss="least_squares")
    found = method_of(one).judged([torch.full((2, 1, 3, 3), 0.25)], 1.0, [2.0])
    assert found.item() == pytest.approx(2 * 0.75**2)


def test_the_reader_learns_from_real_images_and_reads_the_made_ones(make_tissue: Make) -> None:
    one = make_tissue("unsupervised_gan")
    method, step = method_of(one), one._shard(0, 0)
    images, labels = method.pairs(step)
    assert torch.equal(labels, method.segment(images).sigmoid() * 2 - 1)
    wanted = F.binary_cross_entropy_with_logits(method.reader(step.batch.images), (method.given(step) + 1) / 2)
    assert method.reader_loss(step)["reader"].item() == pytest.approx(wanted.item())


@pytest.mark.parametrize("kind", ["refinement", "unet"])
def test_an_image_is_of_its_labels_and_of_noise(make_tissue: Make, kind: str) -> None:
    one = make_tissue("label_to_image", translator={"kind": kind})
    method, step = method_of(one), one._shard(0, 0)
    images, labels = method.pairs(step)
    assert torch.equal(labels, method.given(step))
    assert torch.equal(images, method.preview(step))
    assert not torch.allclose(images, method.preview(replace(step, images_seen=8)), atol=1e-6)
    turned = {name: 1 - label for name, label in step.batch.labels.items()}
    assert not torch.allclose(images, method.preview(replace(step, batch=Batch(step.batch.images, {}, turned))))


def test_images_of_labels_want_labels(make_tissue: Make) -> None:
    method = method_of(make_tissue("label_to_image"))
    with pytest.raises(RecipeError, match="without membranes and mitochondria"):
        method.preview(Step(Batch(torch.zeros(2, 1, 32, 32)), 0))


def test_the_published_unet_has_no_noise_but_dropout_and_what_is_added(make_tissue: Make) -> None:
    one = make_tissue("label_to_image", preset="paper", translator={"unet_depth": 5})
    method, step = method_of(one), one._shard(0, 0)
    assert method.translator.noise == 0
    first, again = method.preview(step), method.preview(step)
    assert torch.equal(first, again)
    assert not torch.equal(first, method.preview(replace(step, images_seen=8)))
    silent = method_of(make_tissue("label_to_image", preset="paper", translator={"sigma": 0.0, "dropout": 0.0}))
    assert torch.equal(silent.preview(step), silent.preview(replace(step, images_seen=8)))


def test_differences_count_as_structures_do(make_tissue: Make) -> None:
    one = make_tissue("label_to_image", l1=10.0, l1_weights=[2.0, 4.0])
    method, step = method_of(one), one._shard(0, 0)
    made = torch.zeros_like(step.batch.images)
    counts = torch.ones(4, 32, 32)
    counts[step.batch.labels["membranes"] > 0] = 2
    counts[step.batch.labels["mitochondria"] > 0] = 4
    wanted = 10 * (counts * step.batch.images[:, 0].abs()).mean()
    assert method.difference(step, made)["l1"].item() == pytest.approx(wanted.item(), rel=1e-5)
    assert method_of(make_tissue("label_to_image")).difference(step, made) == {}


def test_mitochondria_are_made_of_membranes_and_noise(make_tissue: Make) -> None:
    one = make_tissue("label_completion")
    method, step = method_of(one), one._shard(0, 0)
    labels = method.label_images(step)
    assert labels.shape == (4, 2, 32, 32)
    assert torch.equal(labels[:, 0], step.batch.labels["membranes"] * 2.0 - 1)
    assert torch.equal(method.target(step)[:, 0], step.batch.labels["mitochondria"] * 2.0 - 1)
    assert not torch.allclose(labels[:, 1], method.label_images(replace(step, images_seen=8))[:, 1], atol=1e-6)


def test_the_games_of_sgan_know_nothing_of_each_other(make_tissue: Make) -> None:
    one = make_tissue("sgan", generator_steps=1)
    method, step = method_of(one), one._shard(0, 0)
    assert [turn.networks for turn in one.turns] == [
        ("label_critic",),
        ("label_generator",),
        ("pair_critic",),
        ("translator",),
    ]
    loss = sum(method.translator_loss(step).values())
    loss.backward()
    assert all(p.grad is None for p in method.label_generator.parameters())
    assert all(p.grad is not None for p in method.translator.parameters())


def test_labels_may_be_made_at_half_the_resolution(make_tissue: Make) -> None:
    one = make_tissue("sgan", label_reduction=2)
    method, step = method_of(one), one._shard(0, 0)
    assert method.made_labels(step, "z").shape == (4, 2, 16, 16)
    images, labels = method.pairs(step)
    assert images.shape == (4, 1, 32, 32)
    assert torch.equal(labels, method.enlarged(method.made_labels(step, "preview labels")))
    seen: list[torch.Tensor] = []
    method.label_critic.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    method.label_critic_loss(step)
    assert torch.equal(seen[0], F.avg_pool2d(method.given(step), 2))


@pytest.mark.parametrize(
    ("stage", "theirs", "ours"),
    [
        ("label_gan", "generator", "label_generator"),
        ("label_gan", "critic", "label_critic"),
        ("label_to_image", "translator", "translator"),
        ("label_to_image", "pair_critic", "pair_critic"),
        ("segmentation", "reader", "reader"),
    ],
)
def test_stages_that_were_trained_before_fit(make_tissue: Make, stage: str, theirs: str, ours: str) -> None:
    scales = {"scales": [1, 2], "depths": [3, 3], "weights": [0.5, 0.5]}
    one = make_tissue("dsgan", label_critic=scales, pair_critic=scales)
    keys = {} if stage == "segmentation" else {("critic" if stage == "label_gan" else "pair_critic"): scales}
    other = make_tissue(stage, **keys)
    state = method_of(other).network(theirs).state_dict()
    method_of(one).network(ours).load_state_dict(state)


def test_numbers_and_sizes_that_do_not_fit_are_refused(make_tissue: Make) -> None:
    with pytest.raises(RecipeError, match="one number of each for each"):
        make_tissue("label_gan", critic={"scales": [1, 2]})
    with pytest.raises(RecipeError, match="l1_weights are of the structures"):
        make_tissue("sgan", l1_weights=[1.0])
    with pytest.raises(RecipeError, match="multiples of 64"):
        make_tissue("label_gan", generator={"depth": 5})
    with pytest.raises(RecipeError, match="multiples of 64"):
        make_tissue("sgan", translator={"depth": 6})
    with pytest.raises(RecipeError, match="multiples of 64"):
        make_tissue("label_to_image", translator={"kind": "unet", "unet_depth": 6})
    with pytest.raises(RecipeError, match="multiples of 64"):
        make_tissue("segmentation", reader={"depth": 6})


def test_volumes_are_refused(make_tissue: Make) -> None:
    method = method_of(make_tissue("label_gan"))
    with pytest.raises(RecipeError, match="4 x 32 x 32 voxels"):
        type(method)(method.config, replace(method.sample, shape=(1, 4, 32, 32)))
