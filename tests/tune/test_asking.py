"""In which order trials are begun; after a kill as before it."""

from pathlib import Path
from typing import Any

import pytest

from distgan.config.run_config import config_from_tables
from distgan.monitoring.pulse import STOP
from tune.asking import Asking
from tune.catalogue import Catalogue, Result, Trial
from tune.space import Point, Space

KEYS: dict[str, Any] = {"optimizer.lr": {"loguniform": [1e-5, 1e-3]}, "method.penalty": {"uniform": [1.0, 20.0]}}


def space(searcher: str, scheduler: str = "none", trials: int = 9, **tune: Any) -> Space:
    tables = {
        "run": {"name": "s", "images": 900, "batch_size": 8},
        "data": {"store": "nowhere"},
        "method": {"name": "wgan_gp"},
        "evaluate": {"every_images": 100},
        "checkpoint": {"every_images": 100},
        "tune": {"trials": trials, "searcher": searcher, "scheduler": scheduler, "space": KEYS} | tune,
    }
    config = config_from_tables(tables, "the test")
    assert config.tune is not None
    return Space(tables, config.tune)


def taken(asking: Asking) -> Trial:
    found = asking.next()
    assert isinstance(found, Trial)
    return found


def end(asking: Asking, trial: Trial, value: float | None) -> None:
    state = "failed" if value is None else "finished"
    asking.catalogue.end(trial.number, Result(state, None if value is None else (value,), 900))
    asking.ended(trial.number)


def value_of(point: Point) -> float | None:
    """A bowl, with a hole in it where training diverges."""
    penalty = float(point["method.penalty"])
    return None if penalty > 19 else (penalty - 7) ** 2 + 1e3 * float(point["optimizer.lr"])


def all_points(folder: Path, one: Space, *, killed: bool, slots: int = 2, newest_first: bool = False) -> list[Point]:
    """A search in which of the running trials the first or the last ends; killed: whenever one has ended."""
    catalogue, running = Catalogue(folder), []
    asking = Asking(catalogue, one, slots)
    while True:
        while isinstance(found := asking.next(), Trial):
            running.append(found)
        if not running:
            assert found is None
            return [trial.point for trial in catalogue.trials()]
        over = running.pop(-1 if newest_first else 0)
        end(asking, over, value_of(over.point))
        if killed:
            asking, running = Asking(catalogue, one, slots), []


@pytest.mark.parametrize("searcher", ["random", "tpe", "cmaes"])
def test_a_killed_search_tries_the_same_points(searcher: str, tmp_path: Path) -> None:
    one = space(searcher)
    points = all_points(tmp_path / "whole", one, killed=False)
    assert len(points) == 9
    assert len({repr(point) for point in points}) == 9
    assert all_points(tmp_path / "killed", one, killed=True) == points


@pytest.mark.parametrize("searcher", ["tpe", "cmaes"])
def test_points_do_not_depend_on_which_trial_was_faster(searcher: str, tmp_path: Path) -> None:
    one = space(searcher)
    points = all_points(tmp_path / "first", one, killed=False)
    assert all_points(tmp_path / "last", one, killed=False, newest_first=True) == points


def test_what_was_learnt_changes_what_is_tried(tmp_path: Path) -> None:
    learnt = all_points(tmp_path / "whole", space("tpe"), killed=False, slots=1)
    at_once = all_points(tmp_path / "blind", space("tpe"), killed=False, slots=9)
    assert learnt[:5] == at_once[:5]
    assert learnt[6:] != at_once[6:]


def test_unfinished_trials_go_first_and_none_twice(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    asking = Asking(catalogue, space("random"), 3)
    first = [taken(asking) for _ in range(3)]
    assert asking.next() is False, "there is no more room"
    end(asking, first[1], 1.0)
    again = Asking(catalogue, space("random"), 3)
    assert [taken(again).number for _ in range(3)] == [0, 2, 3]


def test_finished_trials_are_run_through_again_for_a_scheduler_that_compares_all(tmp_path: Path) -> None:
    catalogue, one = Catalogue(tmp_path), space("random", "hyperband", 3)
    asking = Asking(catalogue, one, 1)
    trials = [taken(asking) for _ in range(3)]
    end(asking, trials[0], 1.0)
    again = Asking(catalogue, one, 1)
    assert [taken(again).number, taken(again).number] == [0, 1]


def test_nothing_is_begun_after_the_wish_to_stop_or_when_the_images_are_spent(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    asking = Asking(catalogue, space("random", images=2000), 1)
    for _ in range(2):
        end(asking, taken(asking), 1.0)
        folder = catalogue.run(asking.asked - 1) / "checkpoints" / "images-000000000900"
        folder.mkdir(parents=True)
    assert asking.next() is None
    asking = Asking(catalogue, space("random"), 1)
    assert isinstance(asking.next(), Trial)
    asking.ended(2)
    (tmp_path / STOP).touch()
    assert asking.next() is None
