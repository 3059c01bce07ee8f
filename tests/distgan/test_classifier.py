"""A critic becomes a classifier: what is taken, what learns, what it costs to be of a rare class."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from distgan.config.run_config import config_from_tables
from distgan.engine.initialisation import initialise
from distgan.method import Batch, Sample, Step, build
from distgan.methods import load_method
from distgan.methods.transfer_classifier import TransferClassifier, dropped
from distgan.model import load_model
from storage.errors import RecipeError

CLASSES = ("non_rosette", "rosette")


def made(
    size: int = 32,
    classes: tuple[str, ...] = CLASSES,
    counts: tuple[int, ...] = (),
    name: str = "transfer_classifier",
    **keys: Any,
) -> TransferClassifier:
    fields = {"name": name, "positive": "rosette", "width": 4} | keys
    config = load_method(name).Config.model_validate(fields)
    sample = Sample((1, size, size), classes={"label": classes}, counts={"label": counts} if counts else {})
    method = build(load_method(name), config, sample, seed=0)
    assert isinstance(method, TransferClassifier)
    return method


def step(size: int = 32, count: int = 6, number: int = 0) -> Step:
    random = torch.Generator().manual_seed(number)
    images = torch.rand(count, 1, size, size, generator=random) * 2 - 1
    return Step(Batch(images, {"label": torch.arange(count) % 2}), images_seen=number * count)


def test_probabilities_are_of_the_classes_in_order_and_the_positive_one_is_named() -> None:
    method = made(classes=("a", "b", "rosette"))
    assert (method.classes, method.positive) == (("a", "b", "rosette"), 2)
    assert method.scores(step().batch.images).shape == (6, 3)
    assert method.config.columns == ("label",)


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"positive": "rosete"}, r"'rosete' is no class .*non_rosette, rosette"),
        ({"class_weights": {"rosete": 2}}, r"'rosete' is no class"),
        ({"column": "date"}, r"no two classes in the column 'date'"),
        ({"classes": ("rosette",)}, r"no two classes .*it has rosette"),
    ],
)
def test_classes_that_are_not_there_are_refused(keys: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        made(**keys)


def test_images_that_are_not_square_go_into_bags() -> None:
    for name, refused in (("transfer_classifier", True), ("bag_classifier", False)):
        config = load_method(name).Config.model_validate({"name": name, "positive": "rosette", "width": 4})
        sample = Sample((1, 32, 64), classes={"label": CLASSES})
        if refused:
            with pytest.raises(RecipeError, match=r"square.*bag_classifier"):
                build(load_method(name), config, sample, 0)
        else:
            assert build(load_method(name), config, sample, 0).scores(torch.zeros(2, 1, 32, 64)).shape == (2, 2)
    with pytest.raises(RecipeError, match="windows of 64, and images of 32 x 32"):
        made(name="bag_classifier", window=64)


def critic_of(finished: Path) -> dict[str, Tensor]:
    return dict(load_model(finished / "model").method.critic.state_dict())


def transferred(tables: dict[str, Any], finished: Path, **keys: Any) -> TransferClassifier:
    method = {"name": "transfer_classifier", "positive": "rosette", "width": 4} | keys
    init = {"classifier": {"model": str(finished / "model"), "network": "critic"}}
    config = config_from_tables(tables | {"method": method, "init": init, "evaluate": {"every_images": 8}}, "the test")
    built = build(load_method(method["name"]), config.method, Sample((1, 32, 32), classes={"label": CLASSES}), 0)
    initialise(built, config.init)
    assert isinstance(built, TransferClassifier)
    return built


@pytest.mark.parametrize("name", ["transfer_classifier", "bag_classifier"])
def test_convolutions_dense_layer_and_normalisation_are_the_critic_s(
    tables: dict[str, Any], finished: Path, name: str
) -> None:
    method, critic = transferred(tables, finished, name=name), critic_of(finished)
    own = method.classifier.state_dict()
    assert {key for key in own if key not in critic} <= {key for key in own if key.startswith(("score", "attention"))}
    taken = [key for key in critic if not key.startswith("score")]
    assert len(taken) == 12
    assert all(torch.equal(own[key], critic[key]) for key in taken)
    assert own["score.weight"].shape == (2, 32)
    images = step().batch.images
    with torch.no_grad():
        wanted = load_model(finished / "model").method.critic.features(images)
    assert torch.equal(method.classifier.features(images), wanted)


def test_what_is_learnt_anew_is_chosen_by_the_recipe(tables: dict[str, Any], finished: Path) -> None:
    method, critic = transferred(tables, finished, anew=["score", "dense"]), critic_of(finished)
    own = method.classifier.state_dict()
    assert torch.equal(own["convolutions.3.weight"], critic["convolutions.3.weight"])
    assert not torch.equal(own["dense.1.weight"], critic["dense.1.weight"])


def test_the_paper_takes_weights_and_offsets_and_no_statistics(tables: dict[str, Any]) -> None:
    """Its classifier normalises the dense layer and the logits by the batch; only offsets came along."""
    method = {"name": "transfer_classifier", "preset": "paper", "positive": "rosette"}
    config = config_from_tables(tables | {"method": method, "evaluate": {"every_images": 8}}, "the test")
    found = config.flat()
    wanted = {
        "method.slope": 0.01,
        "method.dropout": 0.5,
        "method.norm": "batch",
        "method.class_weights": "none",
        "optimizer.classifier.lr": 1e-5,
        "optimizer.classifier.betas": [0.9, 0.999],
        "augment.gain": 0.5,
        "augment.offset": 32 / 255,
        "ema.half_life_images": 20,  # the test's own recipe says so
    }
    assert {key: found[key] for key in wanted} == wanted
    one = build(load_method("transfer_classifier"), config.method, Sample((1, 32, 32), classes={"label": CLASSES}), 0)
    critic = load_method("wgan_gp")
    published = build(critic, critic.Config.model_validate({"name": "x", "critic_norm": "batch"}), one.sample, 0)
    taken = {
        key
        for key, value in published.critic.state_dict().items()
        if not any(f"{key}.".startswith(f"{part}.") for part in one.anew)
        and one.classifier.state_dict()[key].shape == value.shape
    }
    convolutions = {f"convolutions.{i}.{kind}" for i in (0, 3, 6) for kind in ("weight",)}
    norms = {f"convolutions.{i}.{kind}" for i in (1, 4, 7) for kind in ("weight", "bias")}
    assert taken == convolutions | norms | {"dense.1.weight"}
    trainable = sum(p.numel() for p in one.classifier.parameters() if p.requires_grad)
    # The critic's 689,633, less layer normalisation (512) and score (257), and offsets (256), scores (512 + 2).
    assert trainable == 689_633 - 512 - 257 + 256 + 512 + 2


@pytest.mark.parametrize(
    ("tuning", "frozen"), [("all", ()), ("head", ("convolutions",)), ("linear", ("convolutions", "dense"))]
)
def test_what_does_not_learn_stays_as_it_is_statistics_too(tuning: str, frozen: tuple[str, ...]) -> None:
    method = made(tuning=tuning, norm="batch", dense_norm="batch")
    method.train()
    before = {key: value.clone() for key, value in method.classifier.state_dict().items()}
    terms = method.loss(step())
    terms["cross_entropy"].backward()
    moved = {key for key, value in method.classifier.state_dict().items() if not torch.equal(value, before[key])}
    assert any("running_mean" in key for key in moved) == (tuning != "linear")
    assert not [key for key in moved if key.startswith(frozen)] or not frozen
    for name, parameter in method.classifier.named_parameters():
        learns = not name.startswith(frozen) if frozen else True
        fixed_scale = name in {
            "convolutions.1.weight",
            "convolutions.4.weight",
            "convolutions.7.weight",
            "dense.2.weight",
        }
        assert (parameter.grad is not None) == (learns and not fixed_scale), name


def test_layers_learn_the_slower_the_deeper_they_are() -> None:
    for name, others in (("transfer_classifier", {}), ("bag_classifier", {"attention.weight.weight": 1.0})):
        method = made(name=name, rate_decay=0.5)
        found = {key: method.rate("classifier", key) for key, _ in method.classifier.named_parameters()}
        wanted = {"score.weight": 1, "score.bias": 1, "dense.1.weight": 1 / 2, "dense.2.bias": 1 / 2} | others
        wanted |= {"convolutions.6.weight": 1 / 4, "convolutions.7.bias": 1 / 4, "convolutions.3.weight": 1 / 8}
        wanted |= {"convolutions.0.weight": 1 / 16, "convolutions.1.weight": 1 / 16}
        assert {key: found[key] for key in wanted} == wanted
    assert made(score_norm=True, rate_decay=0.5).rate("classifier", "score.0.weight") == 1


def test_the_rarer_class_weighs_more_and_all_weigh_one_on_average() -> None:
    assert made(counts=(30, 10), class_weights="balanced").class_weight.tolist() == pytest.approx([40 / 60, 2])
    assert made(counts=(30, 10)).class_weight.tolist() == [1, 1]
    assert made(class_weights={"rosette": 3}).class_weight.tolist() == [1, 3]
    absent = made(classes=("a", "b", "rosette"), counts=(10, 0, 30), class_weights="balanced").class_weight
    assert absent[[0, 2]].tolist() == pytest.approx([2, 40 / 60])


def test_the_loss_is_the_weighted_smoothed_cross_entropy() -> None:
    method = made(counts=(30, 10), class_weights="balanced", smoothing=0.2)
    logits, labels = torch.tensor([[1.0, 0.0], [0.5, 2.0]]), torch.tensor([1, 1])
    logs = logits.log_softmax(1)
    wanted = 2 * (-0.9 * logs[:, 1] - 0.1 * logs[:, 0]).mean()
    terms = method.terms(labels, logits)
    torch.testing.assert_close(terms["cross_entropy"], wanted)
    assert float(terms["accuracy/training"]) == 0.5


def test_the_loss_of_a_batch_is_the_mean_of_those_of_its_parts() -> None:
    """Whatever classes a part has: a shard is a part."""
    method = made(counts=(30, 10), class_weights="balanced", dropout=0.0)
    whole = step(count=8)

    def part(first: int, last: int) -> Tensor:
        columns = {"label": whole.batch.columns["label"].sort().values[first:last]}
        return method.loss(Step(Batch(whole.batch.images[first:last], columns), 0))["cross_entropy"]

    torch.testing.assert_close(part(0, 8), (part(0, 4) + part(4, 8)) / 2)


def test_dropout_is_the_step_s_own_and_keeps_the_mean() -> None:
    ones = torch.ones(200, 50)
    first, again, other = dropped(step(), ones, 0.25), dropped(step(), ones, 0.25), dropped(step(number=1), ones, 0.25)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert float(first.mean()) == pytest.approx(1, abs=0.02)
    assert dropped(step(), ones, 0.0) is ones


def test_judging_drops_nothing_and_draws_nothing() -> None:
    method = made(size=64, name="bag_classifier")
    method.eval()
    images, state = step(64).batch.images, torch.random.get_rng_state()
    assert torch.equal(method.scores(images), method.scores(images))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("pooling", ["max", "attention"])
def test_a_bag_of_equal_windows_is_as_its_window(pooling: str) -> None:
    method = made(size=64, name="bag_classifier", pooling=pooling, stride=32)
    window = step().batch.images
    torch.testing.assert_close(method.scores(window.repeat(1, 1, 2, 2)), method.crop_scores(window))
    assert method.crop_px == 32


def test_the_strongest_window_decides_under_max_pooling() -> None:
    method = made(size=64, name="bag_classifier", pooling="max", stride=32)
    images = step(64).batch.images
    corners = [images[..., y : y + 32, x : x + 32] for y in (0, 32) for x in (0, 32)]
    margins = torch.stack([(s := method.crop_scores(corner))[:, 1] - s[:, 0] for corner in corners])
    found = method.scores(images)
    torch.testing.assert_close(found[:, 1] - found[:, 0], margins.max(0).values)


@pytest.mark.parametrize("name", ["transfer_classifier", "bag_classifier"])
def test_labels_that_can_be_learnt_are_learnt(name: str) -> None:
    """A bright spot somewhere in the image or not."""
    method = made(size=64, name=name, dropout=0.2, width=8)
    optimizer = torch.optim.Adam(method.parameters_of(("classifier",)), 2e-3)
    random = np.random.default_rng(0)

    def batch(count: int) -> Batch:
        images = random.normal(-0.5, 0.1, (count, 1, 64, 64)).astype(np.float32)
        labels = random.integers(0, 2, count)
        for index, (y, x) in enumerate(random.integers(0, 52, (count, 2))):
            images[index, 0, y : y + 12, x : x + 12] += labels[index]
        return Batch(torch.from_numpy(images), {"label": torch.from_numpy(labels)})

    for number in range(60):
        optimizer.zero_grad()
        method.loss(Step(batch(16), 16 * number))["cross_entropy"].backward()
        optimizer.step()
    method.eval()
    test = batch(100)
    with torch.no_grad():
        found = method.scores(test.images).argmax(1)
    assert float((found == test.columns["label"]).float().mean()) > 0.9
