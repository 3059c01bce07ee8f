"""One trial: the same run as `train` makes, in an actor of Ray Tune or on the workers of Ray Train.

It reports what is committed, so that nothing Tune has heard is ever taken back, and pauses where it is told.
"""

import contextlib
import fcntl
import json
import shutil
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from cluster import provenance
from cluster.home import Home
from cluster.registry import with_models
from distgan.config.run_config import AnyRun
from distgan.config.search_sections import PAUSING, POPULATION, Tune
from distgan.engine.distributed import Group
from distgan.engine.running import run, write_recipe
from distgan.monitoring.pulse import PULSES, STOP
from storage.errors import (
    DistganError,
    DivergedError,
    InternalError,
    InterruptedRun,
    RecipeError,
    ServiceError,
    error_from_dict,
)
from tune.catalogue import ERROR, RESULT, Ancestor, Catalogue, Result, committed_images, finite
from tune.space import Space

IMAGES, UNITS = "images_seen", "units"
"""What Tune counts in: images, and the same in units of the space's grace, as HyperBand wants small numbers."""
POINTER = "at.json"
LAUNCH = "launch"
"""Folder with a file for each actor's trial, named as Ray names it, that tells our number."""
FEATURES = "features.safetensors"
LOCK_SECONDS = 90.0
Report = Callable[[dict[str, float], dict[str, int] | None], None]
"""Metrics, and where a copy of the trial could go on: its number and the images seen."""


def trial(settings: dict[str, Any]) -> None:
    """What Ray Tune runs.  settings: the folder of the search, the point, and the home for Ray Train.

    The point may have been changed by Tune, and so it is Ray's name of the trial that says which one it is.
    """
    from ray import tune

    catalogue = Catalogue(Path(settings["search"]))
    context = tune.get_context()
    number = int((catalogue.folder / LAUNCH / context.get_trial_id()).read_text(encoding="utf-8"))
    train_trial(catalogue, number, settings, _pointed(tune.get_checkpoint()), _to_tune)


def train_trial(
    catalogue: Catalogue, number: int, settings: dict[str, Any], pointer: dict[str, int] | None, report: Report
) -> None:
    """Train a trial until it ends, and note how.

    pointer: the trial and the images seen from where Tune wants it to go on, if it was paused.
    Raises SystemExit: Tune wants no more of it for now.  What is not the fault of the trial ends the search.
    """
    folder = catalogue.run(number)
    with _alone(folder):
        if (catalogue.folder / STOP).exists():
            return
        (folder / STOP).unlink(missing_ok=True)
        shutil.rmtree(folder / PULSES, ignore_errors=True)
        space = read_space(catalogue)
        reporter = Reporter(catalogue, number, space, report, pointer)
        try:
            _finish_clone(catalogue, number)
            if pointer is not None and pointer["number"] != number and not (folder / RESULT).exists():
                clone(catalogue, number, pointer, settings["point"])
            config = with_models(space.config(catalogue.trial(number).current, number), Home(Path(settings["home"])))
            reporter.last_one = config.run.images
            if catalogue.trial(number).result is None:
                _train(catalogue, number, config, settings, reporter)
                reporter.end()
            if space.tune.scheduler not in POPULATION:  # which would wait with it for all others, and copy it
                reporter.tell()
        except InterruptedRun:
            return
        except (DivergedError, RecipeError, InternalError) as error:
            reporter.fail(str(error))
        except DistganError as error:
            _end_search(catalogue, error)
        except Exception as error:
            reporter.fail(traceback.format_exception_only(error)[-1].strip())
            (folder / "traceback.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")


def read_space(catalogue: Catalogue) -> Space:
    """The space of a search that has begun."""
    facts = catalogue.search()
    assert facts is not None, "a trial belongs to a search"
    return Space(facts["recipe"], Tune.model_validate(facts["recipe"]["tune"]))


class Reporter:
    """Tells Tune what a trial has committed, each point once, and the catalogue how it ended."""

    def __init__(
        self, catalogue: Catalogue, number: int, space: Space, report: Report, pointer: dict[str, int] | None
    ) -> None:
        self.catalogue, self.number, self.report = catalogue, number, report
        self.objectives = space.tune.objectives
        self.pausing = space.tune.scheduler in PAUSING
        past = catalogue.reported(number, self.objectives) if space.tune.scheduler in POPULATION else []
        self.told = pointer[IMAGES] if pointer else past[-2].images_seen if len(past) > 1 else 0
        self.last_one, self.grace = space.images, space.grace

    def tell(self, *, training: bool = False) -> None:
        """Report what is new.  training: not yet what is at the end, since Tune would end the trial before its model.

        Raises DivergedError: an objective is not a number.
        """
        for point in self.catalogue.reported(self.number, self.objectives):
            if point.images_seen <= self.told or (training and point.images_seen >= self.last_one):
                continue
            self.told = point.images_seen
            found = dict(zip(self.objectives, point.values, strict=True))
            if not finite(point.values):
                raise DivergedError(
                    "an objective is not a number", f"{found} at {point.images_seen:,} images", "See its metrics.jsonl"
                )
            at = {"number": self.number, IMAGES: point.images_seen} if self.pausing else None
            self.report({**found, IMAGES: point.images_seen, UNITS: point.images_seen / self.grace}, at)

    def end(self) -> None:
        """The trial has seen all its images.  Raises DivergedError, RecipeError: there is nothing to judge it by."""
        points = self.catalogue.reported(self.number, self.objectives)
        if not points:
            raise RecipeError(
                "an objective was never reported", ", ".join(self.objectives), "Name a metric of [evaluate]"
            )
        if not finite(points[-1].values):
            raise DivergedError("an objective is not a number", str(points[-1]), "See its metrics.jsonl")
        self.catalogue.end(self.number, Result("finished", points[-1].values, self._cost()))

    def fail(self, reason: str) -> None:
        """It is no candidate."""
        self.catalogue.end(self.number, Result("failed", None, self._cost(), reason))

    def _cost(self) -> int:
        return self.catalogue.cost(self.catalogue.trial(self.number))


def clone(catalogue: Catalogue, number: int, pointer: dict[str, int], point: dict[str, Any]) -> None:
    """Let a trial go on from another one's checkpoint, by its own point from now on.

    pointer: that trial, and the images seen by its checkpoint; if it is gone, the newest takes its place.
    A kill in between leaves it as it was, or as it shall be.
    """
    donor, seen = pointer["number"], pointer[IMAGES]
    folder, theirs = catalogue.run(number), catalogue.run(donor)
    for left in folder.glob("clone-*"):
        shutil.rmtree(left)
    before = catalogue.trial(number)
    for _ in range(10):  # the donor goes on, and may delete what we copy
        copied = folder / f"clone-{len(before.lineage)}"
        try:
            shutil.copytree(theirs / "checkpoints" / _checkpoint(seen), copied / _checkpoint(seen))
            break
        except (FileNotFoundError, shutil.Error):
            shutil.rmtree(copied, ignore_errors=True)
            seen = committed_images(theirs)
    else:
        raise ServiceError(f"trial {donor} could not be copied", str(theirs), "Run the same command with --resume")
    catalogue.descend(number, Ancestor(donor, seen, committed_images(folder), point))
    _finish_clone(catalogue, number)


def _finish_clone(catalogue: Catalogue, number: int) -> None:
    """Put the copied checkpoint in the place of the trial's own, if that was decided."""
    folder, lineage = catalogue.run(number), catalogue.trial(number).lineage
    copied = folder / f"clone-{len(lineage) - 1}"
    if lineage and copied.exists():
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        copied.rename(folder / "checkpoints")


def _checkpoint(images_seen: int) -> str:
    return f"images-{images_seen:012d}"


def _train(catalogue: Catalogue, number: int, config: AnyRun, settings: dict[str, Any], reporter: Reporter) -> None:
    folder = catalogue.run(number)
    write_recipe(folder, config)
    provenance.note(folder, config)
    shared = catalogue.folder / FEATURES
    if shared.exists() and not (folder / FEATURES).exists():  # values of two trials compare in the same features alone
        shutil.copyfile(shared, folder / FEATURES)
    reporter.tell(training=True)
    if config.run.most_workers > 1:
        _train_on_workers(config, settings, folder, reporter)
        return
    on_gpu = config.run.gpus_per_worker and torch.cuda.is_available()
    run(
        config,
        folder,
        Group(),
        torch.device("cuda" if on_gpu else "cpu"),
        lambda _: reporter.tell(training=True),
        commit_first=True,
        other_recipe=bool(catalogue.trial(number).lineage),
    )


def _train_on_workers(config: AnyRun, settings: dict[str, Any], folder: Path, reporter: Reporter) -> None:
    """On Ray Train; Tune's wish to stop becomes the wish that a run knows."""
    from cluster.attempts import fit

    launch = f"{folder.parent.parent.name}-{folder.name}-{time.time_ns()}"
    failure = folder / f"failure-{launch}.json"
    job = {"recipe": config.dump(), "folder": str(folder), "failure": str(failure), "strict": False}
    errors: list[BaseException] = []

    def ray_fit() -> None:
        try:
            fit(config, Home(Path(settings["home"])), launch, job)
        except BaseException as error:  # raised below
            errors.append(error)

    thread = threading.Thread(target=ray_fit, daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            reporter.tell(training=True)
            thread.join(0.5)
    except BaseException:
        (folder / STOP).touch()
        thread.join()
        raise
    finally:
        shutil.rmtree(Home(Path(settings["home"])).ray / launch, ignore_errors=True)
        failed = json.loads(failure.read_text(encoding="utf-8")) if failure.exists() else None
        for left in folder.glob(f"failure-{launch}*"):
            left.unlink()
    if failed:
        raise error_from_dict(failed)
    if errors:
        raise ServiceError("Ray could not train a trial", str(errors[0]), "Run again with --resume") from errors[0]


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No two processes train one trial; one that was left behind by a lost driver is waited for."""
    with (folder / "lock").open("w") as lock:
        last = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > last:
                    raise
                time.sleep(0.1)
        yield


def _end_search(catalogue: Catalogue, error: DistganError) -> None:
    catalogue.keep(ERROR, error.as_dict())
    (catalogue.folder / STOP).touch()


def _pointed(checkpoint: Any) -> dict[str, int] | None:
    if checkpoint is None:
        return None
    with checkpoint.as_directory() as place:
        found: dict[str, int] = json.loads((Path(place) / POINTER).read_text(encoding="utf-8"))
        return found


def _to_tune(metrics: dict[str, float], pointer: dict[str, int] | None) -> None:
    from ray import tune

    if pointer is None:
        tune.report(metrics)
        return
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / POINTER).write_text(json.dumps(pointer), encoding="utf-8")
        tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(place))
