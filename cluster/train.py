"""A run on Ray Train: the driver, and the function each worker runs.

Our checkpoints are the truth. Every attempt looks for the newest one that is whole; Ray only starts
the workers again when one is lost. An error that would happen again is written to the run's folder, and
the next attempt ends at once instead of repeating it.
"""

import contextlib
import fcntl
import json
import signal
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

from cluster.home import Home
from cluster.registry import Version, register
from cluster.session import package_folders, session
from cluster.tracking import Delivery
from distgan.checkpoint import Checkpoints
from distgan.config import AnyRun, config_from_tables
from distgan.data import choose, open_store
from distgan.distributed import Group, PeerLost
from distgan.running import STOP, final_metrics, run, write_recipe
from distgan.tracking import read_lines
from storage.errors import (
    DistganError,
    InternalError,
    InterruptedRun,
    RecipeError,
    ServiceError,
    error_from_dict,
)

MAY_CHANGE = ("run.images", "run.workers", "run.virtual_shards", "run.cpus", "run.gpus", "run.log", "data.store")
MAY_CHANGE_TABLES = ("checkpoint.", "evaluate.", "prepare", "register.", "cluster.")
"""What a resumed run may have different from its beginning: nothing that changes what is computed."""
ATTEMPTS_WITHOUT_PROGRESS = 3
Watch = Callable[[int, dict[str, float]], None]
"""Called about twice a second with the images seen and the latest metrics."""


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
        """The last samples beside real images."""
        return max((self.folder / "figures").glob("samples-*.png"))


def train(config: AnyRun, home: Home, *, resume: bool, watch: Watch) -> Outcome:
    """Train a recipe to its end and register the model.

    Raises RecipeError: the run exists and `resume` is false, or its recipe is another.  Raises what a
    worker raised.  Raises ServiceError: Ray or, once all is trained and safe, MLflow does not answer.
    """
    folder = home.run(config.run.name)
    choose(open_store(config.data), config.data)  # a mistake there is told before anything is started
    package_folders()
    with _owned(folder, resume=resume):
        config = _kept(config, folder)
        write_recipe(folder, config)
        delivery = Delivery(home, folder, config.run.name)
        delivery.try_deliver()
        try:
            if not (folder / "model").exists():
                with session(config, home):
                    _fit(config, home, folder, delivery, watch)
        except InterruptedRun:
            delivery.end("KILLED")
            raise
        except BaseException:
            delivery.end("FAILED")
            raise
        delivery.deliver()
        name = config.register_.name or config.run.name
        version = register(home, folder / "model", delivery.run_id, name, config.register_.alias)
        delivery.end("FINISHED")
        return _outcome(config, folder, delivery.run_id, version)


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
    if begun and not resume:
        raise RecipeError(
            f"there is a run {folder.name} already",
            str(folder),
            "Go on with it by --resume, or begin another by --set run.name=NAME",
        )
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServiceError(
                f"the run {folder.name} is being trained", "another process holds it", "Wait for it, or stop it first"
            ) from None
        if not begun:
            for left in set(folder.iterdir()) - {folder / "lock"}:
                rmtree(left) if left.is_dir() else left.unlink()
        (folder / STOP).unlink(missing_ok=True)
        yield


def _kept(config: AnyRun, folder: Path) -> AnyRun:
    """The recipe with absolute paths, and with the virtual shards that the run began with."""
    tables = config.dump()
    tables["data"]["store"] = str(Path(config.data.store).absolute())
    recipe = folder / "recipe.json"
    if not recipe.exists():
        return config_from_tables(tables, "the recipe")
    before = config_from_tables(json.loads(recipe.read_text(encoding="utf-8")), str(recipe))
    now, then = config.flat(), before.flat()
    changed = [key for key in sorted(now.keys() | then.keys()) if now.get(key) != then.get(key) and not _free(key)]
    if changed:
        listed = "; ".join(f"{key} was {then.get(key)!r} and is {now.get(key)!r}" for key in changed)
        raise RecipeError(
            f"the run {folder.name} began with another recipe",
            listed,
            "Give the recipe it began with, or begin another by --set run.name=NAME",
        )
    tables["run"]["virtual_shards"] = before.run.virtual_shards
    return config_from_tables(tables, "the recipe")


def _free(key: str) -> bool:
    return key.startswith(MAY_CHANGE) or key.startswith(MAY_CHANGE_TABLES)


def _fit(config: AnyRun, home: Home, folder: Path, delivery: Delivery, watch: Watch) -> None:
    """Run the workers, and meanwhile deliver, show, and pass on a wish to stop."""
    launch = uuid.uuid4().hex[:8]
    failure = folder / f"failure-{launch}.json"
    settings = {"recipe": config.dump(), "folder": str(folder), "failure": str(failure)}
    errors: list[BaseException] = []
    arguments = (config, home, f"{folder.name}-{launch}", settings, errors)
    thread = threading.Thread(target=_ray_fit, args=arguments, daemon=True)
    with _stopping_at_signals(folder):
        thread.start()
        while thread.is_alive():
            delivery.try_deliver()
            watch(*_progress(folder))
            thread.join(0.5)
    rmtree(home.ray / f"{folder.name}-{launch}", ignore_errors=True)
    _attempts(failure).unlink(missing_ok=True)
    if failure.exists():
        fields = json.loads(failure.read_text(encoding="utf-8"))
        failure.unlink()
        raise error_from_dict(fields)
    if errors:
        raise ServiceError(
            "Ray could not train",
            str(errors[0]).strip().splitlines()[-1],
            "Look at its logs, then run again with --resume",
        ) from errors[0]
    watch(*_progress(folder))


def _ray_fit(config: AnyRun, home: Home, name: str, settings: dict[str, Any], errors: list[BaseException]) -> None:
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    needs = {"CPU": config.run.cpus_per_worker}
    if config.run.gpus_per_worker:
        needs["GPU"] = config.run.gpus_per_worker
    trainer = TorchTrainer(
        worker,
        train_loop_config=settings,
        scaling_config=ray.train.ScalingConfig(
            num_workers=config.run.workers, use_gpu=bool(config.run.gpus_per_worker), resources_per_worker=needs
        ),
        # NCCL wants a whole GPU of its own for each worker.
        torch_config=TorchConfig("nccl" if config.run.gpus_per_worker >= 1 else "gloo", timeout_s=600),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=str(home.ray),
            failure_config=ray.train.FailureConfig(max_failures=-1),
            logging_config=ray.train.LoggingConfig(log_level="ERROR"),
        ),
    )
    try:
        trainer.fit()
    except BaseException as error:  # handed to the main thread
        errors.append(error)


def worker(settings: dict[str, Any]) -> None:
    """What each Ray Train worker runs."""
    import ray.train
    import ray.train.torch

    folder, failure = Path(settings["folder"]), Path(settings["failure"])
    if failure.exists():
        return
    context = ray.train.get_context()
    group = Group(context.get_world_rank(), context.get_world_size())
    config = config_from_tables(settings["recipe"], "the driver's recipe")
    try:
        if group.leads:
            _check_progress(failure, Checkpoints(folder / "checkpoints", config.checkpoint.keep).committed_images())
        device = ray.train.torch.get_device()
        run(config, folder, group, device, lambda seen: ray.train.report({"images_seen": seen}))
    except PeerLost:
        raise
    except InterruptedRun as error:
        _tell(failure, error)
    except DistganError as error:
        _tell(failure, error)
        raise
    except Exception as error:
        trace = "".join(traceback.format_exception(error))
        _tell(
            failure,
            InternalError("training failed", trace.strip(), "This is a bug of ours or of the method: report it"),
        )
        raise


def _check_progress(failure: Path, images_seen: int) -> None:
    """Give up when attempt after attempt dies before its first checkpoint."""
    attempts = _attempts(failure)
    before = attempts.read_text(encoding="utf-8").split() if attempts.exists() else []
    tried = [*before, str(images_seen)]
    attempts.write_text(" ".join(tried), encoding="utf-8")
    if tried.count(str(images_seen)) > ATTEMPTS_WITHOUT_PROGRESS:
        raise ServiceError(
            f"the workers died {ATTEMPTS_WITHOUT_PROGRESS} times after {images_seen:,} images",
            "no checkpoint was reached in between",
            "Give them more memory, or lower run.batch_size; then run again with --resume",
        )


def _attempts(failure: Path) -> Path:
    return failure.with_suffix(".attempts")


def _tell(failure: Path, error: DistganError) -> None:
    partial = failure.with_suffix(f".{uuid.uuid4().hex[:8]}")
    partial.write_text(json.dumps(error.as_dict()), encoding="utf-8")
    partial.replace(failure)


def _progress(folder: Path) -> tuple[int, dict[str, float]]:
    seen = 0
    metrics: dict[str, float] = {}
    for line in read_lines(folder):
        seen = max(seen, line["images_seen"])
        metrics |= line.get("metrics", {})
    return seen, metrics


@contextlib.contextmanager
def _stopping_at_signals(folder: Path) -> Iterator[None]:
    """SIGINT and SIGTERM ask for a checkpoint and the end; a second one ends at once."""

    def ask(number: int, frame: object) -> None:
        if (folder / STOP).exists():
            raise KeyboardInterrupt
        (folder / STOP).write_text(f"signal {number} at {time.time():.0f}\n", encoding="utf-8")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
