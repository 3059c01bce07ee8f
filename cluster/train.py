"""A run on Ray Train, as the driver sees it: its folder, its tracking, its signals, its end."""

import contextlib
import json
import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from cluster import provenance
from cluster.attempts import LOST, attempts_file, fit, lost_workers
from cluster.home import Home
from cluster.messages import NewWarnings
from cluster.ownership import owned, stopping_at_signals
from cluster.registry import Version, register, with_models
from cluster.session import package_folders, session
from cluster.tracking import Delivery
from cluster.workers import Crew
from distgan.config.run_config import AnyRun, config_from_tables
from distgan.data.batches import choose, open_store
from distgan.engine.checkpoint import Checkpoints
from distgan.engine.resume import changed
from distgan.engine.running import write_recipe
from distgan.monitoring.follower import Follower
from distgan.monitoring.pulse import PULSES, STOP
from distgan.monitoring.tracking import RECIPE, Latest, final_metrics
from storage.errors import InterruptedRun, RecipeError, ServiceError, error_from_dict

LOGGER = logging.getLogger(__name__)
Watch = Callable[[int, dict[str, float], str], None]
"""Called about twice a second with the images seen, the latest metrics, and what takes long where no step is taken."""


@dataclass(frozen=True)
class Outcome:
    """A finished run."""

    run_id: str
    images_seen: int
    state_sha256: str
    virtual_shards: int
    checkpoint: Path
    model: Version
    metrics: dict[str, float]
    folder: Path

    @property
    def picture(self) -> Path:
        """The last that was drawn: samples beside real images, where the method makes any."""
        drawn = list((self.folder / "figures").glob("*.png"))
        return max([path for path in drawn if path.name.startswith("samples-")] or drawn, default=self.folder)


def train(config: AnyRun, home: Home, *, resume: bool, watch: Watch, strict: bool = False) -> Outcome:
    """Train a recipe to its end and register the model.

    Raises RecipeError: the run exists and `resume` is false, or its recipe is another.  Raises what a
    worker raised.  Raises ServiceError: Ray or, once all is trained and safe, MLflow does not answer.
    """
    folder = home.run(config.run.name)
    choose(open_store(config.data), config.data)  # a mistake there is told before anything is started
    package_folders()
    with _owned(folder, resume=resume), stopping_at_signals(folder):
        config = _kept(config, folder, home)
        delivery = Delivery(home, folder, config.run.name)
        if not (folder / "model").exists():
            with session(config, home):  # refuses, before anything is written, what the cluster has not
                _train(config, home, folder, delivery, watch, strict=strict)
        delivery.deliver()
        name = config.register_.name or config.run.name
        version = register(home, folder / "model", delivery.run_id, name, config.register_.alias)
        delivery.end("FINISHED")
        return _outcome(config, folder, delivery.run_id, version)


def _train(config: AnyRun, home: Home, folder: Path, delivery: Delivery, watch: Watch, *, strict: bool) -> None:
    write_recipe(folder, config)
    provenance.note(folder, config)
    delivery.try_deliver()
    try:
        _fit(config, home, folder, delivery, watch, strict=strict)
    except InterruptedRun:
        delivery.end("KILLED")
        raise
    except BaseException:
        delivery.end("FAILED")
        raise


def _outcome(config: AnyRun, folder: Path, run_id: str, version: Version) -> Outcome:
    snapshot = Checkpoints(folder / "checkpoints", config.checkpoint.keep).latest()
    assert snapshot is not None, "a finished run has a checkpoint"
    return Outcome(
        run_id,
        snapshot.facts["images_seen"],
        snapshot.facts["state_sha256"],
        config.run.virtual_shards,
        snapshot.path,
        version,
        final_metrics(folder),
        folder,
    )


@contextlib.contextmanager
def _owned(folder: Path, *, resume: bool) -> Iterator[None]:
    """The run's folder, for this process alone; the lock goes with the process, however it ends.

    What an attempt left that never came to a checkpoint is cleared away: nothing was lost with it.
    """
    begun = Checkpoints(folder / "checkpoints", keep=2).committed_images() > 0
    ours = ("lock", RECIPE, "checkpoints")
    if folder.exists() and any(folder.iterdir()) and not any((folder / name).exists() for name in ours):
        raise RecipeError(
            f"{folder} is no folder of a run",
            "there are files in it that no run has made",
            "Move them away, or take another name by --set run.name=NAME",
        )
    with owned(folder, "run", begun=begun, resume=resume):
        if not begun:
            for left in set(folder.iterdir()) - {folder / "lock"}:
                rmtree(left) if left.is_dir() else left.unlink()
        rmtree(folder / PULSES, ignore_errors=True)
        try:
            yield
        finally:
            if not begun and not (folder / RECIPE).exists():  # it was refused: it is not in the way of the next
                rmtree(folder)


def _kept(config: AnyRun, folder: Path, home: Home) -> AnyRun:
    """The recipe with absolute paths, and with the virtual shards and the models that the run began with."""
    tables = config.dump()
    tables["data"]["store"] = str(Path(config.data.store).absolute())
    if config.data.made:
        tables["data"]["made"]["store"] = str(Path(config.data.made.store).absolute())
    recipe = folder / RECIPE
    if not recipe.exists():
        return with_models(config_from_tables(tables, "the recipe"), home)
    before = config_from_tables(json.loads(recipe.read_text(encoding="utf-8")), str(recipe))
    if difference := changed(before, config):
        raise RecipeError(
            f"the run {folder.name} began with another recipe",
            difference,
            "Give the recipe it began with, or begin another by --set run.name=NAME",
        )
    tables["run"]["virtual_shards"] = before.run.virtual_shards
    tables["init"] = before.dump()["init"]
    return config_from_tables(tables, "the recipe")


def _fit(config: AnyRun, home: Home, folder: Path, delivery: Delivery, watch: Watch, *, strict: bool) -> None:
    """Run the workers, and meanwhile deliver, show, and name who was lost."""
    launch = uuid.uuid4().hex[:8]
    failure = folder / f"failure-{launch}.json"
    settings = {"recipe": config.dump(), "folder": str(folder), "failure": str(failure), "strict": strict}
    errors: list[BaseException] = []

    def ray_fit() -> None:
        try:
            fit(config, home, f"{folder.name}-{launch}", settings)
        except BaseException as error:  # handed to the main thread
            errors.append(error)

    thread = threading.Thread(target=ray_fit, daemon=True)
    latest = Latest(folder)
    gone = Follower(folder / LOST, old=False)
    warned, crew = NewWarnings(folder, config.run.most_workers), Crew(folder)
    thread.start()
    while thread.is_alive():
        delivery.try_deliver()
        slow = crew.look()
        seen, metrics = latest.read()
        watch(max(seen, crew.images_seen), metrics, crew.chore)
        for lost in lost_workers(gone):
            LOGGER.warning("%s; the workers begin again from the last checkpoint", lost)
        for told in (*warned.read(), *slow):
            LOGGER.warning("%s", told)
        thread.join(0.5)
    for warning in warned.read():
        LOGGER.warning("%s", warning)
    rmtree(home.ray / f"{folder.name}-{launch}", ignore_errors=True)
    attempts_file(failure).unlink(missing_ok=True)
    if failure.exists():
        fields = json.loads(failure.read_text(encoding="utf-8"))
        failure.unlink()
        raise error_from_dict(fields)
    if errors:
        raise _ray_failed(folder, errors[0]) from errors[0]
    watch(*latest.read(), "")


def _ray_failed(folder: Path, error: BaseException) -> InterruptedRun | ServiceError:
    """Asked to stop, and Ray was faster; or Ray has a fault of its own."""
    cause = (str(error).strip() or type(error).__name__).splitlines()[-1]
    if (folder / STOP).exists():
        kept = Checkpoints(folder / "checkpoints", keep=2).committed_images()
        return InterruptedRun(
            "the run was asked to stop, and the workers ended before they committed a last checkpoint",
            f"the last one is at {kept:,} images ({cause})",
            "Run the same command with --resume to go on from there",
        )
    return ServiceError("Ray could not train", cause, "Look at its logs, then run again with --resume")
