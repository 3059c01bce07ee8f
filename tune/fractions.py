"""A fraction sweep: a recipe trained on ever fewer labels, again and again, and what that says.

The sweep's folder (`tune.packed`) is the record: whatever is killed, the same command with --resume trains what has
no result yet, from its last checkpoint, and nothing twice.
"""

import json
import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from cluster.home import Home
from cluster.ownership import owned, stopping_at_signals
from cluster.registry import with_models
from cluster.session import joined, package_folders
from distgan.config.fraction_sections import Fractions
from distgan.config.run_config import AnyRun, Tables, config_from_tables, flat_keys
from distgan.data.batches import choose, open_store
from distgan.monitoring.pulse import STOP
from distgan.monitoring.terminal import say, training_progress
from storage.durable import write_file
from storage.errors import DistganError, InterruptedRun, MissingError, RecipeError, ServiceError, error_from_dict
from tune.driver import room, watched
from tune.fraction_report import as_text, report_of, write_report
from tune.fraction_results import read_results, results_of
from tune.fraction_tracking import SweepDelivery
from tune.group_bootstrap import with_group_bootstrap
from tune.members import group_column, members_of
from tune.packed import FAILURE, PLAN, packs_of, run_on_tune, train_pack
from tune.warm_up import FACTS, preview, seconds_of, warm_up

SLOTS = "slots.json"
MAY_CHANGE = ("cluster.", "register.", "fractions.target", "fractions.resamples")
"""How the keys begin that a resumed sweep may have different."""
Work = Callable[[int], None]
Execute = Callable[[Work, int, int], None]
"""Does `work(0)` .. `work(count - 1)`, so many at once: work, count, slots."""
Plan = dict[str, Any]


def sweep(config: AnyRun, tables: Tables, home: Home, *, resume: bool) -> dict[str, Any]:
    """Train all members of a recipe's `[fractions]`, and report.  tables: of the recipe, as they were read.

    Raises RecipeError: the sweep exists and `resume` is false, or it cannot be meant (`tune.members`).
    Raises InterruptedRun: asked to stop.  Raises ServiceError: Ray or MLflow does not answer.
    """
    package_folders()
    folder = sweep_folder(home, config)
    begun = (folder / PLAN).exists()
    with owned(folder, "sweep", begun=begun, resume=resume), stopping_at_signals(folder, lambda: _ask_all(folder)):
        (folder / FAILURE).unlink(missing_ok=True)
        plan = _planned(config, tables, home, folder)
        if _left(folder, plan):
            with joined(config.cluster.address, home, math.ceil(config.run.cpus_per_worker)):
                one = config_from_tables(plan["members"][0]["tables"], "a member of the plan")
                trained(folder, plan, home, room(one), partial(run_on_tune, config=one, home=home))
        return finished(folder, plan, config, home)


def sweep_folder(home: Home, config: AnyRun) -> Path:
    """Where a sweep lies."""
    return home.path / "sweeps" / config.run.name


def status(config: AnyRun, home: Home) -> dict[str, Any]:
    """What a sweep has found so far, and how far it is; read only.  Raises MissingError: it was not begun."""
    folder = sweep_folder(home, config)
    if not (folder / PLAN).exists():
        raise MissingError(f"the sweep {folder.name} was not begun", f"no {folder / PLAN}", "Begin it by distgan tune")
    plan = _read(folder / PLAN)
    names = [one["name"] for one in plan["members"]]
    found = read_results(folder, names)
    left = [one for one in plan["members"] if one["name"] not in found]
    facts = _read(folder / FACTS) if (folder / FACTS).exists() else None
    seconds = sum(seconds_of(one, facts) for one in left) / _slots(folder) if facts else None
    report = _report(folder, plan, config.fractions or _fractions(plan))
    left_for = "" if not seconds else f", about {timedelta(seconds=round(seconds))} left"
    say(f"{len(found):,} of {len(names):,} trainings{left_for}\n{as_text(report)}")
    return {
        "sweep": str(folder),
        "members": len(names),
        "trained": len(found),
        "failed": sum(one["error"] is not None for one in found.values()),
        "seconds_left": seconds,
        "report": report,
    }


def trained(folder: Path, plan: Plan, home: Home, slots: int, execute: Execute) -> None:
    """Train every member that has no result yet.  Raises as `sweep`."""
    if not (folder / FACTS).exists():
        say(f"warm-up: {len(plan['recipe']['fractions']['variants'])} variant(s), a few steps each")
        _watched(folder, lambda: execute(lambda _: warm_up(folder), 1, 1), lambda: None)
        if not (folder / FACTS).exists():
            raise _ended(folder, "no variant was trained in the warm-up")
    facts, left = _read(folder / FACTS), _left(folder, plan)
    write_file(folder / SLOTS, json.dumps(slots).encode())
    say(preview(plan["members"], len(left), facts, slots))
    each = sum(seconds_of(one, facts) for one in left) / len(left)
    packs = packs_of([one["name"] for one in left], each, slots)
    delivery = _delivery(folder, plan, home)
    images = {one["name"]: one["tables"]["run"]["images"] for one in plan["members"]}
    with training_progress(folder.name, sum(images.values())) as show:

        def look() -> None:
            found = read_results(folder, list(images))
            show(sum(images[name] for name in found), {}, 0, "")
            delivery.try_deliver(found)

        _watched(folder, lambda: execute(lambda pack: train_pack(folder, packs[pack]), len(packs), slots), look)
    if missing := _left(folder, plan):
        raise _ended(folder, f"{len(missing)} of {len(images)} trainings have no result")


def finished(folder: Path, plan: Plan, config: AnyRun, home: Home) -> dict[str, Any]:
    """Write and deliver the report of a sweep that is trained.  Raises ServiceError."""
    report = _report(folder, plan, config.fractions or _fractions(plan))
    files = write_report(folder, report)
    delivery = _delivery(folder, plan, home)
    found = read_results(folder, [one["name"] for one in plan["members"]])
    delivery.deliver(found)
    delivery.end(report, files, max(one["began"] + one["seconds"] for one in found.values()))
    say(f"{as_text(report)}\nsweep:   {folder}\npicture: {folder / 'fractions.png'}")
    return {"sweep": str(folder), "run_id": delivery.parent.run_id, "files": [str(path) for path in files], **report}


def _planned(config: AnyRun, tables: Tables, home: Home, folder: Path) -> Plan:
    """The plan of the sweep: made, or that which it began with."""
    assert config.fractions is not None, "the recipe has [fractions]"
    recipe = config.dump()
    recipe["data"]["store"] = str(Path(config.data.store).absolute())
    if (folder / PLAN).exists():
        plan: Plan = _read(folder / PLAN)
        before = config_from_tables(plan["recipe"], str(folder / PLAN)).flat()
        now = config_from_tables(recipe, "the recipe").flat()
        keys = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
        if other := [key for key in keys if not key.startswith(MAY_CHANGE)]:
            raise RecipeError(
                f"the sweep {folder.name} began with another recipe",
                "; ".join(f"{key} was {before.get(key)!r} and is {now.get(key)!r}" for key in other),
                "Give the recipe it began with, or begin another by --set run.name=NAME",
            )
        return plan
    choose(open_store(config.data), config.data)  # a mistake there is told before anything is started
    members = members_of(tables, config, config.fractions, lambda one: with_models(one, home))
    by = group_column(config, config.fractions)
    plan = {"recipe": recipe, "by": by, "members": [one.facts() for one in members]}
    write_file(folder / PLAN, json.dumps(plan).encode())
    return plan


def _report(folder: Path, plan: Plan, fractions: Fractions) -> dict[str, Any]:
    members = plan["members"]
    found = read_results(folder, [one["name"] for one in members])
    results = results_of(members, found, fractions.metric, fractions.resamples)
    results = with_group_bootstrap(results, folder, members, found, fractions.metric)
    folds = " and folds" if results.values.shape[-1] > 1 else ""
    interval = f"repeats{folds}" if results.resampled is None else f"repeats and held-out {plan['by'] or 'samples'}"
    return report_of(results, fractions, interval)


def _slots(folder: Path) -> int:
    """How many trainings there was room for when the sweep was last begun."""
    return int(_read(folder / SLOTS)) if (folder / SLOTS).exists() else 1


def _fractions(plan: Plan) -> Fractions:
    return Fractions.model_validate(plan["recipe"]["fractions"])


def _delivery(folder: Path, plan: Plan, home: Home) -> SweepDelivery:
    return SweepDelivery(home, folder, plan["members"], dict(flat_keys(plan["recipe"])))


def _left(folder: Path, plan: Plan) -> list[Mapping[str, Any]]:
    return [one for one in plan["members"] if not (folder / "results" / f"{one['name']}.json").exists()]


def _ask_all(folder: Path) -> None:
    """Ask every training that has no result for a checkpoint and the end."""
    ended = {path.stem for path in (folder / "results").glob("*.json")}
    for member in (folder / "members").glob("*"):
        if member.name not in ended:
            (member / STOP).touch()


def _watched(folder: Path, work: Callable[[], None], look: Callable[[], None]) -> None:
    """Do the work on a thread, and look at it.  Raises what ended a training, or Ray."""
    try:
        watched(work, look)
    except DistganError:
        raise
    except Exception as error:
        if not (folder / STOP).exists():
            cause = (str(error).strip() or type(error).__name__).splitlines()[-1]
            raise ServiceError("Ray could not train", cause, "Run the same command with --resume") from error
    if (folder / FAILURE).exists():
        raise error_from_dict(_read(folder / FAILURE))


def _ended(folder: Path, found: str) -> InterruptedRun | ServiceError:
    if (folder / STOP).exists():
        return InterruptedRun("the sweep was asked to stop", found, "Run the same command with --resume to go on")
    return ServiceError("the processes that train died again and again", found, "Run the same command with --resume")


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
