"""distgan runs list | show | flush: what lies in $DISTGAN_HOME, what is done there now, and its delivery to MLflow."""

import argparse
from typing import Any

from distgan.verbs import Result, Verbs, say


def add(verbs: Verbs) -> None:
    """Add the verbs of this file."""
    runs = verbs.group("runs", "Runs, searches and sweeps of $DISTGAN_HOME.")
    runs.verb("list", runs_list)
    runs.verb("show", runs_show).add_argument("name")
    runs.verb("flush", runs_flush)


def runs_list(options: argparse.Namespace) -> Result:
    """Print the runs, searches and sweeps, and how each stands."""
    from cluster.home import Home
    from cluster.runs import runs
    from distgan.monitoring.terminal import table
    from tune.flush import searches_and_sweeps

    home = Home.here()
    rows: list[dict[str, Any]] = [
        {
            "name": one.name,
            "kind": "run",
            "state": one.state,
            "done": f"{one.images_seen:,} of {one.images:,} images",
            "what": one.method,
            "mlflow": one.run_id,
        }
        for one in runs(home)
    ]
    rows += [
        {
            "name": one.folder.name,
            "kind": one.kind,
            "state": one.state,
            "done": f"{one.ended:,} of {one.of:,} trainings",
            "what": "",
            "mlflow": one.run_id(home),
        }
        for one in searches_and_sweeps(home)
    ]
    say(table(rows))
    return {"runs": rows}


def runs_show(options: argparse.Namespace) -> Result:
    """Print how a run stands, what each of its workers does now, and which were lost."""
    from cluster.home import Home
    from cluster.runs import show
    from distgan.monitoring.terminal import report

    found = show(Home.here(), options.name)
    say(report(found))
    return found


def runs_flush(options: argparse.Namespace) -> Result:
    """Deliver to MLflow what it missed of runs, searches and sweeps that nobody runs now; each thing once."""
    from itertools import chain

    from cluster.home import Home
    from cluster.runs import flush
    from tune import flush as of_many

    done = []
    for name, what in chain(flush(Home.here()), of_many.flush(Home.here())):
        say(f"{name}: {what}")
        done.append({"name": name, "done": what})
    return {"runs": done}
