"""What is told of workers while they train; time is counted in looks, not by a clock."""

import json
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cluster.hangs import HANGS_SECONDS, STANDING, HangWatch
from cluster.home import Home
from cluster.jobs import Job, Jobs
from cluster.ownership import owned
from cluster.runs import show
from cluster.workers import SILENT_SECONDS, Crew, workers
from distgan.engine.distributed import Group
from distgan.monitoring.pulse import PULSES
from storage.errors import MissingError, RecipeError

MINUTE = 60


def trained(folder: Path, computing: list[int], seconds: int = MINUTE) -> list[HangWatch]:
    """Workers that step together; of every ten seconds, each computes so many and then waits for the others."""
    groups = [Group(rank, len(computing)) for rank in range(len(computing))]
    watches = [HangWatch(folder, group) for group in groups]
    for rank, group in enumerate(groups):
        group.activity.turn = "critic"
        said = {"node": f"node-{rank}", "pid": 100 + rank, "images_seen": 32}
        (folder / PULSES / f"{rank}.json").write_text(json.dumps(said))
    for second in range(seconds):
        for group, watch, share in zip(groups, watches, computing, strict=True):
            with ExitStack() as at:
                at.enter_context(group.activity.step(hurried=True))
                if second % 10 >= share:
                    at.enter_context(group.activity.collective())
                watch.look(1.0)
    return watches


def test_each_says_what_it_does_and_in_which_turn(tmp_path: Path) -> None:
    assert workers(tmp_path) == []
    for watch, waits in zip(trained(tmp_path, [5, 5, 5]), (None, True, False), strict=True):
        with ExitStack() as at:
            if waits is not None:
                at.enter_context(watch.group.activity.step(hurried=True))
            if waits:
                at.enter_context(watch.group.activity.collective())
            watch.look(1.0)
    found = workers(tmp_path)
    assert [one.what for one in found] == [
        "is between two steps",
        "waits for the others, in turn critic",
        "computes turn critic",
    ]
    assert [(one.rank, one.node, one.pid, one.images_seen) for one in found] == [
        (rank, f"node-{rank}", 100 + rank, 32) for rank in range(3)
    ]


def test_the_driver_is_told_what_takes_long_and_how_far_the_slowest_is(tmp_path: Path) -> None:
    first, _ = trained(tmp_path, [5, 5])
    crew = Crew(tmp_path)
    crew.look()
    assert (crew.images_seen, crew.chore) == (32, "")
    (tmp_path / PULSES / "1.json").write_text(json.dumps({"node": "", "pid": 0, "images_seen": 16}))
    with first.group.activity.doing("evaluates"):
        first.look(1.0)
        crew.next_look = 0.0
        crew.look()
    assert (crew.images_seen, crew.chore) == (16, "evaluates")
    first.look(1.0)
    assert workers(tmp_path)[0].what == "is between two steps"


def test_who_hangs_and_who_is_silent_is_told(tmp_path: Path) -> None:
    watches = trained(tmp_path, [5, 5], seconds=1)
    with watches[0].group.activity.step(hurried=True):
        for _ in range(int(HANGS_SECONDS) + 2):
            watches[0].look(1.0)
    then = time.time() - 2 * SILENT_SECONDS
    os.utime(tmp_path / PULSES / f"1{STANDING}", (then, then))
    hangs, silent = workers(tmp_path)
    assert hangs.what.startswith("has not moved for 4")
    assert silent.what.startswith("silent for 30 s; before that: ")


@pytest.mark.parametrize(
    ("computing", "slow"), [([9, 4], {0}), ([4, 9, 5], {1}), ([5, 5, 6], set()), ([9], set()), ([1, 0], set())]
)
def test_who_computes_while_the_others_wait_is_named_once(tmp_path: Path, computing: list[int], slow: set[int]) -> None:
    trained(tmp_path, computing)
    assert {one.rank for one in workers(tmp_path) if one.straggles} == slow
    crew = Crew(tmp_path)
    said = crew.look()
    assert [text.split(" (")[0] for text in said] == [f"worker {rank} on node-{rank}" for rank in slow]
    assert all("% of the time, and the others wait for it" in text for text in said)
    assert crew.look() == [], "it looks no more often than it must"
    crew.next_look = 0.0
    assert crew.look() == []


def test_an_evaluation_of_the_first_makes_nobody_a_straggler(tmp_path: Path) -> None:
    first, second = trained(tmp_path, [5, 5])
    with second.group.activity.step(hurried=True), second.group.activity.collective():
        for _ in range(MINUTE):
            first.look(1.0)
            second.look(1.0)
    assert not any(one.straggles for one in workers(tmp_path))


# a run, and a job that trains one


@pytest.fixture
def running(home: Home, recipe: Path) -> Any:
    from distgan.config.run_config import read_config
    from distgan.engine.running import write_recipe

    folder = home.run("tiny")
    write_recipe(folder, read_config(recipe))
    with owned(folder, "run", begun=False, resume=False):
        trained(folder, [5, 5])
        yield folder


def test_a_run_shows_its_workers_only_while_somebody_trains_it(home: Home, running: Path) -> None:
    lost = {"rank": 1, "node": "node-1", "pid": 7, "how": "died", "images_seen": 16}
    (running / "lost.jsonl").write_text(json.dumps(lost) + "\n")
    found = show(home, "tiny")
    assert (found["state"], found["images"]) == ("running", 960)
    assert [row["rank"] for row in found["workers"]] == [0, 1]
    assert found["lost"] == ["worker 1 on node-1 (process 7) died after 16 images"]
    with pytest.raises(MissingError, match="there is no run other") as missing:
        show(home, "other")
    assert "are tiny" in missing.value.found
    with pytest.raises(RecipeError):
        show(home, "../tiny")


def test_a_run_that_nobody_trains_has_no_workers(home: Home, recipe: Path) -> None:
    from distgan.config.run_config import read_config
    from distgan.engine.running import write_recipe

    write_recipe(home.run("tiny"), read_config(recipe))
    trained(home.run("tiny"), [5, 5])
    assert show(home, "tiny")["workers"] == []


class Cluster(Jobs):
    """A cluster with one job, which says `said`; what it is asked by a job is kept."""

    def __init__(self, said: str, status: str = "RUNNING") -> None:
        self.address, self.said, self.status = "http://nowhere", said, status
        self.asked: list[str] = []
        self._client: Any = self

    def delete_job(self, name: str) -> None:
        self.asked.append(f"deleted {name}")

    def job(self, name: str) -> Job:
        return Job(name, self.status, "distgan train tiny", 0.0, None, None, "")

    def log(self, name: str) -> str:
        return self.said

    def submit(self, command: Any, recipe: Path | None = None) -> Job:
        self.asked.append(" ".join(command))
        return self.job("runs-1")

    def follow(self, name: str, tell: Any) -> dict[str, Any]:
        return {"name": "tiny", "workers": [{"rank": 0}]}


SAID = 'run.images = 960\nrun.name = "tiny"\nsome text\n'


def test_a_job_shows_the_workers_of_its_run(home: Home, running: Path) -> None:
    here = Cluster(SAID)
    assert [row["node"] for row in here.run_of(home, "train-1")["workers"]] == ["node-0", "node-1"]
    assert here.asked == []


def test_what_cannot_be_seen_from_here_the_cluster_is_asked(home: Home) -> None:
    away = Cluster(SAID)
    assert away.run_of(home, "train-1")["workers"] == [{"rank": 0}]
    assert away.asked == ["runs show tiny", "deleted runs-1"]


@pytest.mark.parametrize(("said", "status"), [("ingested\n", "RUNNING"), (SAID, "SUCCEEDED")])
def test_a_job_that_trains_nothing_now_shows_no_workers(home: Home, said: str, status: str) -> None:
    cluster = Cluster(said, status)
    assert cluster.run_of(home, "ingest-1") == {}
    assert cluster.asked == []


def test_the_name_that_a_job_says_is_no_path(home: Home) -> None:
    with pytest.raises(RecipeError, match="cannot be used as a name"):
        Cluster('run.name = "../../etc"\n').run_of(home, "train-1")
