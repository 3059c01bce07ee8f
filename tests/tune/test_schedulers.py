"""Ray Tune's schedulers, told of what was before."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distgan.config.run_config import config_from_tables
from distgan.config.search_sections import Domain
from tune.catalogue import Catalogue, Result
from tune.schedulers import make_scheduler, tell_past, within
from tune.space import Space

pytestmark = pytest.mark.cluster


def search(folder: Path, scheduler: str, curves: dict[int, list[float]]) -> tuple[Catalogue, Space]:
    """A search of which trials ended, each with a curve of values at 100, 200 ... images."""
    tables: dict[str, Any] = {
        "run": {"name": "s", "images": 900, "batch_size": 8},
        "data": {"store": "nowhere"},
        "method": {"name": "wgan_gp"},
        "evaluate": {"every_images": 100},
        "checkpoint": {"every_images": 100},
        "tune": {"trials": 9, "scheduler": scheduler, "space": {"optimizer.lr": {"uniform": [1e-5, 1e-3]}}},
    }
    tune = config_from_tables(tables, "the test").tune
    assert tune is not None
    catalogue = Catalogue(folder)
    time = 0.0
    for number, values in curves.items():
        catalogue.add(number, {"optimizer.lr": 1e-4}, [])
        run = catalogue.run(number)
        (run / "checkpoints" / f"images-{100 * len(values):012d}").mkdir(parents=True)
        with (run / "metrics.jsonl").open("w") as file:
            for step, value in enumerate(values, 1):
                time += 1
                file.write(json.dumps({"images_seen": 100 * step, "metrics": {"kid": value}, "time": time}) + "\n")
        catalogue.end(number, Result("finished", (values[-1],), 100 * len(values)))
    return catalogue, Space(tables, tune)


class Trial:
    status, is_saving = "PENDING", False

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id


class Controller:
    """What HyperBand asks of Ray."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler

    def stop_trial(self, trial: Trial) -> None:
        trial.status = "TERMINATED"
        self.scheduler.on_trial_remove(self, trial)


@pytest.mark.parametrize("scheduler", ["asha", "median"])
def test_a_fresh_scheduler_stops_what_the_old_one_would_have_stopped(scheduler: str, tmp_path: Path) -> None:
    catalogue, space = search(tmp_path, scheduler, {n: [5.0 - s / 3 for s in range(9)] for n in range(4)})
    for value, told, decision in ((9.0, True, "STOP"), (1.0, True, "CONTINUE"), (9.0, False, "CONTINUE")):
        fresh = make_scheduler(space)
        if told:
            tell_past(fresh, catalogue, space)
        new = Trial("new")
        fresh.on_trial_add(None, new)
        result = {"kid": value, "images_seen": 100, "training_iteration": 1}
        if scheduler == "median" and not told:
            continue  # it would look at Ray's other trials
        assert fresh.on_trial_result(None, new, result) == decision


def test_schedulers_count_in_images(tmp_path: Path) -> None:
    _, space = search(tmp_path, "asha", {})
    rungs = make_scheduler(space)._brackets[0]._rungs
    assert sorted(milestone for milestone, _ in rungs) == [100, 300, 900]


@pytest.mark.parametrize("scheduler", ["hyperband", "pbt", "pb2"])
def test_the_others_can_be_made(scheduler: str, tmp_path: Path) -> None:
    _, space = search(tmp_path, scheduler, {})
    made = make_scheduler(space)
    assert made is not None
    assert tell_past(made, Catalogue(tmp_path), space) is None


def test_hyperband_lets_the_last_of_a_bracket_see_all_images(tmp_path: Path) -> None:
    _, space = search(tmp_path, "hyperband", {})
    space.grace = 112  # 8 units of it: no power of the reduction, and Ray's last milestone of some brackets is at 6
    scheduler = make_scheduler(space)
    trials = [Trial(str(number)) for number in range(8)]
    seen = dict.fromkeys((trial.trial_id for trial in trials), 0)
    for trial in trials:
        scheduler.on_trial_add(None, trial)
    controller = Controller(scheduler)
    while trial := scheduler.choose_trial_to_run(controller):
        trial.status = "RUNNING"
        while trial.status == "RUNNING":
            images = seen[trial.trial_id] = seen[trial.trial_id] + 100
            result = {"kid": 9.0 - int(trial.trial_id), "units": images / 112}
            decision = scheduler.on_trial_result(controller, trial, result)
            if images == 900:
                trial.status = "TERMINATED"
                scheduler.on_trial_complete(controller, trial, result)
            elif decision != "CONTINUE":
                trial.status = {"STOP": "TERMINATED", "PAUSE": "PAUSED"}[decision]
    assert seen["7"] == 900
    assert {0 < images <= 900 for images in seen.values()} == {True}
    assert sum(seen.values()) < 8 * 900


def test_a_population_is_compared_when_all_have_come_as_far_as_the_first(tmp_path: Path) -> None:
    catalogue, space = search(tmp_path, "pbt", {0: [5.0, 4.0, 3.0], 1: [5.0]})
    fresh = make_scheduler(space)
    tell_past(fresh, catalogue, space)
    assert fresh._next_perturbation_sync == 301


def test_a_perturbed_value_comes_back_into_its_bounds() -> None:
    space = {
        "a": Domain.model_validate({"uniform": [0.0, 0.5]}),
        "b": Domain.model_validate({"int": [4, 8]}),
        "c": Domain.model_validate({"choice": ["x", "y"]}),
    }
    assert within({"a": 0.6, "b": 9.6, "c": "y"}, space) == {"a": 0.5, "b": 8, "c": "y"}
    assert within({"a": -0.1, "b": 3.2, "c": "x"}, space) == {"a": 0.0, "b": 4, "c": "x"}


def test_asha_finds_the_best_of_a_grid_at_a_part_of_its_cost(tmp_path: Path) -> None:
    _, space = search(tmp_path, "asha", {})
    costs = []
    for seed in range(10):
        order = [str(point) for point in np.random.default_rng(seed).permutation(27)]
        seen, ended = raced(make_scheduler(space), order, lambda point, images: abs(int(point) - 19) + 300 / images)
        assert min(ended, key=ended.__getitem__) == "19"
        costs.append(sum(seen.values()) / (27 * 900))
    assert np.mean(costs) <= 0.4


def raced(
    scheduler: Any, points: list[str], value: Callable[[str, int], float]
) -> tuple[dict[str, int], dict[str, float]]:
    """Two trials at a time, reporting every 100 of 900 images: what each has seen, and the values at the end."""
    waiting, running = [Trial(point) for point in points], []
    seen, ended = dict.fromkeys(points, 0), {}
    while waiting or running:
        while waiting and len(running) < 2:
            running.append(waiting.pop(0))
            scheduler.on_trial_add(None, running[-1])
        for trial in list(running):
            images = seen[trial.trial_id] = seen[trial.trial_id] + 100
            found = value(trial.trial_id, images)
            if scheduler.on_trial_result(None, trial, {"kid": found, "images_seen": images}) == "STOP":
                running.remove(trial)
                if images == 900:
                    ended[trial.trial_id] = found
    return seen, ended
