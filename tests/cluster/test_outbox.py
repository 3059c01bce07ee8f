"""The folder of a run is the outbox: whatever happens to MLflow's server, each (key, step) is there once in the end."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cluster.home import Home
from cluster.registry import list_versions
from cluster.runs import flush, runs
from cluster.tracking import MOST_METRICS, SHIPPED, Delivery, MlflowTracker, connect
from distgan.config.run_config import read_config
from distgan.engine.distributed import Group
from distgan.engine.running import run, write_recipe
from distgan.monitoring.tracking import read_lines
from storage.errors import ServiceError


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")  # the time is not what is tested


def said(folder: Path) -> Counter[tuple[str, int]]:
    """What the run has noted: (key, images seen), each once."""
    found = {(key, line["images_seen"]) for line in read_lines(folder) for key in line.get("metrics", {})}
    return Counter(found)


def there(home: Home, run_id: str) -> Counter[tuple[str, int]]:
    """What MLflow has, as often as it has it."""
    client = connect(home)
    keys = client.get_run(run_id).data.metrics
    return Counter((key, point.step) for key in keys for point in client.get_metric_history(run_id, key))


def figures(home: Home, run_id: str) -> set[str]:
    return {Path(one.path).name for one in connect(home).list_artifacts(run_id, "figures")}


def test_a_server_that_dies_in_the_middle_and_comes_back_has_everything_once(
    recipe: Path, home: Home, tracking_server: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = tracking_server()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    every = ["run.log_every_images=16", "checkpoint.every_images=32", "evaluate.every_images=96"]
    config = read_config(recipe, ["run.workers=1", "run.images=192", *every])
    folder = home.run("tiny")
    write_recipe(folder, config)
    delivery = Delivery(home, folder, "tiny")
    delivery.try_deliver()
    assert not delivery.run_id, "nobody was there at the start"

    server.start()
    states: dict[int, str] = {}

    def committed(seen: int) -> None:
        """Told by the run after each checkpoint: the server lives, is dead for two of them, and lives again."""
        if seen == 96:
            server.kill()
        if seen == 160:
            server.start()
        before = delivery.cursor
        if seen in (96, 128):
            delivery.try_deliver()
        else:
            delivery.deliver()
        states[seen] = "delivered" if delivery.cursor > before else "kept"

    run(config, folder, Group(), torch.device("cpu"), committed)
    # A checkpoint is committed by a thread, perhaps after this: so what is delivered is what was committed by then.
    assert [states[seen] for seen in (96, 128)] == ["kept", "kept"]
    assert "delivered" in (states[32], states[64])
    assert "delivered" in (states[160], states[192])
    list(flush(home))
    assert there(home, delivery.run_id) == said(folder)
    assert set(there(home, delivery.run_id).values()) == {1}
    assert figures(home, delivery.run_id) == {path.name for path in (folder / "figures").glob("*.png")}


def failing(patch: pytest.MonkeyPatch, number: int, *, after: bool) -> list[str]:
    """Let the request of that number fail, before it took effect or after.  Returns the names of all requests."""
    from mlflow import MlflowClient

    made: list[str] = []
    changing = ("create_run", "log_batch", "log_artifact", "log_artifacts", "log_inputs", "set_tag", "update_run")
    changing += ("create_registered_model", "create_model_version", "set_registered_model_alias", "set_terminated")

    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **more: Any) -> Any:
            made.append(name)
            if len(made) == number + 1 and not after:
                raise OSError("nobody answers")
            found = real(*given, **more)
            if len(made) == number + 1:
                raise OSError("the answer was lost")
            return found

        return call

    for name in changing:
        patch.setattr(MlflowClient, name, wrap(name, getattr(MlflowClient, name)))
    return made


@pytest.mark.parametrize("after", [False, True], ids=["before it took effect", "after"])
def test_whichever_request_fails_nothing_is_lost_or_there_twice(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    number, failed = 0, True
    while failed:
        home = Home(tmp_path / str(number))
        shutil.copytree(finished, home.path)
        with monkeypatch.context() as patch:
            made = failing(patch, number, after=after)
            try:
                list(flush(home))
            except (ServiceError, OSError):
                assert len(made) > number
            failed = len(made) > number
        list(flush(home))
        (one,) = runs(home)
        assert there(home, one.run_id) == said(home.run("tiny")), made[-1]
        assert set(there(home, one.run_id).values()) == {1}, made[-1]
        assert [version.version for version in list_versions(home)] == [1], made[-1]
        assert list_versions(home)[0].aliases == ("candidate",)
        told = connect(home).get_run(one.run_id)
        assert told.info.status == "FINISHED"
        assert told.data.params["method.penalty"] == "10.0"
        experiment = told.info.experiment_id
        # A run whose creation was answered by nobody stays empty; it is not one that has numbers.
        assert sum(bool(each.data.metrics) for each in connect(home).search_runs([experiment])) == 1
        number += failed
    assert number >= 8


class Requests:
    """Keeps what a tracker sends."""

    def __init__(self) -> None:
        self.sent: list[tuple[list[tuple[str, int]], str | None]] = []

    def log_batch(self, run_id: str, metrics: Any, tags: Any) -> None:
        told = tags[0].value if tags else None
        assert all(tag.key == SHIPPED for tag in tags)
        self.sent.append(([(one.key, one.step) for one in metrics], told))


def test_many_points_go_in_few_requests_and_each_tells_what_is_whole_with_it() -> None:
    requests = Requests()
    points = {16 * number: {f"loss/{term}": 0.5 for term in range(7)} for number in range(1, 301)}
    MlflowTracker(requests, "run").points(points, dict.fromkeys(points, 1.0))
    assert [len(metrics) for metrics, _ in requests.sent] == [1000, 1000, 100]
    assert [told for _, told in requests.sent] == ["2272", "4560", "4800"], "142 whole points, 285, and all"
    assert Counter(one for metrics, _ in requests.sent for one in metrics) == Counter(
        (key, seen) for seen, values in points.items() for key in values
    )
    assert MOST_METRICS == 1000


def test_a_point_larger_than_a_request_is_told_when_it_is_whole() -> None:
    requests = Requests()
    MlflowTracker(requests, "run").points({16: {f"m/{number}": 0.5 for number in range(2500)}}, {16: 1.0})
    assert [(len(metrics), told) for metrics, told in requests.sent] == [(1000, None), (1000, None), (500, "16")]
