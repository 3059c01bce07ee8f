"""What Ray runs: the workers of a run, attempt after attempt, and the function of each.

Our checkpoints are the truth. Every attempt looks for the newest one that is whole; Ray only starts
the workers again when one is lost. An error that would happen again is written to the run's folder, and
the next attempt ends at once instead of repeating it.
"""

import json
import math
import time
import traceback
import uuid
from pathlib import Path
from typing import Any

from cluster.hangs import hangs_ended
from cluster.home import Home
from cluster.messages import warnings_kept
from distgan.config.run_config import AnyRun, config_from_tables
from distgan.engine.checkpoint import Checkpoints
from distgan.engine.distributed import Group, PeerLost
from distgan.engine.running import run
from distgan.monitoring.follower import Follower
from distgan.monitoring.pulse import last_pulse
from storage.errors import DistganError, InternalError, InterruptedRun, ServiceError

ATTEMPTS_WITHOUT_PROGRESS = 3
LOST = "lost.jsonl"


def fit(config: AnyRun, home: Home, name: str, settings: dict[str, Any]) -> None:
    """Run the workers to the end, on Ray.  settings: of `worker`.  Raises what Ray raises."""
    import ray.train
    from ray.train.torch import TorchTrainer

    from cluster.group import GroupConfig

    backend = "nccl" if config.run.gpus_per_worker >= 1 else "gloo"  # NCCL wants a whole GPU of its own for each worker
    needs = {"CPU": config.run.cpus_per_worker}
    if config.run.gpus_per_worker:
        needs["GPU"] = config.run.gpus_per_worker
    trainer = TorchTrainer(
        worker,
        train_loop_config=settings,
        scaling_config=ray.train.ScalingConfig(
            num_workers=config.run.workers,
            use_gpu=bool(config.run.gpus_per_worker),
            resources_per_worker=needs,
            elastic_resize_monitor_interval_s=math.inf,  # a change while all is well would cost finished steps
        ),
        torch_config=GroupConfig(backend, timeout_s=600, folder=str(home.ray / name)),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=str(home.ray),
            failure_config=ray.train.FailureConfig(max_failures=-1),
            logging_config=ray.train.LoggingConfig(log_level="ERROR"),
            callbacks=[_lost_workers(Path(settings["folder"]))],
        ),
    )
    trainer.fit()


def worker(settings: dict[str, Any]) -> None:
    """What each Ray Train worker runs.  settings: recipe, folder of the run, file for a final failure."""
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
        with warnings_kept(folder, group.rank), hangs_ended(folder, group, device):
            strict = settings["strict"]
            run(config, folder, group, device, lambda seen: ray.train.report({"images_seen": seen}), strict=strict)
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


def lost_workers(lines: Follower) -> list[str]:
    """What happened to workers since the last call, one sentence each.  lines: of the file LOST."""
    return [
        "worker {rank} on {node} (process {pid}) {how} after {images_seen:,} images".format(**json.loads(line))
        for line in lines.read()[1]
    ]


def attempts_file(failure: Path) -> Path:
    """Where the attempts of one start are counted."""
    return failure.with_suffix(".attempts")


def _lost_workers(folder: Path) -> Any:
    """Notes of workers that died or hang, with what they last told; Ray calls it where it watches them."""
    from ray.train import UserCallback

    class LostWorkers(UserCallback):  # type: ignore[misc]
        def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
            for rank, error in sorted(worker_exceptions.items()):
                kind = type(error).__name__
                if not kind.startswith("WorkerHealthCheck"):
                    continue  # it raised: `worker` tells of that
                how = "gave no sign of life and was given up" if "Timeout" in kind else "died"
                told = {"node": "an unknown node", "pid": 0, "images_seen": 0, "how": how} | last_pulse(folder, rank)
                with (folder / LOST).open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"rank": rank, "time": time.time()} | told) + "\n")

    return LostWorkers()


def _check_progress(failure: Path, images_seen: int) -> None:
    """Give up when attempt after attempt dies before its first checkpoint."""
    attempts = attempts_file(failure)
    before = attempts.read_text(encoding="utf-8").split() if attempts.exists() else []
    tried = [*before, str(images_seen)]
    attempts.write_text(" ".join(tried), encoding="utf-8")
    if tried.count(str(images_seen)) > ATTEMPTS_WITHOUT_PROGRESS:
        raise ServiceError(
            f"the workers died {ATTEMPTS_WITHOUT_PROGRESS} times after {images_seen:,} images",
            "; ".join(["no checkpoint was reached in between", *lost_workers(Follower(failure.parent / LOST))[-1:]]),
            "Give them more memory, or lower run.batch_size; then run again with --resume",
        )


def _tell(failure: Path, error: DistganError) -> None:
    partial = failure.with_suffix(f".{uuid.uuid4().hex[:8]}")
    partial.write_text(json.dumps(error.as_dict()), encoding="utf-8")
    partial.replace(failure)
