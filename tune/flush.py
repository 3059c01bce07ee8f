"""Searches and sweeps of a home: how each stands, and the delivery of what a dead MLflow missed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.home import Home
from cluster.ownership import is_owned
from cluster.runs import in_mlflow
from cluster.tracking import Delivery
from distgan.config.run_config import config_from_tables, flat_keys
from tune.catalogue import Catalogue
from tune.fraction_results import read_results
from tune.fraction_tracking import SweepDelivery
from tune.fractions import sweep
from tune.packed import PLAN
from tune.search import search
from tune.search_tracking import SearchDelivery
from tune.searchers import make_searcher
from tune.space import Space


@dataclass(frozen=True)
class Many:
    """A search or a sweep.  ended: trainings, of so many in all."""

    kind: str
    folder: Path
    ended: int
    of: int

    @property
    def state(self) -> str:
        """running, finished or stopped."""
        return "running" if is_owned(self.folder) else "finished" if self.ended == self.of else "stopped"

    def run_id(self, home: Home) -> str:
        """Of its parent run in MLflow, once there is one."""
        return Delivery(home, self.folder, self.folder.name).run_id


def searches_and_sweeps(home: Home) -> list[Many]:
    """All of a home that have begun, by name."""
    found = []
    for folder in sorted((home.path / "searches").glob("*")):
        catalogue = Catalogue(folder)
        if facts := catalogue.search():
            ended = sum(one.result is not None for one in catalogue.trials())
            found.append(Many("search", folder, ended, make_searcher(_space(facts)).total))
    for folder in sorted((home.path / "sweeps").glob("*")):
        if (folder / PLAN).exists():
            names = [one["name"] for one in _plan(folder)["members"]]
            found.append(Many("sweep", folder, len(read_results(folder, names)), len(names)))
    return found


def flush(home: Home) -> Iterator[tuple[str, str]]:
    """Deliver each search and sweep that nobody runs: (name, what was done).

    One that has ended is reported and registered as its own command would have done; what MLflow has is not delivered
    again.  Raises ServiceError: MLflow does not answer; what was delivered stays.
    """
    for one in searches_and_sweeps(home):
        yield one.folder.name, _flush(home, one)


def _flush(home: Home, one: Many) -> str:
    status, _ = in_mlflow(home, one.run_id(home))
    if one.state == "running" or not one.ended:
        return "left alone, it is running" if one.state == "running" else "left alone, nothing has ended"
    if status == "FINISHED":
        return "nothing to deliver"
    if one.kind == "search":
        recipe = _facts(one.folder)["recipe"]
        if one.state == "finished":
            search(recipe, home, resume=True)
        else:
            trials = SearchDelivery(home, Catalogue(one.folder), _space(_facts(one.folder)))
            trials.deliver()
            trials.end("KILLED")
    else:
        plan = _plan(one.folder)
        if one.state == "finished":
            sweep(config_from_tables(plan["recipe"], str(one.folder / PLAN)), plan["recipe"], home, resume=True)
        else:
            members = SweepDelivery(home, one.folder, plan["members"], dict(flat_keys(plan["recipe"])))
            members.deliver(read_results(one.folder, [member["name"] for member in plan["members"]]))
            members.parent.end("KILLED")
    return f"delivered {one.ended} of {one.of} trainings"


def _facts(folder: Path) -> dict[str, Any]:
    facts = Catalogue(folder).search()
    assert facts is not None, "it has begun"
    return facts


def _space(facts: dict[str, Any]) -> Space:
    config = config_from_tables(facts["recipe"], "the recipe of the search")
    assert config.tune is not None, "the recipe of a search has [tune]"
    return Space(facts["recipe"], config.tune)


def _plan(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    return found
