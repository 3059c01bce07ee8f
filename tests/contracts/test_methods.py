"""What the trainer asks of every method and every preset of it; a new file in distgan/methods is found by itself."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import BaseModel

from distgan.config.run_config import config_from_tables
from distgan.data.batches import Feed, Known
from distgan.engine.checkpoint import Checkpoints
from distgan.engine.distributed import Group
from distgan.engine.trainer import Trainer
from distgan.method import Method, Sample, Step, build
from distgan.methods import load_method, method_names
from distgan.model import load_model, save_model
from storage.sampler import StratifiedSampler

CASES = [(name, preset) for name in method_names() for preset in load_method(name).presets]
CHANNELS = [1, 2, 4]
CLASSES = ("few", "many", "none")

pytestmark = pytest.mark.parametrize(("name", "preset"), CASES, ids=[f"{name}-{preset}" for name, preset in CASES])


def narrow(table: type[BaseModel]) -> dict[str, Any]:
    """Keys of a method, and of the tables in it: four feature maps, three layers."""
    least = {"width": 4, "depth": 3}
    keys: dict[str, Any] = {}
    for key, field in table.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys[key] = narrow(field.annotation)
        elif number := least.get(key.rpartition("_")[2]):
            keys[key] = number
    return keys


def trainer(name: str, preset: str, channels: int = 1, seed: int = 0) -> Trainer:
    """The method, as narrow as it can be, on random images of random classes, of each of which two look alike."""
    keys = load_method(name).Config.model_fields
    channels = max(channels, load_method(name).least_channels)
    small = narrow(load_method(name).Config)
    small |= {"positive": CLASSES[0]} if "positive" in keys else {}
    batch = 12  # whole classes in each shard
    config = config_from_tables(
        {
            "run": {"name": "tiny", "seed": seed, "images": 10_000, "batch_size": batch, "virtual_shards": 2},
            "data": {"store": "none"},
            "method": {"name": name, "preset": preset, **small},
            "evaluate": {"every_images": batch},
            "checkpoint": {"every_images": batch},
        },
        "the test",
    )
    pictures = np.random.default_rng(0).integers(0, 256, (40, channels, 32, 32), np.uint8)
    store: Any = SimpleNamespace(read=lambda rows: pictures[rows], value_range=(0.0, 255.0))
    numbers = torch.from_numpy(np.random.default_rng(1).integers(0, len(CLASSES), len(pictures)))
    first, *others = config.method.columns or ("",)
    classes = {first: CLASSES, **dict.fromkeys(others, ())} if first else {}
    columns = {column: numbers if names else numbers.float() for column, names in classes.items()}
    alike = np.random.default_rng(2).integers(0, len(pictures), (len(pictures), len(CLASSES), 2))
    structures = np.random.default_rng(3).integers(0, 2, (len(pictures), 32, 32), np.uint8)
    labels = {label: np.roll(structures, shift, 1) for shift, label in enumerate(config.method.labels)}
    known = Known(columns, labels, companions=alike if config.method.companions else None)
    order = StratifiedSampler(numbers.numpy().astype(np.str_), seed) if config.method.strata else None
    feed = Feed(store, np.arange(len(pictures)), seed, torch.device("cpu"), order=order, known=known)
    sample = Sample((channels, 32, 32), classes=classes, labels=config.method.labels)
    return Trainer(config, build(load_method(name), config.method, sample, seed), feed, Group())


def weights(one: Trainer, network: str) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in one.method.network(network).parameters()])


def cycle(one: Trainer) -> int:
    """So many batches that every turn was taken."""
    return max(turn.every for turn in one.turns)


def test_every_turn_moves_its_networks_and_no_others(name: str, preset: str) -> None:
    one = trainer(name, preset)
    ever: set[str] = set()
    for turn in one.turns:
        before = {network: weights(one, network) for network in one.method.networks}
        one.take(turn, 0)
        moved = {network for network, old in before.items() if not torch.equal(old, weights(one, network))}
        assert moved == set(turn.networks), turn.name
        ever |= moved
    assert ever == set(one.method.networks) - set(one.method.frozen)


def test_what_may_move_is_as_before_after_a_step(name: str, preset: str) -> None:
    one = trainer(name, preset)
    flags = {key: parameter.requires_grad for key, parameter in one.method.named_parameters()}
    for _ in range(cycle(one)):
        one.step()
    assert {key: parameter.requires_grad for key, parameter in one.method.named_parameters()} == flags
    assert any(flags.values())


@pytest.mark.parametrize("channels", CHANNELS)
def test_a_step_has_finite_terms_and_previews_are_images(name: str, preset: str, channels: int) -> None:
    one = trainer(name, preset, channels)
    terms = {}
    for _ in range(cycle(one)):
        terms |= one.step()
    assert terms
    assert all(value.shape == () and torch.isfinite(value) for value in terms.values())
    if type(one.method).preview is Method.preview:
        pytest.skip("it makes no images")
    batch = one.feed.batch(0, 4)
    with torch.no_grad():
        for strength in (1, 50):  # whatever the weights have come to
            for parameter in one.average.parameters():
                parameter *= strength
            images = one.average.preview(Step(batch, 0))
            assert images.shape == batch.images.shape
            assert images.dtype == torch.float32
            assert -1 <= images.min() < images.max() <= 1


def test_turns_name_networks_and_each_network_has_weights(name: str, preset: str) -> None:
    one = trainer(name, preset)
    assert set(one.method.averaged) <= set(one.method.networks)
    moved = {network for turn in one.turns for network in turn.networks}
    assert moved == set(one.method.networks) - set(one.method.frozen)
    assert len({turn.name for turn in one.turns}) == len(one.turns)
    owned = {id(p) for network in one.method.networks for p in one.method.network(network).parameters()}
    assert owned == {id(p) for p in one.method.parameters()}


def test_the_same_seed_is_the_same_run_whatever_was_drawn_before(name: str, preset: str) -> None:
    torch.manual_seed(1)
    one = trainer(name, preset)
    one.step()
    torch.manual_seed(2)
    torch.randn(7)
    same, other = trainer(name, preset), trainer(name, preset, seed=1)
    same.step()
    other.step()
    assert same.digest() == one.digest() != other.digest()


def test_what_is_kept_as_a_model_is_read_again(name: str, preset: str, tmp_path: Path) -> None:
    one = trainer(name, preset)
    cycle(one)
    facts = {"dtype": "uint8", "value_range": (0.0, 255.0), "pixel_um": (1.0, 1.0), "digest": "none"}
    manifest = SimpleNamespace(facts={"source": "none"})
    store: Any = SimpleNamespace(channels=one.method.sample.channels, manifest=manifest, **facts)
    save_model(tmp_path / "model", one, store, {}, "none")
    found = load_model(tmp_path / "model").method
    for network in one.method.networks:
        source = one.average if network in one.method.averaged else one.method
        for key, value in source.network(network).state_dict().items():
            assert torch.equal(found.network(network).state_dict()[key], value), f"{network}.{key}"


def test_a_run_saved_and_resumed_is_the_run_without_a_break(name: str, preset: str, tmp_path: Path) -> None:
    """The break lies inside a cycle of turns."""
    whole = trainer(name, preset)
    half = cycle(whole) // 2 + 1
    digests = []
    for _ in range(2 * half):
        whole.step()
        digests.append(whole.digest())
    first = trainer(name, preset)
    for _ in range(half):
        first.step()
    Checkpoints(tmp_path, 2).save(first.collect(), first.counters())
    snapshot = Checkpoints(tmp_path, 2).latest()
    assert snapshot is not None
    second = trainer(name, preset)
    second.restore(snapshot.state, snapshot.facts["steps"])
    assert second.digest() == digests[half - 1]
    for _ in range(half):
        second.step()
    assert second.digest() == digests[-1]
    assert len(set(digests)) == 2 * half
