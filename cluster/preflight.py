"""The look around of a submitted job, on the cluster, before it does anything: is all there that it needs?"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cluster.home import Home
from cluster.jobs import SUBMITTED_FROM
from cluster.session import check_resources, joined
from cluster.tracking import answering, connect
from distgan.config.run_config import AnyRun
from storage.errors import MissingError, RecipeError


@contextmanager
def where_submitted() -> Iterator[None]:
    """In the folder in which the job was submitted, if the cluster has it; so a job is as if typed there."""
    came, wanted = Path.cwd(), Path(os.environ.get(SUBMITTED_FROM, "."))
    if wanted.is_dir():
        os.chdir(wanted)
    try:
        yield
    finally:
        os.chdir(came)


def check(home: Home, paths: Sequence[Path], config: AnyRun | None) -> None:
    """Look whether a job can begin.

    paths: what it reads; every machine of the cluster must have it.  config: of a training or of the trainings of a
    search.

    Raises MissingError: a path is not there, on some machine.  Raises RecipeError: what the job leaves would be lost.
    Raises ServiceError: MLflow does not answer or wants a password, or the cluster has less than is asked for.
    """
    _check_home(home)
    _missing([str(path.absolute()) for path in paths if not path.exists()], "the head of the cluster")
    if home.tracking_uri.startswith("http"):
        with answering(home):
            connect(home).search_experiments(max_results=1)
    if config is None:
        return
    with joined(config.cluster.address, home, 1):
        import ray

        check_resources(config, ray.cluster_resources())
        wanted = [str(path.absolute()) for path in (*paths, home.path)]
        look = ray.remote(num_cpus=0)(_not_there)
        strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        nodes = [one for one in ray.nodes() if one["Alive"]]
        asked = [look.options(scheduling_strategy=strategy(one["NodeID"], soft=False)).remote(wanted) for one in nodes]
        for node, lost in zip(nodes, ray.get(asked) if len(nodes) > 1 else [], strict=len(nodes) > 1):
            _missing(lost, f"the machine {node['NodeManagerAddress']}")


def _check_home(home: Home) -> None:
    parent = home.path.parent
    where = "DISTGAN_HOME" if os.environ.get("DISTGAN_HOME") else f"DISTGAN_HOME is not set, so it is {home.path}"
    if "DISTGAN_HOME" not in os.environ and not Path(os.environ.get(SUBMITTED_FROM, "")).is_dir():
        raise RecipeError(
            "what the job leaves would be lost",
            f"{where}, in a folder that Ray deletes after the job",
            "Set DISTGAN_HOME to a folder that all machines of the cluster have, when you submit or on these machines",
        )
    _missing([] if parent.is_dir() else [str(parent)], "the head of the cluster")
    home.path.mkdir(exist_ok=True, mode=0o700)
    if not os.access(home.path, os.W_OK):
        raise RecipeError(
            "the job cannot write what it leaves", f"{home.path} is not ours to write", "Set another DISTGAN_HOME"
        )


def _not_there(paths: Sequence[str]) -> list[str]:
    return [path for path in paths if not Path(path).exists()]


def _missing(paths: Sequence[str], where: str) -> None:
    if paths:
        raise MissingError(
            f"{where} has no {paths[0]}",
            f"{len(paths)} of the paths that the job needs is not there: {', '.join(paths[:5])}",
            "Put it on storage that all machines of the cluster share, and give its absolute path",
        )
