"""Before a search: some steps of its recipe, which show what a trial reports, and what the search will cost."""

import difflib
import shutil
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from cluster.home import Home
from cluster.registry import with_models
from distgan.config.run_config import config_from_tables, set_key
from distgan.engine.distributed import Group
from distgan.engine.running import run
from distgan.monitoring.tracking import read_lines
from storage.durable import write_file
from storage.errors import DistganError, RecipeError
from tune.catalogue import ERROR, WARMUP, Catalogue
from tune.space import Space
from tune.trials import FEATURES, read_space

STEPS = 12


def warm_up(search: Path, home: Path) -> None:
    """Train some steps in this process; leaves warmup.json, and the features all trials are measured in."""
    catalogue, folder = Catalogue(search), search / "warmup"
    shutil.rmtree(folder, ignore_errors=True)
    space = read_space(catalogue)
    tables = space.config({}, 0).dump()
    images = STEPS * tables["run"]["batch_size"]
    for key in ("run.images", "evaluate.every_images", "checkpoint.every_images"):
        set_key(tables, key, images)
    for key, value in (("run.workers", 1), ("run.log_every_images", tables["run"]["batch_size"])):
        set_key(tables, key, value)
    try:
        config = with_models(config_from_tables(tables, "the warm-up"), Home(home))
        on_gpu = config.run.gpus_per_worker and torch.cuda.is_available()
        began = time.time()
        run(config, folder, Group(), torch.device("cuda" if on_gpu else "cpu"))
        seconds = time.time() - began
        if (folder / FEATURES).exists():  # no trial makes them again
            seconds -= (folder / FEATURES).stat().st_mtime - began
        facts = measured(folder, seconds, images)
        _check_objectives(space, facts["metrics"])
        if (folder / FEATURES).exists():
            write_file(search / FEATURES, (folder / FEATURES).read_bytes())
        catalogue.keep(WARMUP, facts)
    except DistganError as error:
        catalogue.keep(ERROR, error.as_dict())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measured(folder: Path, seconds: float, images: int) -> dict[str, Any]:
    """What a run that logged every step says of the time it takes, and of its metrics after the first step."""
    metrics: set[str] = set()
    rates, logged, evaluation = [], 0.0, 0.0
    for line in read_lines(folder):
        found = line.get("metrics", {})
        if line["images_seen"] and found:
            metrics |= found.keys()
        if "images_per_second" in found:
            rates.append(found["images_per_second"])
            logged = line["time"]
        elif line["images_seen"] == images and logged:
            evaluation = line["time"] - logged
    each = 1 / sorted(rates)[len(rates) // 2]
    begun = max(seconds - images * each - evaluation, 0.0)  # with the evaluation of the untrained networks
    return {
        "seconds_per_image": each,
        "seconds_per_evaluation": evaluation,
        "seconds_to_begin": begun,
        "metrics": sorted(metrics),
    }


def seconds_of_trial(space: Space, facts: dict[str, Any]) -> float:
    """About how long one trial takes on one worker."""
    evaluations = -(-space.images // space.plain["evaluate.every_images"])
    steps = space.images * facts["seconds_per_image"] / space.tune.workers_per_trial
    return float(facts["seconds_to_begin"] + evaluations * facts["seconds_per_evaluation"] + steps)


def preview(space: Space, facts: dict[str, Any], trials: int, left: int, slots: int) -> str:
    """What a search will cost, in words.  left: trials that have not ended."""
    each = seconds_of_trial(space, facts)
    most = "at most " if space.tune.scheduler in ("asha", "hyperband", "median") or space.tune.images else ""
    total = min(trials * space.images, space.tune.images or trials * space.images)
    so_far = "" if left == trials else f" ({left:,} are left)"
    return (
        f"{trials:,} trials of {space.images:,} images, {most}{total:,} in all{so_far}; a trial takes about "
        f"{_spoken(each)}, all of them {most}about {_spoken(-(-left // slots) * each)} with {slots:,} at a time"
    )


def _spoken(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _check_objectives(space: Space, metrics: Iterable[str]) -> None:
    known = list(metrics)
    for key, names in (("objective", space.tune.objectives), ("effects", space.tune.effects)):
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                raise RecipeError(
                    f"no trial reports {name!r}, which tune.{key} names",
                    f"what is reported is {', '.join(known)}",
                    f"Set tune.{key} to {near[0]!r}" if near else f"Set tune.{key} to one of these",
                )
