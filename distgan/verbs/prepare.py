"""distgan prepare: patches out of an image store."""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distgan.verbs import Result, Verbs, recipe_arguments, say
from storage.errors import RecipeError


def add(verbs: Verbs) -> None:
    """Add the verb of this file."""
    parser = verbs.verb("prepare", prepare)
    recipe_arguments(parser)
    parser.add_argument("store", type=Path, nargs="?", help="image store; by default prepare.source")
    parser.add_argument("patches", type=Path, nargs="?", help="patch store to write; by default data.store")


def prepare(options: argparse.Namespace) -> Result:
    """Cut patches out of an image store."""
    from distgan.config.run_config import read_prepare
    from distgan.monitoring.terminal import progress_bar
    from storage.cuts import Cut
    from storage.mining import Neighbours
    from storage.preprocess import Preparation
    from storage.preprocess import prepare as run_prepare

    how, store_named = read_prepare(options.recipe, options.set)
    source, target = str(options.store or how.source), str(options.patches or store_named)
    if not (source and target):
        raise RecipeError("a store is not named", f"from {source!r} to {target!r}", "Give STORE and PATCHES")
    patch, edges = how.patch, how.patch.edges
    cut = Cut(patch.cut, edges, patch.dimensions, patch.count, patch.boxes, patch.objects, patch.matched, patch.border)
    alike = Neighbours(**how.neighbours.model_dump()) if how.neighbours else None
    preparation = Preparation(
        cut, how.operations, patch.operations, how.subset, how.times, how.slices, how.seed, how.codec, alike
    )
    with progress_bar(f"preparing {target}") as progress, _executor(how) as executor:
        patches = run_prepare(Path(source), Path(target), preparation, executor=executor, progress=progress)
    say(f"{patches.shape[0]:,} samples of {' x '.join(map(str, patches.shape[1:]))} {patches.dtype}: {target}")
    return {"store": target, "shape": list(patches.shape), "dtype": patches.dtype, "digest": patches.digest}


@contextlib.contextmanager
def _executor(how: Any) -> Iterator[Any]:
    """Where the tasks of `prepare` run."""
    from storage import executors

    if how.executor == "threads":
        yield executors.threads(how.workers)
    elif how.executor == "distributed":
        with executors.distributed(how.workers, how.address) as run:
            yield run
    else:
        from cluster.executors import ray_tasks
        from cluster.home import Home

        with ray_tasks(how.workers, how.address, Home.here()) as run:
            yield run
