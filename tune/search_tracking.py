"""A search in MLflow: a parent run with figures, a child for every trial, and the best model with its search.

As for runs (`cluster.tracking`), the driver delivers what is committed, and a server that is down only delays it.
"""

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from cluster.home import Home
from cluster.registry import register
from cluster.tracking import Delivery, MlflowTracker, answering, connect
from distgan.config.run_config import flat_keys
from distgan.config.search_sections import POPULATION
from storage.csv_table import as_csv
from storage.durable import write_file
from storage.errors import ServiceError
from tune.catalogue import Catalogue, Trial
from tune.effects import effects_figure
from tune.report import figures_of
from tune.space import Space

PAUSE_SECONDS = 5.0
DELIVERED = "delivered"
STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
SEARCH_RUN, SEARCH, TRIAL = "distgan.search_run", "distgan.search", "distgan.trial"
"""Tags of a registered model: which search found it, and in which trial."""


class SearchDelivery:
    """Brings the folder of a search to MLflow, and keeps trying."""

    def __init__(self, home: Home, catalogue: Catalogue, space: Space) -> None:
        self.home, self.catalogue, self.space = home, catalogue, space
        self.parent = Delivery(home, catalogue.folder, space.name)
        self.children: dict[int, Delivery] = {}
        self.done: set[int] = set()
        self.tried = -PAUSE_SECONDS

    def deliver(self) -> None:
        """Ship what is new.  Raises ServiceError: MLflow does not answer. Nothing is lost; call again."""
        if not self.parent.run_id:
            self.parent.deliver()
            with answering(self.home):
                params = flat_keys({name: table for name, table in self.space.whole.items() if name != "prepare"})
                MlflowTracker(connect(self.home), self.parent.run_id).params(dict(params))
        for trial in self.catalogue.trials():
            # What a member of a population was trained on changes until it ends.
            if self._is_new(trial) and (trial.result or self.space.tune.scheduler not in POPULATION):
                self._ship(trial)

    def try_deliver(self) -> None:
        """Deliver now and then, if MLflow answers; else leave it for later."""
        if time.monotonic() - self.tried < PAUSE_SECONDS:
            return
        with contextlib.suppress(ServiceError):
            self.deliver()
        self.tried = time.monotonic()

    def end(self, status: str) -> None:
        """Mark the search FINISHED, FAILED or KILLED, and with it the trials that have not ended."""
        for number, child in self.children.items():
            if number not in self.done:
                child.end(status)
        self.parent.end(status)

    def finish(self, found: dict[str, Any]) -> dict[str, Any]:
        """Ship everything, and register the best model.  found: `standing.standing`.  Raises ServiceError."""
        self.deliver()
        files = self._draw(found)
        best = found["best"]["trial"]
        model = self._register(best) if (self.catalogue.run(best) / "model").exists() else None
        with answering(self.home):
            client, run_id = connect(self.home), self.parent.run_id
            for name in self.space.tune.objectives:
                for one in found["trials"]:
                    if one["state"] != "failed" and one[name] is not None:
                        client.log_metric(run_id, name, one[name], step=one["trial"])
                client.log_metric(run_id, f"best/{name}", found["best"][name])
            client.log_metric(run_id, "images", found["images_seen"])
            for path in files:
                client.log_artifact(run_id, str(path))
        self.end("FINISHED")
        return {"run_id": self.parent.run_id, "model": model, "files": [str(path) for path in files]}

    def _is_new(self, trial: Trial) -> bool:
        """Whether the server has not all of it."""
        return trial.number not in self.done and not (self.catalogue.run(trial.number) / DELIVERED).exists()

    def _ship(self, trial: Trial) -> None:
        folder = self.catalogue.run(trial.number)
        child = self._child(trial.number)
        child.deliver()
        if trial.result:
            child.end(STATUS[trial.result.state])
            self.done.add(trial.number)
            (folder / DELIVERED).touch()

    def _child(self, number: int) -> Delivery:
        if number not in self.children:
            name = f"{self.space.name}-{number:04d}"
            self.children[number] = Delivery(self.home, self.catalogue.run(number), name, self.parent.run_id)
        return self.children[number]

    def _draw(self, found: dict[str, Any]) -> list[Path]:
        folder = self.catalogue.folder / "figures"
        folder.mkdir(exist_ok=True)
        files, figures, effects = [], figures_of(self.catalogue, self.space), found.get("effects", [])
        for metric in self.space.tune.effects:
            own = [row for row in effects if row["metric"] == metric]
            figures[f"effects_{metric.replace('/', '_')}"] = effects_figure(own, metric)
        for name, figure in figures.items():
            figure.savefig(folder / f"{name}.png")
            files.append(folder / f"{name}.png")
        if effects:
            files.append(self.catalogue.folder / "effects.csv")
            write_file(files[-1], as_csv(effects))
        report = self.catalogue.folder / "report.json"
        write_file(report, (json.dumps(found, indent=1) + "\n").encode())
        return [*files, report]

    def _register(self, number: int) -> str:
        """The model of a trial, with the search as its lineage."""
        tables = self.space.plain
        name = tables.get("register.name") or self.space.name
        folder = self.catalogue.run(number) / "model"
        version = register(self.home, folder, self._child(number).run_id, name, tables["register.alias"])
        with answering(self.home):
            client = connect(self.home)
            for key, value in (
                (SEARCH_RUN, self.parent.run_id),
                (SEARCH, self.space.name),
                (TRIAL, str(number)),
            ):
                client.set_model_version_tag(version.name, str(version.version), key, value)
        return version.address
