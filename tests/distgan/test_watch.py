"""Detectors on histories that are made up, healthy and not; and one real training whose generator is frozen."""

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from distgan import methods
from distgan.config.run_config import AnyRun, config_from_tables
from distgan.engine.checkpoint import Checkpoints
from distgan.method import Step
from distgan.methods.wgan_gp import WganGp
from distgan.monitoring.tracking import read_lines
from distgan.monitoring.watch import DETECTORS, KEPT, MEANING, Watch, collapses, diverges, saturates
from storage.errors import DivergedError

Points = list[dict[str, float]]
SEEDS = range(40)


def healthy(seed: int, logs: int = 150) -> Points:
    """A Wasserstein GAN that learns: a distance that grows and falls, heavy-tailed gradients, rising diversity."""
    random = np.random.default_rng(seed)
    speed, drift = random.uniform(2, 40), random.normal(0, 0.5)
    points: Points = []
    for log in range(logs):
        distance = -12 * (1 - math.exp(-(log + 1) / speed)) * math.exp(-log / 80) + random.standard_t(3) * 0.3
        points.append(
            {
                "loss/distance": distance,
                "loss/penalty": 10 * math.exp(-log / speed) + random.lognormal(-1, 1),
                "loss/generator": drift * log + random.normal(0, 3),
                "gradient_norm/critic": random.lognormal(1, 0.8),
                "gradient_norm/generator": random.lognormal(-1, 1) * (1 - math.exp(-(log + 1) / speed)),
                "accuracy/critic": min(1.0, random.normal(0.99, 0.02)),
            }
        )
        if log % 15 == 0:
            spread = 1 - 0.95 * math.exp(-(log + 3) / 40) + random.normal(0, 0.02)
            points.append({"diversity/spread": spread, "diversity/duplicates": random.uniform(0, 0.1)})
    return points


def findings(points: Iterable[Mapping[str, float]]) -> list[dict[str, float]]:
    watch = Watch()
    return [changed for metrics in points if (changed := watch.see(metrics))]


def test_every_detector_has_a_meaning_and_a_place_in_the_recipe(tables: dict[str, Any]) -> None:
    assert DETECTORS.keys() == MEANING.keys()
    config_from_tables(tables | {"watch": {"stop": list(DETECTORS)}}, "the test")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_healthy_run_is_left_alone(seed: int) -> None:
    assert findings(healthy(seed)) == []


@pytest.mark.parametrize("seed", SEEDS[:8])
@pytest.mark.parametrize("name", ["loss/generator", "loss/distance", "gradient_norm/critic", "gradient_norm/generator"])
def test_what_grows_without_end_is_a_divergence(seed: int, name: str) -> None:
    points = [point for point in healthy(seed) if name in point]
    for late, point in enumerate(points[100:]):
        point[name] *= 1.6**late
    assert findings(points)[0] == {"watch/divergence": 1.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["loss/penalty", "gradient_norm/critic"])
def test_what_is_no_number_is_a_divergence_at_once(name: str, value: float) -> None:
    assert findings([{name: 1.0}, {name: value}]) == [{"watch/divergence": 1.0}]


def test_one_wild_log_is_not_a_divergence() -> None:
    points = healthy(0)
    points[120]["loss/penalty"] = points[120]["gradient_norm/critic"] = 1e6
    assert findings(points) == []


def test_nothing_is_told_before_there_is_a_baseline() -> None:
    assert not diverges({"gradient_norm/critic": [1e-6] * 15 + [1.0] * 14})
    assert diverges({"gradient_norm/critic": [1e-6] * 20 + [1.0] * 10})


def test_ten_times_the_baseline_is_the_limit() -> None:
    assert not diverges({"gradient_norm/critic": [1.0] * 20 + [9.0] * 10})
    assert diverges({"gradient_norm/critic": [1.0] * 20 + [11.0] * 10})


@pytest.mark.parametrize("seed", SEEDS[:8])
def test_a_critic_that_is_always_right_and_leaves_no_gradient_saturates(seed: int) -> None:
    points = [point for point in healthy(seed) if "accuracy/critic" in point]
    for point in points[100:]:
        point["accuracy/critic"] = 1.0
        point["gradient_norm/generator"] *= 1e-4
    (found,) = findings(points)
    assert found == {"watch/saturation": 1.0}


def test_a_critic_that_is_always_right_and_leaves_a_gradient_is_healthy() -> None:
    points = [{**point, "accuracy/critic": 1.0} for point in healthy(1)]
    assert findings(points) == []


def test_the_critic_s_own_gradient_says_nothing_of_saturation() -> None:
    series = {"accuracy/critic": [1.0] * 60, "gradient_norm/critic": [1.0] * 50 + [1e-9] * 10}
    assert not saturates(series)
    assert saturates({**series, "gradient_norm/generator": series["gradient_norm/critic"]})


@pytest.mark.parametrize(
    ("spread", "copies", "told"),
    [
        ([0.9, 0.8, 0.05, 0.04, 0.05], [0.0] * 5, True),  # one image
        ([0.9, 0.8, 0.7, 0.7, 0.7], [0.0, 0.1, 0.9, 0.9, 1.0], True),  # a few images
        ([0.01, 0.01], [1.0, 1.0], False),  # too early to say
        ([0.03, 0.08, 0.2], [0.0] * 3, False),  # growing out of it
        ([0.01, 0.01, 0.01], [0.0] * 3, True),  # never grew
        ([0.9, 0.05, 0.9], [0.0, 1.0, 0.0], False),  # one bad evaluation
        ([0.05, 0.04, 0.05, 0.6], [0.0] * 4, False),  # it is over
    ],
)
def test_samples_that_stay_alike_are_a_collapse(spread: list[float], copies: list[float], told: bool) -> None:
    assert collapses({"diversity/spread": spread, "diversity/duplicates": copies}) == told


def test_a_finding_is_told_when_it_comes_and_when_it_goes() -> None:
    points = [{"diversity/spread": spread} for spread in (0.9, 0.05, 0.05, 0.05, 0.05, 0.05, 0.9, 0.9)]
    watch = Watch()
    changes = [watch.see(point) for point in points]
    assert changes == [{}, {}, {}, {"watch/collapse": 1.0}, {}, {}, {"watch/collapse": 0.0}, {}]


def test_a_finding_is_taken_once() -> None:
    watch = Watch()
    for _ in range(4):
        watch.see({"diversity/spread": 0.05})
    assert watch.taken() == {"collapse"}
    assert watch.taken() == set()


@pytest.mark.parametrize("cut", [3, 60, 140, 155])
def test_after_a_restart_it_goes_on_as_if_there_had_been_none(cut: int) -> None:
    points = healthy(3)
    for late, point in enumerate(points[100:]):
        point |= {name: value * 2.0**late for name, value in point.items() if name.startswith("gradient")}
    whole = Watch()
    lines = [point | whole.see(point) for point in points]
    again = Watch(lines[:cut])
    assert [point | again.see(point) for point in points[cut:]] == lines[cut:]
    assert again.series == whole.series
    assert all(len(values) <= KEPT for values in whole.series.values())


# one real training


class Frozen(WganGp):
    """A generator that makes one image, whatever its noise."""

    def _noise(self, step: Step) -> Tensor:
        return torch.ones_like(super()._noise(step))


def flagged(folder: Path) -> list[tuple[int, dict[str, float]]]:
    lines = [(line["images_seen"], line.get("metrics", {})) for line in read_lines(folder)]
    return [
        (seen, told)
        for seen, metrics in lines
        if (told := {k: v for k, v in metrics.items() if k.startswith("watch/")})
    ]


@pytest.fixture
def frozen(tables: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr("distgan.engine.running.load_method", lambda name: Frozen)
    tables["evaluate"]["every_images"] = 16
    return tables


def test_a_generator_that_makes_one_image_is_found(
    frozen: dict[str, Any], train: Callable[[AnyRun, Path], None], tmp_path: Path
) -> None:
    train(config_from_tables(frozen, "the test"), tmp_path / "run")
    assert flagged(tmp_path / "run") == [(48, {"watch/collapse": 1.0})]
    assert (tmp_path / "run" / "model").exists()


def test_a_finding_the_recipe_names_stops_the_run_after_a_checkpoint_and_resume_goes_on(
    frozen: dict[str, Any], train: Callable[[AnyRun, Path], None], tmp_path: Path
) -> None:
    frozen["watch"] = {"stop": ["divergence", "collapse"]}
    config, folder = config_from_tables(frozen, "the test"), tmp_path / "run"
    with pytest.raises(DivergedError, match=r"few different images, .* at 48 images") as caught:
        train(config, folder)
    assert "collapse" in caught.value.wrong
    assert Checkpoints(folder / "checkpoints", 2).committed_images() == 48
    assert not (folder / "model").exists()
    train(config, folder)
    assert flagged(folder) == [(48, {"watch/collapse": 1.0})]
    assert (folder / "model").exists()


def test_the_tiny_training_itself_is_not_found_fault_with(finished: Path) -> None:
    assert methods.load_method("wgan_gp") is WganGp
    assert flagged(finished) == []
