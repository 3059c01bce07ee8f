"""Many small trainings in one process: Python, torch, the store and the features of images are there already.

The folder of a sweep is the record; Ray's own notes are not:

    plan.json                what is trained
    results/MEMBER.json      of a training that ended, committed in one step
    members/MEMBER/          its folder, as `distgan train` leaves it; locked while it is trained
    warm-up.json slots.json  what they cost, and how many there is room for
    features.safetensors     in which samples are compared with images, the same for all
    stop, failure.json       why the others are not trained

Members are trained one after the other. To train them at once with stacked weights (torch.func.vmap) was tried on a
CPU, and is slower: 0.85 times as fast with 4 members, 0.58 times with 20.
"""

import contextlib
import fcntl
import json
import os
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from cluster.home import Home
from cluster.messages import warnings_kept
from distgan.config.run_config import AnyRun, config_from_tables
from distgan.engine.distributed import Group
from distgan.engine.running import run, write_recipe
from distgan.evaluations.kid import FEATURES
from distgan.model import CARD
from distgan.monitoring.pulse import STOP
from storage.durable import write_file
from storage.errors import DistganError, DivergedError, InternalError, InterruptedRun

QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",  # what is asked to be quiet is so only in the old one
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # the sweep's folder is the truth
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
"""What Ray Tune must find in the environment before it is imported."""
FAILURE = "failure.json"
PLAN = "plan.json"
RETRIES = 3
"""How often a pack is begun again whose process died."""
PACK_SECONDS = 60.0
"""About so long a pack takes: long beside the start of a process, short beside a sweep."""
BULKY = ("checkpoints", "model", "figures", "pulses", FEATURES)
"""What is left out of the folder of a training that ended, where only numbers are kept."""


def train_pack(sweep: Path, names: Sequence[str]) -> None:
    """Train these members of a sweep, but for those that are trained; their results go to the sweep's folder.

    What ends one member ends the pack and, by `failure.json`, the sweep; only divergence is a result.
    """
    plan = json.loads((sweep / PLAN).read_text(encoding="utf-8"))
    recipes = {one["name"]: one["tables"] for one in plan["members"]}
    for name in names:
        if (sweep / STOP).exists() or (sweep / FAILURE).exists():
            return
        try:
            train_member(sweep, name, recipes[name], keep_all=plan["recipe"]["fractions"]["keep"] == "all")
        except InterruptedRun:
            return
        except DistganError as error:
            write_file(sweep / FAILURE, json.dumps(error.as_dict()).encode())
            return
        except Exception as error:
            trace = "".join(traceback.format_exception(error)).strip()
            ours = InternalError(f"the training {name} failed", trace, "This is a bug of ours: report it")
            write_file(sweep / FAILURE, json.dumps(ours.as_dict()).encode())
            return


def train_member(sweep: Path, name: str, tables: dict[str, Any], *, keep_all: bool) -> None:
    """Train one member from its last checkpoint, in this process, and commit its result; once and for all.

    Another process that trains it is waited for.  Raises what `distgan.engine.running.run` raises, but DivergedError.
    """
    folder, result = sweep / "members" / name, sweep / "results" / f"{name}.json"
    with locked(folder):
        if result.exists():
            return
        config = config_from_tables(tables, f"the recipe of {name}")
        (folder / STOP).unlink(missing_ok=True)
        if (sweep / STOP).exists():
            return
        write_recipe(folder, config)
        if (sweep / FEATURES).exists() and not (folder / FEATURES).exists():
            shutil.copyfile(sweep / FEATURES, folder / FEATURES)
        began, cpu = time.time(), time.process_time()
        found: dict[str, Any] = {"metrics": {}, "error": None}
        try:
            train_here(config, folder)
            card = json.loads((folder / "model" / CARD).read_text(encoding="utf-8"))
            found |= {key: card[key] for key in ("metrics", "images_seen", "state_sha256")}
        except DivergedError as error:
            found["error"] = error.as_dict()
        found |= {"began": began, "seconds": time.time() - began, "cpu_seconds": time.process_time() - cpu}
        write_file(result, json.dumps(found).encode())
        if not keep_all:
            for one in BULKY:
                shutil.rmtree(folder / one, ignore_errors=True)
                with contextlib.suppress(OSError):
                    (folder / one).unlink(missing_ok=True)


def train_here(config: AnyRun, folder: Path) -> None:
    """`distgan.engine.running.run` by this process alone, whatever it has trained before."""
    torch.use_deterministic_algorithms(mode=False)  # `run` sets what the recipe wants, and leaves it
    gpu = bool(config.run.gpus_per_worker) and torch.cuda.is_available()
    with warnings_kept(folder):
        run(config, folder, Group(), torch.device("cuda" if gpu else "cpu"))


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """For this process alone, once any other is done; the lock goes with the process, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def packs_of(names: Sequence[str], seconds_each: float, slots: int) -> list[list[str]]:
    """Members that one process trains: about a minute's work, but enough packs for all slots."""
    size = min(int(PACK_SECONDS / max(seconds_each, 1e-3)), -(-len(names) // max(slots, 1)))
    size = max(size, 1)
    return [list(names[start : start + size]) for start in range(0, len(names), size)]


def run_on_tune(work: Callable[[int], None], count: int, slots: int, *, config: AnyRun, home: Home) -> None:
    """`work(0)` .. `work(count - 1)`, each a trial of one Ray Tune experiment, so many at once; needs Ray.

    Actors are used again, so that a process imports torch once.  Raises what Ray raises.
    """
    os.environ |= QUIET
    from ray import tune

    name = f"{config.run.name}-{time.time_ns():x}"
    needs = {"cpu": config.run.cpus_per_worker}
    if config.run.gpus_per_worker:
        needs["gpu"] = config.run.gpus_per_worker

    def trial(setting: dict[str, Any]) -> None:
        work(setting["pack"])
        tune.report({"pack": setting["pack"]})

    tuner = tune.Tuner(
        tune.with_resources(trial, needs),
        param_space={"pack": tune.grid_search(list(range(count)))},
        tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=slots),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(home.ray),
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    finally:
        shutil.rmtree(home.ray / name, ignore_errors=True)
