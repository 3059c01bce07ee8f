"""What a worker makes of an error, and what is told of workers that were lost; without starting Ray."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cluster import attempts
from cluster.home import Home
from cluster.session import set_environment
from distgan.config.run_config import read_config
from distgan.engine.distributed import Group, PeerLost
from distgan.monitoring.follower import Follower
from distgan.monitoring.pulse import Pulse
from storage.errors import ServiceError

Settings = dict[str, Any]


@pytest.fixture
def settings(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of the only worker of a run."""
    set_environment(Home(tmp_path / "home"))  # Ray looks for its token when it is imported
    import ray.train
    import ray.train.torch

    context = SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 1)
    monkeypatch.setattr(ray.train, "get_context", lambda: context)
    monkeypatch.setattr(ray.train.torch, "get_device", lambda: torch.device("cpu"))
    return {
        "recipe": read_config(recipe, ["run.workers=1"]).dump(),
        "folder": str(tmp_path),
        "failure": str(tmp_path / "failure.json"),
        "strict": False,
    }


def failing(error: Exception, calls: list[int]) -> Any:
    def run(*args: Any, **kwargs: Any) -> None:
        calls.append(1)
        raise error

    return run


def test_a_bug_is_told_once_and_not_tried_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(attempts, "run", failing(ZeroDivisionError("in the loss"), calls))
    with pytest.raises(ZeroDivisionError):
        attempts.worker(settings)
    assert "in the loss" in json.loads(Path(settings["failure"]).read_text())["found"]
    attempts.worker(settings)  # the attempt that Ray makes of its own accord
    assert len(calls) == 1


def test_a_lost_peer_is_tried_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(attempts, "run", failing(PeerLost("a", "b", "c"), calls))
    for _ in range(2):
        with pytest.raises(PeerLost):
            attempts.worker(settings)
    assert len(calls) == 2
    assert not Path(settings["failure"]).exists()


def test_a_lost_worker_is_named_with_what_it_last_told(tmp_path: Path) -> None:
    class WorkerHealthCheckTimeoutError(Exception):
        """Named as Ray's."""

    Pulse(tmp_path, Group(1, 2), torch.device("cpu")).beat(4800)
    watcher = attempts._lost_workers(tmp_path)
    watcher.after_exception(None, {0: PeerLost("a", "b", "c"), 1: WorkerHealthCheckTimeoutError()})
    lines = Follower(tmp_path / attempts.LOST)
    (told,) = attempts.lost_workers(lines)
    assert told.startswith("worker 1 on ")
    assert told.endswith("gave no sign of life and was given up after 4,800 images")
    assert attempts.lost_workers(lines) == []


def test_a_worker_that_ended_itself_is_named_with_its_own_reason(tmp_path: Path) -> None:
    class WorkerHealthCheckFailedError(Exception):
        """Named as Ray's."""

    place = tmp_path / "pulses" / "0.json"
    place.parent.mkdir()
    place.write_text(json.dumps({"node": "n7", "pid": 5, "images_seen": 64, "how": "hung in batch and was ended"}))
    attempts._lost_workers(tmp_path).after_exception(None, {0: WorkerHealthCheckFailedError()})
    (told,) = attempts.lost_workers(Follower(tmp_path / attempts.LOST))
    assert told == "worker 0 on n7 (process 5) hung in batch and was ended after 64 images"


def test_giving_up_says_what_happened_to_the_last_worker(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "run", failing(PeerLost("a", "b", "c"), []))
    line = {"rank": 1, "node": "n7", "pid": 5, "images_seen": 64, "how": "hung in batch and was ended"}
    (Path(settings["folder"]) / attempts.LOST).write_text(json.dumps(line) + "\n")
    for _ in range(attempts.ATTEMPTS_WITHOUT_PROGRESS):
        with pytest.raises(PeerLost):
            attempts.worker(settings)
    with pytest.raises(ServiceError, match=r"in between; worker 1 on n7 \(process 5\) hung in batch"):
        attempts.worker(settings)
