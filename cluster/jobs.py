"""Jobs: commands of distgan that run on a Ray cluster after whoever submitted them has gone.

Ray's Jobs API starts them on the cluster's head, with our packages and the recipe; everything else a job needs (data,
$DISTGAN_HOME, MLflow) must be reachable from the cluster, which `cluster.preflight` looks at there, first thing.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
import secrets
import shlex
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.home import Home
from cluster.ownership import is_owned
from cluster.runs import show
from cluster.session import check_version, package_folders, set_environment
from cluster.tracking import shown
from storage.errors import DistganError, MissingError, RecipeError, ServiceError, error_from_dict
from storage.names import safe_name

DEFAULT = "http://127.0.0.1:8265"
SUBMITTED_FROM = "DISTGAN_SUBMITTED_FROM"
"""The folder in which a job was submitted, and to which its relative paths refer."""
HANDED_ON = ("DISTGAN_DATA", "DISTGAN_HOME", "MLFLOW_TRACKING_URI")
"""What a job gets of the environment of whoever submits it. Never a secret: everybody with the token can read it."""
STOP_SECONDS = 600
"""How long a job that is asked to stop may take to commit a checkpoint; Ray's own default is 3 s."""
POLL_SECONDS = 0.25
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
_RUN = re.compile(r'^run\.name = "(?P<name>[^"]+)"$', re.MULTILINE)
"""How `distgan train` tells, first thing, which run it is."""
CHECKED = "checked: everything the job needs is there"
"""The line by which a job says that the look around was fine."""


@dataclass(frozen=True)
class Job:
    """One job.  status: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED.  began, ended: Unix time in seconds."""

    id: str
    status: str
    command: str
    began: float | None
    ended: float | None
    exit_code: int | None
    message: str

    @property
    def seconds(self) -> float | None:
        """How long it has run."""
        return None if self.began is None else (self.ended or time.time()) - self.began


class Jobs:
    """The jobs of the Ray cluster at an address: that of its dashboard, or one to join it by."""

    def __init__(self, home: Home, address: str = "") -> None:
        """Raises ServiceError: nobody answers there, it refuses our token, or its Ray is one we refuse."""
        given = address or os.environ.get("RAY_API_SERVER_ADDRESS") or os.environ.get("RAY_ADDRESS") or DEFAULT
        set_environment(home, joining=True)
        self.address = shown(given)
        with self._asking():
            from ray.job_submission import JobSubmissionClient

            for talkative in ("dashboard.modules.dashboard_sdk", "dashboard.modules.job.sdk", "_private.runtime_env"):
                logging.getLogger(f"ray.{talkative}").setLevel(logging.WARNING)
            os.environ["RAY_API_SERVER_ADDRESS"] = given  # Ray would take RAY_ADDRESS before what it is told
            self._client = JobSubmissionClient(given)
            check_version(str(self._client._server_ray_version), f"the cluster at {self.address}")

    def submit(self, command: Sequence[str], recipe: Path | None = None) -> Job:
        """Submit a command of distgan, and wait until the cluster has looked whether all is there.

        recipe: a file that the command names; it comes along.  Raises what the look around found: nothing is left of
        the job then.  Raises ServiceError.
        """
        words = [recipe.name if recipe and word == str(recipe) else word for word in command]
        with tempfile.TemporaryDirectory() as folder, self._asking():
            if recipe:
                shutil.copy(recipe, Path(folder, recipe.name))
            environment = {
                "working_dir": folder,
                "py_modules": package_folders(),
                "env_vars": handed_on(os.environ),
            }
            entrypoint = shlex.join(["exec", "python", "-m", "distgan.cli", "submitted", "--json", "--", *words])
            name = f"{safe_name(words[0], 'a verb')}-{secrets.token_hex(4)}"
            self._client.submit_job(
                entrypoint=entrypoint,
                submission_id=name,
                runtime_env=environment,
                metadata={"distgan": shlex.join(["distgan", *words])},
            )
        while True:
            said = self.log(name)
            job = self.job(name)
            if CHECKED in said.splitlines():
                return job
            if job.status in ENDED:
                with contextlib.suppress(DistganError), self._asking():
                    self._client.delete_job(name)
                raise _ending(job, said)
            time.sleep(POLL_SECONDS)

    def jobs(self) -> list[Job]:
        """Those that `submit` has begun, the newest first."""
        with self._asking():
            found = [_job(one) for one in self._client.list_jobs() if "distgan" in (one.metadata or {})]
        return sorted(found, key=lambda one: one.began or time.time(), reverse=True)

    def job(self, name: str) -> Job:
        """One job.  Raises MissingError, ServiceError."""
        with self._asking(name):
            return _job(self._client.get_job_info(safe_name(name, "a job")))

    def run_of(self, home: Home, name: str) -> dict[str, Any]:
        """How the training stands that a job runs now, as `runs.show`; nothing, if it runs none.

        Where the run's folder is not to be seen from here, the cluster is asked, by a job that takes some seconds.
        Raises what that raises.
        """
        found = _RUN.search(self.log(name))
        if found is None or self.job(name).status != "RUNNING":
            return {}
        run = safe_name(found["name"], "the name of a run")
        if is_owned(home.run(run)):
            return show(home, run)
        asked = self.submit(["runs", "show", run])
        told = self.follow(asked.id, lambda line: None)
        with self._asking():
            self._client.delete_job(asked.id)
        return told

    def log(self, name: str) -> str:
        """What a job has said so far.  Raises MissingError, ServiceError."""
        with self._asking(name):
            return str(self._client.get_job_logs(safe_name(name, "a job")))

    def follow(self, name: str, tell: Callable[[str], None]) -> dict[str, Any]:
        """Tell what a job says until it ends, line by line, and return what its command returned.

        Raises what the command raised, so that its exit code is that of whoever follows.  Raises ServiceError: the
        job ended without a word, or the cluster went away.
        """

        async def told() -> None:
            chunks: AsyncIterator[str] = self._client.tail_job_logs(safe_name(name, "a job"))
            rest = ""
            async for chunk in chunks:
                *lines, rest = (rest + chunk).split("\n")
                for line in lines:
                    if not _object(line):  # that is the result, which is returned
                        tell(line)

        self.job(name)
        with self._asking(name):
            asyncio.run(told())
        while (job := self.job(name)).status not in ENDED:
            time.sleep(POLL_SECONDS)
        said = self.log(name)
        if job.status == "SUCCEEDED":
            return _last_object(said)
        raise _ending(job, said)

    def stop(self, name: str) -> Job:
        """Ask a job to stop, and wait until it has: a training commits a checkpoint first."""
        self.job(name)
        with self._asking(name):
            self._client.stop_job(name)
        while (job := self.job(name)).status not in ENDED:
            time.sleep(POLL_SECONDS)
        return job

    @contextlib.contextmanager
    def _asking(self, name: str = "") -> Iterator[None]:
        """Turn the refusals and silences of Ray into errors a person can be told."""
        try:
            yield
        except DistganError:
            raise
        except Exception as error:
            import ray
            from aiohttp import ClientError

            text = shown(" ".join(str(error).split())[:300])
            if isinstance(error, ray.exceptions.AuthenticationError):
                raise ServiceError(
                    f"the cluster at {self.address} refuses our token",
                    text,
                    "Set RAY_AUTH_TOKEN_PATH to a file with the token of that cluster, of mode 0600",
                ) from None
            if "status code 404" in text and name:
                raise MissingError(
                    f"there is no job {name}", f"the cluster at {self.address}", "See `distgan jobs list`"
                ) from None
            if not isinstance(error, RuntimeError | ConnectionError | OSError | ValueError | ClientError):
                raise
            raise ServiceError(
                f"no Ray cluster takes jobs at {self.address}",
                text,
                "Set RAY_ADDRESS to that of its dashboard, such as http://127.0.0.1:8265; its head needs ray[default]. "
                "Where no agent is available, another Ray there has its port: ray start --dashboard-agent-listen-port",
            ) from None


def handed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """What a job gets of an environment.

    Raises RecipeError: the address of MLflow has a password in it, which everybody with the token could read.
    """
    if "@" in environment.get("MLFLOW_TRACKING_URI", ""):
        raise RecipeError(
            "MLFLOW_TRACKING_URI has a password in it",
            "what a job is given can be read by everybody who has the token of the cluster",
            "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD on the machines of the cluster instead",
        )
    given = {name: environment[name] for name in HANDED_ON if environment.get(name)}
    for name in ("DISTGAN_DATA", "DISTGAN_HOME"):
        if name in given:
            given[name] = str(Path(given[name]).absolute())
    return given | {SUBMITTED_FROM: str(Path.cwd()), "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}


def _job(found: Any) -> Job:
    return Job(
        str(found.submission_id),
        str(getattr(found.status, "value", found.status)),
        (found.metadata or {}).get("distgan", found.entrypoint),
        found.start_time / 1000 if found.start_time else None,
        found.end_time / 1000 if found.end_time else None,
        found.driver_exit_code,
        found.message or "",
    )


def _last_object(said: str) -> dict[str, Any]:
    """The JSON object that --json prints last; an empty one if there is none."""
    return next((found for line in reversed(said.splitlines()) if (found := _object(line))), {})


def _object(line: str) -> dict[str, Any]:
    """The JSON object that a line is, or an empty one."""
    with contextlib.suppress(ValueError, RecursionError):
        if line.startswith("{") and isinstance(found := json.loads(line), dict):
            return found
    return {}


def _ending(job: Job, said: str) -> DistganError:
    """What ended a job that did not succeed: what its command said last, or what Ray knows."""
    if error := _last_object(said).get("error"):
        return error_from_dict(error)
    lines = [line for line in said.splitlines() if line.strip()]
    how = f"exit code {job.exit_code}" if job.exit_code is not None else job.status
    return ServiceError(
        f"the job {job.id} ended without a result",
        f"{how}: {' | '.join(lines[-3:]) or ' '.join(job.message.split())[:300]}",
        f"Look at `distgan jobs logs {job.id}`; submit a training again with --resume",
    )
