"""The runs of a home: how each stands, and the delivery of what a dead MLflow missed."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cluster.attempts import LOST, lost_workers
from cluster.home import Home
from cluster.ownership import is_owned
from cluster.registry import list_versions, register
from cluster.tracking import SHIPPED, Delivery, answering, connect
from cluster.workers import workers
from distgan.config.run_config import config_from_tables
from distgan.engine.checkpoint import Checkpoints
from distgan.model import KIND
from distgan.monitoring.follower import Follower
from distgan.monitoring.tracking import RECIPE, read_lines
from storage.errors import MissingError
from storage.manifest import read_manifest
from storage.names import safe_name


@dataclass(frozen=True)
class Run:
    """One run.  state: running, finished, stopped (go on by --resume) or begun (no checkpoint yet).  images: of all."""

    name: str
    state: str
    images_seen: int
    images: int
    method: str
    run_id: str


def runs(home: Home) -> list[Run]:
    """All runs of a home, by name; the trainings of searches and sweeps are theirs."""
    return [_run(home, folder) for folder in sorted((home.path / "runs").glob("*")) if (folder / RECIPE).exists()]


def show(home: Home, name: str) -> dict[str, Any]:
    """How a run stands, what its workers do now, and which were lost.  Raises MissingError, RecipeError."""
    folder = home.run(safe_name(name, "the name of a run"))
    if not (folder / RECIPE).exists():
        known = ", ".join(one.name for one in runs(home)) or "none"
        raise MissingError(f"there is no run {name}", f"the runs in {home.path} are {known}", "See `distgan runs list`")
    return {
        **asdict(_run(home, folder)),
        "workers": [one.row() for one in workers(folder)] if is_owned(folder) else [],
        "lost": lost_workers(Follower(folder / LOST)),
    }


def flush(home: Home) -> Iterator[tuple[str, str]]:
    """Deliver each run that nobody trains, and register its model if that is missing: (name, what was done).

    What MLflow has is not delivered again. A run is ended after its model was registered and has its alias.
    Raises ServiceError: MLflow does not answer; what was delivered stays.  Raises DataError: a model is damaged.
    """
    for one in runs(home):
        yield one.name, _flush(home, one)


def in_mlflow(home: Home, run_id: str) -> tuple[str, int]:
    """The status of a run in MLflow, and up to which point it is there; ("", -1) if it is not there."""
    if not run_id:
        return "", -1
    with answering(home):
        found = connect(home).get_run(run_id)
    return found.info.status, int(found.data.tags.get(SHIPPED, -1))


def _flush(home: Home, one: Run) -> str:
    folder = home.run(one.name)
    if one.state in ("running", "begun"):
        return f"left alone, it is {one.state}"
    status, shipped = in_mlflow(home, one.run_id)
    missing = sum(shipped < line["images_seen"] <= one.images_seen for line in read_lines(folder))
    finished = one.state == "finished"
    ended = status == "FINISHED" if finished else status in ("KILLED", "FAILED")
    registered = not finished or (ended and _is_registered(home, folder, one.run_id))
    if registered and not missing and ended:
        return "nothing to deliver"
    delivery = Delivery(home, folder, one.name)
    delivery.deliver()
    if not registered:
        config = config_from_tables(_recipe(folder), str(folder / RECIPE))
        name = config.register_.name or config.run.name
        register(home, folder / "model", delivery.run_id, name, config.register_.alias)
    delivery.end("FINISHED" if finished else "KILLED")
    return f"delivered {missing} lines" + ("" if registered else " and the model")


def _is_registered(home: Home, folder: Path, run_id: str) -> bool:
    digest = read_manifest(folder / "model", KIND).digest
    return any((one.digest, one.run_id) == (digest, run_id) for one in list_versions(home))


def _run(home: Home, folder: Path) -> Run:
    recipe = _recipe(folder)
    seen = Checkpoints(folder / "checkpoints", keep=2).committed_images()
    state = (
        "running" if is_owned(folder) else "finished" if (folder / "model").exists() else "stopped" if seen else "begun"
    )
    run_id = Delivery(home, folder, folder.name).run_id
    return Run(folder.name, state, seen, recipe["run"]["images"], recipe["method"]["name"], run_id)


def _recipe(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
    return found
