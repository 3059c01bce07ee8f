"""distgan jobs list | show | logs | stop: what was submitted to the Ray cluster at $RAY_ADDRESS."""

import argparse
import sys
from datetime import datetime, timedelta
from typing import Any

from distgan.verbs import Result, Verbs, say


def add(verbs: Verbs) -> None:
    """Add the verbs of this file."""
    jobs = verbs.group("jobs", "Submitted jobs.")
    jobs.verb("list", jobs_list)
    jobs.verb("show", jobs_show).add_argument("id")
    logs = jobs.verb("logs", jobs_logs)
    logs.add_argument("id")
    logs.add_argument("--follow", action="store_true", help="until it ends, and end as it ends")
    jobs.verb("stop", jobs_stop).add_argument("id")


def jobs_list(options: argparse.Namespace) -> Result:
    """Print the jobs of the cluster, the newest first."""
    from distgan.monitoring.terminal import table

    found = _jobs().jobs()
    shown: list[dict[str, Any]] = [
        {"id": one.id, "status": one.status, "began": _at(one.began), "ran": _ran(one.seconds), "command": one.command}
        for one in found
    ]
    say(table(shown) if shown else "no jobs")
    return {"jobs": [vars(one) for one in found]}


def jobs_show(options: argparse.Namespace) -> Result:
    """Print what is known of a job, and what each of its workers does now."""
    from cluster.home import Home
    from distgan.monitoring.terminal import report

    jobs = _jobs()
    job, run = jobs.job(options.id), jobs.run_of(Home.here(), options.id)
    say(report(vars(job) | {"began": _at(job.began), "ended": _at(job.ended), "run": run}))
    return vars(job) | {"run": run}


def jobs_logs(options: argparse.Namespace) -> Result:
    """Print what a job says; with --follow until it ends, and as it ends."""
    from distgan.verbs.submit import followed

    jobs = _jobs()
    if options.follow:
        return followed(jobs, options.id)
    print(jobs.log(options.id), end="", file=sys.stderr)
    return {"job": options.id, "status": jobs.job(options.id).status}


def jobs_stop(options: argparse.Namespace) -> Result:
    """Ask a job to stop, and wait until it has; a training commits a checkpoint first."""
    job = _jobs().stop(options.id)
    say(f"{job.id}: {job.status}")
    return {"job": job.id, "status": job.status}


def _jobs() -> Any:
    from cluster.home import Home
    from cluster.jobs import Jobs

    return Jobs(Home.here())


def _at(seconds: float | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"


def _ran(seconds: float | None) -> str:
    return "" if seconds is None else str(timedelta(seconds=round(seconds)))
