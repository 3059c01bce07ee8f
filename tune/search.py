"""A search over a recipe's `[tune]` table, as its driver sees it: begun or gone on with, watched, reported."""

import logging
import math
import time
from pathlib import Path
from typing import Any

from cluster.home import Home
from cluster.ownership import owned, stopping_at_signals
from cluster.registry import with_models
from cluster.session import joined, package_folders
from distgan.config.run_config import AnyRun, Tables, config_from_tables, flat_keys, set_key
from distgan.data.batches import choose, open_store
from distgan.monitoring.pulse import STOP
from distgan.monitoring.terminal import say
from storage.errors import DistganError, InterruptedRun, MissingError, RecipeError, ServiceError, error_from_dict
from tune.asking import Asking
from tune.catalogue import ERROR, WARMUP, Catalogue
from tune.driver import room, watched
from tune.effects import as_text, effects_of
from tune.experiment import run_on_tune
from tune.preview import preview, warm_up
from tune.search_tracking import SearchDelivery
from tune.searchers import make_searcher
from tune.space import Space
from tune.standing import as_table, line, standing

LOGGER = logging.getLogger(__name__)
SAY_EVERY_SECONDS = 30.0
MAY_CHANGE = ("tune.trials", "tune.images", "tune.concurrency", "tune.effects")
"""What a resumed search may have different, besides [cluster] and [register]."""


def search_folder(home: Home, name: str) -> Path:
    """Where a search lies."""
    return home.path / "searches" / name


def search(tables: Tables, home: Home, *, resume: bool) -> dict[str, Any]:
    """Run all trials of a recipe's `[tune]` table, report, and register the best model.

    tables: of the recipe, as they were read.  Raises RecipeError: the search exists and `resume` is false, or it
    cannot be meant.  Raises InterruptedRun: asked to stop.  Raises ServiceError: Ray or MLflow does not answer.
    """
    config = config_from_tables(tables, "the recipe")
    catalogue = Catalogue(search_folder(home, config.run.name))
    package_folders()
    begun = catalogue.search() is not None
    with (
        owned(catalogue.folder, "search", begun=begun, resume=resume),
        stopping_at_signals(catalogue.folder, lambda: _stop_trials(catalogue)),
    ):
        space = _space(catalogue, tables, config, home)
        total = make_searcher(space).total
        delivery = SearchDelivery(home, catalogue, space)
        if any(one.result is None for one in catalogue.trials()) or len(catalogue.trials()) < total:
            one = space.config({}, 0)
            cpus = math.ceil(one.run.least_workers * one.run.cpus_per_worker)
            with joined(config.cluster.address, home, cpus):
                _run(catalogue, space, home, delivery)
        return _finished(catalogue, space, home, delivery)


def status(config: AnyRun, home: Home) -> dict[str, Any]:
    """How a search stands; read only.  Raises MissingError: it was not begun."""
    catalogue = Catalogue(search_folder(home, config.run.name))
    facts = catalogue.search()
    if facts is None:
        raise MissingError(
            f"the search {config.run.name} was not begun", f"no {catalogue.folder}", "Begin it by distgan tune"
        )
    kept = config_from_tables(facts["recipe"], str(catalogue.folder))
    assert kept.tune is not None
    return _said(catalogue, Space(facts["recipe"], kept.tune))


def _space(catalogue: Catalogue, tables: Tables, config: AnyRun, home: Home) -> Space:
    """The space of the recipe, checked, and its recipe with the folder for as long as the search lives."""
    assert config.tune is not None, "the recipe has [tune]"
    set_key(tables, "data.store", str(Path(config.data.store).absolute()))
    if config.evaluate.detection:
        set_key(tables, "evaluate.detection", config.evaluate.detection.model_dump())
    facts = catalogue.search()
    if facts is None:
        choose(open_store(config.data), config.data)  # a mistake there is told before anything is started
        space = Space(tables, config.tune)
        space.check()
        if config.init:
            tables["init"] = with_models(config, home).dump()["init"]
        return Space(tables, config.tune)
    if "init" in facts["recipe"]:  # the very models, wherever their alias points by now
        tables["init"] = facts["recipe"]["init"]
    before, now = (dict(flat_keys(one)) for one in (facts["recipe"], tables))
    keys = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
    if other := [key for key in keys if key not in MAY_CHANGE and not key.startswith(("cluster.", "register."))]:
        raise RecipeError(
            f"the search {catalogue.folder.name} began with another recipe",
            "; ".join(f"{key} was {before.get(key)!r} and is {now.get(key)!r}" for key in other),
            "Give the recipe it began with, or begin another by --set run.name=NAME",
        )
    return Space(tables, config.tune)


def _run(catalogue: Catalogue, space: Space, home: Home, delivery: SearchDelivery) -> None:
    """All trials that have not ended, on Ray.  Raises what ended the search."""
    (catalogue.folder / ERROR).unlink(missing_ok=True)
    slots = min(room(space.config({}, 0)), space.tune.concurrency or 10**9)
    facts = catalogue.search()
    facts = {**(facts or {"slots": slots, "began": time.time()}), "recipe": space.whole}
    catalogue.begin(facts)
    if catalogue.read(WARMUP) is None:
        say(f"warm-up: some steps of {space.name}")
        watched(lambda: _warm_up(catalogue, space, home), lambda: None)
        _raise_what_ended(catalogue)
    known = catalogue.read(WARMUP)
    assert known is not None
    asking = Asking(catalogue, space, facts["slots"])
    left = asking.total - sum(one.result is not None for one in catalogue.trials())
    say(preview(space, known, asking.total, left, slots))
    try:
        watched(lambda: run_on_tune(catalogue, space, home, asking), _Looking(catalogue, space, delivery))
    except DistganError:
        raise
    except Exception as error:
        if not (catalogue.folder / STOP).exists():
            cause = (str(error).strip() or type(error).__name__).splitlines()[-1]
            raise ServiceError("Ray could not search", cause, "Run the same command with --resume") from error
    _raise_what_ended(catalogue)
    if (catalogue.folder / STOP).exists():
        delivery.end("KILLED")
        raise InterruptedRun(
            "the search was asked to stop",
            line(standing(catalogue, space), space.tune.objectives),
            "Run the same command with --resume to go on",
        )


class _Looking:
    """Tells people how the search stands: whenever a trial has ended, and now and then."""

    def __init__(self, catalogue: Catalogue, space: Space, delivery: SearchDelivery) -> None:
        self.catalogue, self.space, self.delivery = catalogue, space, delivery
        self.ended, self.last = -1, time.monotonic()

    def __call__(self) -> None:
        ended = len(list(self.catalogue.folder.glob("trials/*/result.json")))
        if ended != self.ended or time.monotonic() - self.last > SAY_EVERY_SECONDS:
            if self.ended >= 0:
                found = standing(self.catalogue, self.space)
                say(f"{self.space.name}: {line(found, self.space.tune.objectives)}")
            self.ended, self.last = ended, time.monotonic()
        self.delivery.try_deliver()


def _finished(catalogue: Catalogue, space: Space, home: Home, delivery: SearchDelivery) -> dict[str, Any]:
    """Deliver, draw and register.  Raises RecipeError: every trial failed."""
    found = _said(catalogue, space) | {"running": False}
    if found["best"] is None:
        reasons = {one.get("reason", "it reported nothing") for one in found["trials"]}
        delivery.end("FAILED")
        raise RecipeError("every trial failed", "; ".join(sorted(reasons)[:3]), "Change [tune.space] or the recipe")
    return found | delivery.finish(found)


def _said(catalogue: Catalogue, space: Space) -> dict[str, Any]:
    """How it stands, and what the keys do if that is asked; told, too."""
    found = standing(catalogue, space)
    say(as_table(found, space.tune.objectives))
    if space.tune.effects:
        found["effects"] = effects_of(catalogue, space)
        say(f"\n{as_text(found['effects'], space.tune)}")
    return found


def _raise_what_ended(catalogue: Catalogue) -> None:
    if error := catalogue.read(ERROR):
        raise error_from_dict(error)


def _stop_trials(catalogue: Catalogue) -> None:
    for one in catalogue.trials():
        if one.result is None:
            (catalogue.run(one.number) / STOP).touch()


def _warm_up(catalogue: Catalogue, space: Space, home: Home) -> None:
    import ray

    run = space.config({}, 0).run
    task = ray.remote(num_cpus=run.cpus_per_worker, num_gpus=run.gpus_per_worker, max_retries=1)(warm_up)
    ray.get(task.remote(catalogue.folder, home.path))
