"""MLflow, and how what a run says reaches it.

Workers write to the run's folder and wait for nobody. The driver delivers from there what lies at or
before the last committed checkpoint, so that a rewind leaves no ghost, and a server that is down stops
nothing: what it missed is delivered when it is back, or when the run is resumed.
"""

import contextlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from cluster.home import Home
from cluster.provenance import PROVENANCE, entities
from distgan.engine.checkpoint import Checkpoints
from distgan.monitoring.tracking import PARAMS, RECIPE, read_lines
from storage.errors import ServiceError

EXPERIMENT = "distgan"
SHIPPED = "distgan.shipped_images"
PARENT = "mlflow.parentRunId"
RUN_FILE = "mlflow_run"
MOST_METRICS = 1000
"""In one request, by MLflow's rule."""
REVISION = "mlflow.source.git.commit"
"""MLflow's own tag, which its pages show."""


class MlflowTracker:
    """A run of an MLflow server, as a Tracker."""

    def __init__(self, client: Any, run_id: str) -> None:
        self.client = client
        self.run_id = run_id

    def params(self, values: Mapping[str, Any]) -> None:
        """Log the settings by dotted key; they never change within a run."""
        from mlflow.entities import Param

        known = self.client.get_run(self.run_id).data.params
        new = [Param(key, str(value)) for key, value in values.items() if key not in known]
        for start in range(0, len(new), 100):
            self.client.log_batch(self.run_id, params=new[start : start + 100])

    def metrics(self, values: Mapping[str, float], images_seen: int, at: float | None = None) -> None:
        """Log numbers, with a note of how far the run was delivered in the same request.

        at: when they were found, Unix time in seconds; by default now.
        """
        self.points({images_seen: values}, {images_seen: time.time() if at is None else at})

    def points(self, values: Mapping[int, Mapping[str, float]], times: Mapping[int, float]) -> None:
        """Log the numbers of many points of a run, in few requests; a point that comes twice is there once.

        values: by images seen.  times: of the points, Unix time in seconds.
        """
        from mlflow.entities import Metric, RunTag

        flat = [
            Metric(key, value, int(1000 * times[images_seen]), images_seen)
            for images_seen in sorted(values)
            for key, value in values[images_seen].items()
        ]
        for start in range(0, len(flat), MOST_METRICS):
            batch, rest = flat[start : start + MOST_METRICS], flat[start + MOST_METRICS :]
            # What is whole with this request: a point that the request cuts in two comes with the next.
            whole = max((one.step for one in batch if not rest or one.step < rest[0].step), default=None)
            tags = [] if whole is None else [RunTag(SHIPPED, str(whole))]
            self.client.log_batch(self.run_id, metrics=batch, tags=tags)

    def figure(self, name: str, figure: Figure, images_seen: int) -> None:
        """Log a picture."""
        self.client.log_figure(self.run_id, figure, f"figures/{name}-{images_seen:012d}.png")

    def artifact(self, path: Path) -> None:
        """Log a file."""
        self.client.log_artifact(self.run_id, str(path))

    def shipped(self) -> int:
        """Up to which point of the run the server has everything; -1 at the beginning."""
        return int(self.client.get_run(self.run_id).data.tags.get(SHIPPED, -1))


class Delivery:
    """Brings a run's folder to MLflow, and keeps trying.  parent: the MLflow run it is nested in, if any."""

    def __init__(self, home: Home, folder: Path, name: str, parent: str = "") -> None:
        self.home, self.folder, self.name, self.parent = home, folder, name, parent
        self.checkpoints = Checkpoints(folder / "checkpoints", keep=2)
        self.tracker: MlflowTracker | None = None
        self.cursor = -1

    def deliver(self) -> None:
        """Ship everything up to the last committed checkpoint.

        Raises ServiceError: MLflow does not answer. Nothing is lost; call again.
        """
        with answering(self.home):
            tracker = self._connected()
            committed = self.checkpoints.committed_images()
            if committed == 0 or committed <= self.cursor:
                return
            tracker.params(json.loads((self.folder / PARAMS).read_text(encoding="utf-8")))
            if self.cursor < 0:
                self._describe(tracker)
            points: dict[int, dict[str, float]] = {}
            times: dict[int, float] = {}
            for line in read_lines(self.folder):
                if not self.cursor < line["images_seen"] <= committed:
                    continue
                if "artifact" in line:
                    path = self.folder / line["artifact"]
                    tracker.client.log_artifact(tracker.run_id, str(path), "figures")
                else:
                    points.setdefault(line["images_seen"], {}).update(line["metrics"])
                    times[line["images_seen"]] = line["time"]
            tracker.points(points, times)
            self.cursor = committed

    def try_deliver(self) -> None:
        """Deliver if MLflow answers; else leave it for later."""
        with contextlib.suppress(ServiceError):
            self.deliver()

    def end(self, status: str) -> None:
        """Mark the run FINISHED, FAILED or KILLED."""
        with contextlib.suppress(ServiceError), answering(self.home):
            self._connected().client.set_terminated(self._connected().run_id, status)

    def _describe(self, tracker: MlflowTracker) -> None:
        """The recipe, and what the run was made with; a second time changes nothing."""
        for name in (RECIPE, PROVENANCE):
            if (self.folder / name).exists():
                tracker.artifact(self.folder / name)
        if (self.folder / PROVENANCE).exists():
            found = json.loads((self.folder / PROVENANCE).read_text(encoding="utf-8"))
            tracker.client.set_tag(tracker.run_id, REVISION, found["revision"])
            tracker.client.log_inputs(tracker.run_id, entities(found))

    @property
    def run_id(self) -> str:
        """The MLflow run of this folder, once there is one; else the empty string."""
        path = self.folder / RUN_FILE
        return path.read_text(encoding="utf-8").strip() if path.exists() else ""

    def _connected(self) -> MlflowTracker:
        """The run of this folder: found again, or created."""
        if self.tracker is None:
            client = connect(self.home)
            if not self.run_id:
                tags = {PARENT: self.parent} if self.parent else None
                created = client.create_run(_experiment(client, self.home), run_name=self.name, tags=tags)
                (self.folder / RUN_FILE).write_text(created.info.run_id + "\n", encoding="utf-8")
            tracker = MlflowTracker(client, self.run_id)
            client.update_run(self.run_id, status="RUNNING")
            self.cursor = tracker.shipped()
            self.tracker = tracker
        return self.tracker


@contextlib.contextmanager
def answering(home: Home) -> Iterator[None]:
    """Turn MLflow's refusals and silences into a ServiceError."""
    _set_environment()
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        found = shown(f"{home.tracking_uri}: {str(error).splitlines()[0]}")
        raise ServiceError(*_meaning(str(error), getattr(error, "error_code", ""), found)) from error


def shown(text: str) -> str:
    """A text as it may be told: without the names and passwords of addresses in it."""
    return re.sub(r"://[^/\s]*@", "://", text)


def _meaning(said: str, code: str, found: str) -> tuple[str, str, str]:
    """What is wrong when MLflow refuses, and what to do."""
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        wrong = "MLflow demands a name and a password, or does not let this one in"
        return wrong, found, "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD; then `distgan runs flush`"
    if code == "RESOURCE_DOES_NOT_EXIST" or "Current state is deleted" in said:
        wrong = "MLflow has no longer what is asked for: it was deleted there"
        return wrong, found, f"Restore it (mlflow runs restore), or remove {RUN_FILE} in the run's folder to begin anew"
    return "MLflow does not answer", found, "Nothing is lost: start it, and deliver by `distgan runs flush`"


def connect(home: Home) -> Any:
    """A client of the MLflow of this home."""
    _set_environment()
    home.path.mkdir(parents=True, exist_ok=True)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=home.tracking_uri, registry_uri=home.tracking_uri)


def _set_environment() -> None:
    """What MLflow must find when it is imported."""
    # A dead server must cost seconds, not the four minutes of the defaults.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    # Else a client is sent to the object store itself, which only the server may reach.
    os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    # Else it prints the address of a run when that ends, with the password that is in it.
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _experiment(client: Any, home: Home) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    own = home.tracking_uri.startswith("sqlite:")
    return str(client.create_experiment(EXPERIMENT, artifact_location=home.artifacts.as_uri() if own else None))
