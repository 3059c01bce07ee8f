"""Searches and sweeps that MLflow heard nothing of: delivered later, each training and each number once."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cluster.home import Home
from cluster.tracking import PARENT, connect
from distgan.monitoring.tracking import read_lines
from storage.errors import ServiceError
from tests.tune.test_fractions import digests, here, home, run
from tests.tune.test_trials import begun, patches, train
from tune.catalogue import Catalogue
from tune.flush import flush, searches_and_sweeps

__all__ = ["here", "home", "patches"]  # fixtures
DEAD = "http://127.0.0.1:9"


@pytest.fixture
def dead(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is there, and that is soon known.  home: which forgets addresses, first."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD)


def children(home: Home, folder: Path) -> dict[str, Any]:
    """The runs below that of a search or sweep, by name, each once."""
    client, parent = connect(home), (folder / "mlflow_run").read_text().strip()
    experiment = client.get_run(parent).info.experiment_id
    found = client.search_runs([experiment], f"tags.`{PARENT}` = '{parent}'")
    names = Counter(one.info.run_name for one in found)
    assert set(names.values()) <= {1}, names
    return {one.info.run_name: one for one in found}


@pytest.mark.usefixtures("here", "dead")
def test_a_sweep_that_mlflow_never_heard_of_is_delivered_later(
    sweep_tables: dict[str, Any], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ServiceError, match="MLflow does not answer"):
        run(sweep_tables, home)
    folder = home.path / "sweeps" / "sweep"
    assert len(digests(home)) == 8
    with pytest.raises(ServiceError, match="MLflow does not answer"):
        list(flush(home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")

    # half of it first, as if it had been stopped there
    kept = home.path / "kept"
    kept.mkdir()
    for path in sorted((folder / "results").glob("*.json"))[4:]:
        path.rename(kept / path.name)
    assert list(flush(home)) == [("sweep", "delivered 4 of 8 trainings")]
    half = children(home, folder)
    assert len(half) == 4
    for path in kept.iterdir():
        shutil.move(path, folder / "results")
    assert list(flush(home)) == [("sweep", "delivered 8 of 8 trainings")]
    whole = children(home, folder)
    assert sorted(whole) == sorted(digests(home))
    assert {name: whole[name].info.run_id for name in half} == {name: one.info.run_id for name, one in half.items()}
    assert {one.info.status for one in whole.values()} == {"FINISHED"}
    assert list(flush(home)) == [("sweep", "nothing to deliver")]


@pytest.mark.usefixtures("dead")
def test_a_search_that_mlflow_never_heard_of_is_delivered_later(
    patches: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distgan.evaluations.kid.TRAINING_STEPS", 5)
    folder = home.path / "searches" / "s"
    catalogue: Catalogue = begun(patches, folder, trials=3, scheduler="none", searcher="random")
    for number in (0, 1):
        train(catalogue, number)
    (one,) = searches_and_sweeps(home)
    assert (one.kind, one.state, one.ended, one.of) == ("search", "stopped", 2, 3)
    with pytest.raises(ServiceError, match="MLflow does not answer"):
        list(flush(home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    for _ in range(2):
        assert list(flush(home)) == [("s", "delivered 2 of 3 trainings")]
        found = children(home, folder)
        assert sorted(found) == ["s-0000", "s-0001"]
        for number, name in enumerate(sorted(found)):
            client, run_id = connect(home), found[name].info.run_id
            keys = client.get_run(run_id).data.metrics
            there = Counter((key, one.step) for key in keys for one in client.get_metric_history(run_id, key))
            lines = read_lines(catalogue.run(number))
            assert there == Counter(
                {(key, line["images_seen"]): 1 for line in lines for key in line.get("metrics", {})}
            )
            assert found[name].info.status == "FINISHED"
    assert json.loads((folder / "search.json").read_text())["recipe"]["run"]["name"] == "s"
