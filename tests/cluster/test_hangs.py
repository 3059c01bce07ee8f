"""Which worker hangs, and which only wait, evaluate, compile or are slow; time is counted in looks, not by a clock."""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from cluster.hangs import HANGS_SECONDS, TIMES_THE_SLOWEST, HangWatch, hangs_ended
from distgan.engine.distributed import Group

LONG = int(HANGS_SECONDS) + 3


class Workers:
    """Some watched workers, each at what the test says."""

    def __init__(self, folder: Path, size: int) -> None:
        self.groups = [Group(rank, size) for rank in range(size)]
        self.watches = [HangWatch(folder, group) for group in self.groups]
        self.at = [ExitStack() for _ in self.groups]

    def step(self, *ranks: int, hurried: bool = True) -> None:
        """They are in a step from now on."""
        for rank in ranks:
            self.at[rank].enter_context(self.groups[rank].activity.step(hurried=hurried))

    def wait(self, *ranks: int) -> None:
        """They are in a collective from now on."""
        for rank in ranks:
            self.at[rank].enter_context(self.groups[rank].activity.collective())

    def leave(self, *ranks: int) -> None:
        """They end what they are at."""
        for rank in ranks:
            self.at[rank].close()

    def hung(self, seconds: int) -> set[int]:
        """Who was found to hang meanwhile."""
        return {rank for _ in range(seconds) for rank, watch in enumerate(self.watches) if watch.look(1.0)}


@pytest.mark.parametrize("culprit", [0, 1, 2])
def test_the_one_that_the_others_wait_for_hangs(tmp_path: Path, culprit: int) -> None:
    workers = Workers(tmp_path, 3)
    workers.step(0, 1, 2)
    workers.wait(*{0, 1, 2} - {culprit})
    assert workers.hung(LONG - 10) == set(), "it may pause for half a minute"
    assert workers.hung(13) == {culprit}


def test_a_worker_alone_hangs_too(tmp_path: Path) -> None:
    workers = Workers(tmp_path, 1)
    workers.step(0)
    assert workers.hung(LONG) == {0}


def test_when_all_wait_for_one_another_the_first_ends(tmp_path: Path) -> None:
    workers = Workers(tmp_path, 2)
    workers.step(0, 1)
    workers.wait(0, 1)
    assert workers.hung(LONG) == {0}


def test_nobody_hangs_while_the_first_evaluates_however_long(tmp_path: Path) -> None:
    workers = Workers(tmp_path, 3)
    workers.step(0, 1, 2)
    workers.leave(0, 1, 2)
    workers.step(1, 2)
    workers.wait(1, 2)
    assert workers.hung(20 * LONG) == set()
    workers.step(0)
    assert workers.hung(LONG - 10) == set(), "and it has all its time in the step after"
    assert workers.hung(13) == {0}


def test_who_comes_late_to_a_collective_is_given_time_there(tmp_path: Path) -> None:
    workers = Workers(tmp_path, 2)
    workers.step(0)
    workers.step(1, hurried=False)
    workers.wait(0)
    workers.hung(20 * LONG)
    workers.wait(1)
    assert workers.hung(10) == set()


def test_steps_that_compile_are_waited_for(tmp_path: Path) -> None:
    workers = Workers(tmp_path, 2)
    workers.step(0, 1, hurried=False)
    workers.wait(1)
    assert workers.hung(20 * LONG) == set()


def test_slow_steps_are_waited_for_longer(tmp_path: Path) -> None:
    workers, slow = Workers(tmp_path, 2), 40
    for _ in range(3):
        workers.step(0, 1)
        workers.wait(1)
        assert workers.hung(slow) == set()
        workers.leave(0, 1)
    workers.step(0, 1)
    workers.wait(1)
    assert workers.hung((TIMES_THE_SLOWEST - 1) * slow) == set()
    assert workers.hung(slow + 3) == {0}


def test_waiting_long_for_others_makes_nobody_more_patient(tmp_path: Path) -> None:
    workers = Workers(tmp_path, 2)
    workers.step(0, 1)
    workers.leave(0, 1)
    workers.step(1)
    workers.wait(1)
    workers.hung(20 * LONG)  # the first evaluates
    workers.step(0)
    workers.wait(0)
    workers.hung(1)
    workers.leave(0, 1)
    workers.step(0, 1)
    workers.wait(0)
    assert workers.hung(LONG) == {1}


def test_a_slow_step_with_a_collective_now_and_then_is_none(tmp_path: Path) -> None:
    workers = Workers(tmp_path, 2)
    workers.step(0, 1)
    for _ in range(10):
        workers.wait(0, 1)
        assert workers.hung(LONG // 2) == set()
        workers.leave(0, 1)
        workers.step(0, 1)


def test_what_an_attempt_before_has_left_is_not_believed(tmp_path: Path) -> None:
    before = Workers(tmp_path, 2)
    before.step(0, 1)
    before.wait(0)
    before.hung(LONG)
    now = Workers(tmp_path, 2)
    now.step(0)
    assert {0 for _ in range(LONG) if now.watches[0].look(1.0)} == set(), "the second has yet to begin"


def test_nothing_stays_of_a_block_that_ended(tmp_path: Path) -> None:
    with hangs_ended(tmp_path, Group()):
        assert [path.name for path in (tmp_path / "pulses").iterdir()] == ["0-standing.json"]
    assert list((tmp_path / "pulses").iterdir()) == []


def test_a_process_that_hangs_says_where_and_dies(tmp_path: Path) -> None:
    program = f"""
import threading
from pathlib import Path
from cluster import hangs
from distgan.engine.distributed import Group

hangs.HANGS_SECONDS, hangs.LOOK_EVERY_SECONDS = 0.05, 0.01
group = Group()

def dead_locked():
    threading.Event().wait()

with hangs.hangs_ended(Path({str(tmp_path)!r}), group), group.activity.step(hurried=True):
    dead_locked()
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=100).returncode == -9
    said = json.loads((tmp_path / "pulses" / "0.json").read_text())["how"]
    assert said.startswith("hung in ")
    assert "dead_locked (<string>:" in said
    assert said.endswith("and was ended")
