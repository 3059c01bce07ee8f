"""When the workers look whether they should stop, and what they tell of themselves."""

import time
from pathlib import Path

import pytest
import torch

from distgan.engine.distributed import Group
from distgan.monitoring.pulse import STOP, Pulse, last_pulse


class Clock:
    """A clock that goes on by one step's time at each step."""

    def __init__(self, patch: pytest.MonkeyPatch, step_seconds: float) -> None:
        self.now, self.step_seconds = 0.0, step_seconds
        patch.setattr(time, "monotonic", lambda: self.now)


def looks(pulse: Pulse, clock: Clock, folder: Path, steps: int) -> list[int]:
    """After which of so many steps it looked, told by its pulse."""
    found = []
    for step in range(1, steps + 1):
        clock.now += clock.step_seconds
        assert not pulse.asked_to_stop(step, 16 * step)
        if last_pulse(folder, 0)["images_seen"] == 16 * step:
            found.append(step)
    return found


@pytest.mark.parametrize(("step_seconds", "between"), [(10.0, 1), (0.1, 5), (0.001, 500)])
def test_it_looks_about_twice_a_second_however_long_a_step_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_seconds: float, between: int
) -> None:
    clock = Clock(monkeypatch, step_seconds)
    found = looks(Pulse(tmp_path, Group(), torch.device("cpu")), clock, tmp_path, 4000)
    assert found[:2] == [1, 2], "at once, as nothing is known yet of how long a step takes"
    assert abs(found[-1] - found[-2] - between) <= 1


def test_a_wish_to_stop_is_seen_at_the_next_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 2.0)
    pulse = Pulse(tmp_path, Group(), torch.device("cpu"))
    assert looks(pulse, clock, tmp_path, 5) == [1, 2, 3, 4, 5]
    (tmp_path / STOP).touch()
    assert pulse.asked_to_stop(6, 96)


def test_a_worker_that_told_nothing_is_no_error(tmp_path: Path) -> None:
    assert last_pulse(tmp_path, 3) == {}
