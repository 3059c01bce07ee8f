"""distgan submit -- VERB ...: a command of distgan as a job on a Ray cluster."""

import argparse
import sys
from pathlib import Path
from typing import Any

from distgan.verbs import Result, Verbs, parser, say
from storage.errors import RecipeError

NEVER = ("submit", "submitted", "jobs")
READS = {
    "detect": ("store", "truth"),
    "embed": ("store",),
    "ingest": ("source", "table"),
    "inspect": ("store",),
    "integrate": ("store",),
    "traverse": ("store",),
    "verify": ("store",),
}
"""Which arguments of a verb name what must be there; what others read is in their recipe."""


def add(verbs: Verbs) -> None:
    """Add the verbs of this file."""
    added = verbs.verb("submit", submit)
    added.add_argument("--follow", action="store_true", help="tell what it says, and end as it ends")
    added.add_argument("command", nargs=argparse.REMAINDER, metavar="-- VERB ...", help="what you would type here")
    verbs.verb("submitted", submitted).add_argument("command", nargs=argparse.REMAINDER, metavar="-- VERB ...")


def submit(options: argparse.Namespace) -> Result:
    """Run a command of distgan as a job on the Ray cluster at $RAY_ADDRESS."""
    command = _command(options)
    meant = parser().parse_args(command)
    _needs(command[0], meant)  # a mistake in the recipe is told here
    from cluster.home import Home
    from cluster.jobs import Jobs

    given = getattr(meant, "recipe", None)
    jobs = Jobs(Home.here())
    job = jobs.submit(command, given if given is not None and given.is_file() else None)
    say(f"job: {job.id}, {job.status} at {jobs.address}\n  distgan jobs logs {job.id} --follow")
    if not options.follow:
        return {"job": job.id, "status": job.status}
    return followed(jobs, job.id)


def followed(jobs: Any, name: str) -> Result:
    """Tell what a job says until it ends; interrupting that leaves the job alone."""
    try:
        result = jobs.follow(name, say)
    except KeyboardInterrupt:
        say(f"\nthe job goes on: distgan jobs logs {name} --follow, or distgan jobs stop {name}")
        return {"job": name, "status": jobs.job(name).status}
    return {"job": name, "status": "SUCCEEDED", "result": result}


def submitted(options: argparse.Namespace) -> Result:
    """What a job runs on the cluster: look whether all is there, then the command."""
    from cluster.home import Home
    from cluster.jobs import CHECKED
    from cluster.preflight import check, where_submitted

    command = _command(options)
    meant = parser().parse_args(command)
    if getattr(meant, "recipe", None) and meant.recipe.is_file():
        meant.recipe = meant.recipe.absolute()
    with where_submitted():
        check(Home.here(), *_needs(command[0], meant))
        print(CHECKED, file=sys.stderr, flush=True)
        result: Result = meant.verb(meant)
    return result


def _command(options: argparse.Namespace) -> list[str]:
    command: list[str] = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command or command[0] in NEVER:
        raise RecipeError(
            "there is nothing to submit",
            " ".join(command) or "no verb",
            "Write `distgan submit -- train RECIPE`, or another verb",
        )
    return command


def _needs(verb: str, meant: argparse.Namespace) -> tuple[list[Path], Any]:
    """What a command reads, and the recipe of its trainings.  Raises RecipeError, MissingError: of the recipe."""
    if verb in ("train", "tune"):
        from distgan.config.run_config import read_config

        config = read_config(meant.recipe, meant.set)
        models = [init.model for init in config.init.values() if not init.model.startswith("models:")]
        found = config.evaluate.detection
        return [
            Path(one) for one in (config.data.store, *models, *((found.store, found.truth) if found else ()))
        ], config
    if verb == "prepare":
        from distgan.config.run_config import read_prepare

        source = meant.store or read_prepare(meant.recipe, meant.set)[0].source
        return [Path(source)] if source else [], None
    return [path for name in READS.get(verb, ()) if (path := getattr(meant, name)) is not None], None
