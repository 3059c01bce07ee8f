"""A fraction sweep in MLflow: a parent run with the report, and a child for every training that ended.

A child is told by its tag, so that a delivery that was cut off is finished by the next, and nothing is there twice.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.home import Home
from cluster.tracking import PARENT, Delivery, MlflowTracker, answering, connect
from storage.errors import ServiceError

MEMBER = "distgan.member"
PAUSE_SECONDS = 5.0


class SweepDelivery:
    """Brings the results of a sweep's folder to MLflow, and keeps trying.  members: facts of all trainings."""

    def __init__(self, home: Home, folder: Path, members: Sequence[Mapping[str, Any]], params: dict[str, Any]) -> None:
        self.home, self.params = home, params
        self.members = {one["name"]: one for one in members}
        self.parent = Delivery(home, folder, folder.name)
        self.known: dict[str, str] | None = None
        self.done: set[str] = set()
        self.tried = 0.0

    def deliver(self, results: Mapping[str, Mapping[str, Any]]) -> None:
        """Ship what ended.  results: by name.

        Raises ServiceError: MLflow does not answer. Nothing is lost; call again.
        """
        self.parent.deliver()
        with answering(self.home):
            client, parent = connect(self.home), self.parent.run_id
            if self.known is None:
                MlflowTracker(client, parent).params(self.params)
                self._look(client, parent)
            for name in results.keys() - self.done:
                self._ship(client, parent, name, results[name])
                self.done.add(name)

    def try_deliver(self, results: Mapping[str, Mapping[str, Any]]) -> None:
        """Deliver now and then, if MLflow answers; else leave it for later."""
        if time.monotonic() - self.tried < PAUSE_SECONDS:
            return
        with contextlib.suppress(ServiceError):
            self.deliver(results)
        self.tried = time.monotonic()

    def end(self, report: Mapping[str, Any], files: Sequence[Path], at: float) -> None:
        """Ship the report, the means by number of labels, and mark the run FINISHED.

        at: when the last training ended, Unix time; the same means of the same time are there once.
        Raises ServiceError: MLflow does not answer.
        """
        with answering(self.home):
            client, run = connect(self.home), self.parent.run_id
            for row in report["table"]:
                if row["mean"] is not None:
                    name = f"{report['metric']}/{row['variant']}"
                    client.log_metric(run, name, row["mean"], round(1000 * at), round(row["labels"]))
            for path in files:
                client.log_artifact(run, str(path))
        self.parent.end("FINISHED")

    def _look(self, client: Any, parent: str) -> None:
        """Which children are there; those that are whole are not shipped again."""
        experiment = client.get_run(parent).info.experiment_id
        there = client.search_runs([experiment], f"tags.`{PARENT}` = '{parent}'", max_results=50_000)
        self.known = {run.data.tags.get(MEMBER, ""): run.info.run_id for run in there}
        self.done = {run.data.tags.get(MEMBER, "") for run in there if run.info.status != "RUNNING"}
        self.experiment = experiment

    def _ship(self, client: Any, parent: str, name: str, result: Mapping[str, Any]) -> None:
        from mlflow.entities import Metric, Param

        assert self.known is not None
        run = self.known.get(name)
        begun, ended = (round(1000 * one) for one in (result["began"], result["began"] + result["seconds"]))
        if run is None:
            tags = {PARENT: parent, MEMBER: name}
            created = client.create_run(self.experiment, start_time=begun, tags=tags, run_name=name)
            run = self.known[name] = str(created.info.run_id)
        seen = int(result.get("images_seen", 0))
        metrics = [Metric(key, value, ended, seen) for key, value in result["metrics"].items()]
        params = [Param(key, str(value)) for key, value in self.members[name].items() if key not in ("tables", "name")]
        client.log_batch(run, metrics=metrics, params=params)
        client.set_terminated(run, "FAILED" if result["error"] else "FINISHED", ended)
