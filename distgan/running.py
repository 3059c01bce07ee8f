"""One worker's part of a run, from the recipe to the last checkpoint; the same with and without Ray.

The folder of a run holds all it leaves:

    recipe.json  params.json  metrics.jsonl  figures/  features.safetensors  checkpoints/  model/  stop
"""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from distgan import plots
from distgan.checkpoint import Checkpoints, Snapshot
from distgan.config import AnyRun
from distgan.data import Batches, Chosen, Feed, choose, leaks_of, open_store
from distgan.distributed import Group
from distgan.evaluation import Evaluator, kid_metrics
from distgan.feed import StreamFeed, open_feed, some_blocks
from distgan.method import build
from distgan.methods import load_method
from distgan.model import save_model
from distgan.state import State, digest, first_nonfinite
from distgan.tracking import JsonlTracker, read_lines
from distgan.trainer import Trainer
from storage.errors import DataError, DivergedError, InterruptedRun
from storage.patches import PatchStore

LOGGER = logging.getLogger(__name__)
STOP = "stop"
STOP_EVERY_STEPS = 8
Heartbeat = Callable[[int], None]
"""Called on every worker after each checkpoint, with the images seen."""


def run(
    config: AnyRun, folder: Path, group: Group, device: torch.device, heartbeat: Heartbeat = lambda _: None
) -> None:
    """Train to the end, from the newest checkpoint if there is one.

    Raises DataError: the checkpoints are damaged, or of another recipe or store.  Raises DivergedError.
    Raises InterruptedRun: asked to stop; a checkpoint was committed first.  Raises DiskError.
    """
    torch.set_num_threads(config.run.threads_per_worker)
    if config.run.reduction == "exact":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(mode=True)
    store = open_store(config.data)
    chosen = choose(store, config.data)
    with closing(open_feed(store, chosen.train, config, group, device)) as feed:
        worker = Worker.start(config, folder, group, store, chosen, feed, heartbeat)
        if not worker.trainer.done:
            worker.before_first_step()
            worker.clock = time.monotonic()
            worker.trainer.fit(worker.after_step)
        worker.finish()


@dataclass
class Worker:
    """What one process of a run holds.  Only the first rank evaluates and writes."""

    config: AnyRun
    folder: Path
    group: Group
    store: PatchStore
    chosen: Chosen
    trainer: Trainer
    checkpoints: Checkpoints
    heartbeat: Heartbeat
    evaluator: Evaluator | None = None
    tracker: JsonlTracker | None = None
    clock: float = field(default_factory=time.monotonic)
    clock_images: int = 0

    @classmethod
    def start(
        cls,
        config: AnyRun,
        folder: Path,
        group: Group,
        store: PatchStore,
        chosen: Chosen,
        feed: Batches,
        heartbeat: Heartbeat,
    ) -> "Worker":
        """Build the networks, and go back to the newest checkpoint."""
        kind = load_method(config.method.name)
        method = build(kind, config.method, store.shape[1:], config.run.seed).to(feed.device)
        trainer = Trainer(config, method, feed, group)
        checkpoints = Checkpoints(folder / "checkpoints", config.checkpoint.keep)
        worker = cls(config, folder, group, store, chosen, trainer, checkpoints, heartbeat)
        worker._resume(feed.device)
        if group.leads:
            worker.tracker = JsonlTracker(folder)
            worker.tracker.rewind(trainer.images_seen or -1)
            worker.evaluator = worker._evaluator(feed)
        worker.clock_images = trainer.images_seen
        return worker

    def _evaluator(self, feed: Batches) -> Evaluator:
        """Of all samples if they are in memory, else of some blocks of them."""
        samples, seed = self.config.evaluate.samples, self.config.run.seed
        train, held_out = self.chosen.train, self.chosen.held_out
        if not isinstance(feed, Feed):
            train, held_out = (
                some_blocks(self.store, rows, 4 * samples, seed) if len(rows) else rows for rows in (train, held_out)
            )
            feed = Feed(self.store, train, seed, feed.device)
        real = Feed(self.store, held_out, seed, feed.device) if len(held_out) else None
        return Evaluator(feed, real, samples, seed, self.folder / "features.safetensors")

    def _resume(self, device: torch.device) -> None:
        """The first rank chooses the checkpoint; every rank reads and checks it."""
        snapshot = self.checkpoints.latest() if self.group.leads else None
        seen = snapshot.facts["images_seen"] if snapshot else 0
        agreed = int(self.group.first_decides(torch.tensor(seen, device=device)).item())
        if agreed == 0:
            return
        if snapshot is None:
            snapshot = self.checkpoints.latest()
        assert snapshot is not None
        assert snapshot.facts["images_seen"] == agreed, "two workers see different checkpoints"
        self._check_same_run(snapshot)
        self.trainer.restore(snapshot.state, snapshot.facts["steps"])

    def _check_same_run(self, snapshot: Snapshot) -> None:
        found, wanted = snapshot.facts["patch_store"], self.store.digest
        if found != wanted:
            raise DataError(
                f"{snapshot.path} was trained on another store",
                f"its patches were {found[:12]}..., and {self.store.path} is {wanted[:12]}...",
                "Give the store it began with, or begin again under another run.name",
            )
        order, now = snapshot.facts.get("order", Feed.order_name), self.trainer.feed.order_name
        if order != now:
            raise DataError(
                f"{snapshot.path} has seen its samples in another order",
                f"it was of {order}, and here it would be of {now}",
                f'Set data.resident = "{"stream" if order == StreamFeed.order_name else "memory"}"',
            )

    def before_first_step(self) -> None:
        """Score the floor and the untrained network, once per run."""
        if self.tracker is None or self.evaluator is None or self.trainer.images_seen:
            return
        features = {"features_sha256": self.evaluator.features_sha256}
        self.tracker.params(self.config.flat() | features | self._leaks())
        floor, untrained = self.evaluator.floor(), self.evaluator.score(self.trainer.average)
        self.tracker.metrics(
            kid_metrics("kid_floor", floor) | kid_metrics("kid_untrained", untrained) | kid_metrics("kid", untrained), 0
        )

    def _leaks(self) -> dict[str, int]:
        """What the held-out samples share with the training samples, told and kept."""
        if not len(self.chosen.held_out):
            return {}
        found = leaks_of(self.store, self.chosen, self.config.data)
        if found.near or any(found.groups.values()):
            shared = ", ".join(f"{count} of {name}" for name, count in found.groups.items() if count) or "none"
            LOGGER.warning(
                "the held-out samples are not new to training: %d of %d almost equal a training sample; "
                "groups on both sides: %s. Report a split by a column that keeps them together beside this one.",
                found.near,
                found.looked_at,
                shared,
            )
        groups = {f"leaks.groups.{name}": count for name, count in found.groups.items()}
        return {"leaks.equal": found.equal, "leaks.near": found.near, "leaks.looked_at": found.looked_at} | groups

    def after_step(self, trainer: Trainer, terms: Mapping[str, Tensor]) -> bool:
        """Everything rare: log, evaluate, commit, stop. Every rank takes the same decisions."""
        stopping = self._asked_to_stop()
        if self._due(self.config.run.log_every_images) and self.tracker:
            self._log(self.tracker, terms)
        if self._due(self.config.evaluate.every_images) or trainer.done:
            self._evaluate()
        if self._due(self.config.checkpoint.every_images) or trainer.done or stopping:
            self._commit()
        if stopping and not trainer.done:
            raise InterruptedRun(
                "the run was asked to stop",
                f"a checkpoint at {trainer.images_seen:,} images was committed first",
                "Run the same command with --resume to go on",
            )
        return True

    def _due(self, every: int) -> bool:
        seen, batch = self.trainer.images_seen, self.config.run.batch_size
        return seen // every > (seen - batch) // every

    def _asked_to_stop(self) -> bool:
        if self.trainer.steps % STOP_EVERY_STEPS:
            return False
        here = torch.tensor(int((self.folder / STOP).exists()), device=self.trainer.feed.device)
        return bool(self.group.first_decides(here).item())

    def _log(self, tracker: JsonlTracker, terms: Mapping[str, Tensor]) -> None:
        values = {f"loss/{name}": float(value) for name, value in terms.items()}
        seconds = time.monotonic() - self.clock
        values["images_per_second"] = (self.trainer.images_seen - self.clock_images) / seconds
        self.clock, self.clock_images = time.monotonic(), self.trainer.images_seen
        bad = sorted(name for name, value in values.items() if not torch.isfinite(torch.tensor(value)))
        if bad:
            raise self._diverged(", ".join(bad))
        tracker.metrics(values, self.trainer.images_seen)

    def _evaluate(self) -> None:
        if self.tracker is None or self.evaluator is None:
            return
        started = time.monotonic()
        found = self.evaluator.score(self.trainer.average)
        self.tracker.metrics(kid_metrics("kid", found), self.trainer.images_seen)
        figure = self.evaluator.figure(self.trainer.average, self.trainer.images_seen)
        self.tracker.figure("samples", figure, self.trainer.images_seen)
        self.tracker.figure("kid", kid_curve(self.folder), self.trainer.images_seen)
        self.clock += time.monotonic() - started  # images_per_second is that of training

    def _commit(self) -> None:
        started = time.monotonic()
        if self.tracker is not None:
            state = self.trainer.collect()
            if (name := first_nonfinite(state)) is not None:
                raise self._diverged(name)
            self.tracker.flush()
            self.checkpoints.save(state, self._facts(state))
        self.heartbeat(self.trainer.images_seen)
        self.clock += time.monotonic() - started

    def _facts(self, state: State) -> dict[str, object]:
        return {
            **self.trainer.counters(),
            "state_sha256": digest(state, self.trainer.counters()),
            "recipe": self.config.dump(),
            "patch_store": self.store.digest,
            "order": self.trainer.feed.order_name,
        }

    def _diverged(self, what: str) -> DivergedError:
        return DivergedError(
            "training diverged",
            f"{what} is not a finite number after {self.trainer.images_seen:,} images",
            "Lower the learning rate, or raise method.penalty; the last checkpoint is finite",
        )

    def finish(self) -> None:
        """Write the model of the finished run, once."""
        target = self.folder / "model"
        if self.group.leads and not target.exists():
            save_model(target, self.trainer, self.store, final_metrics(self.folder))


def final_metrics(folder: Path) -> dict[str, float]:
    """The last value of every metric of a run."""
    found: dict[str, float] = {}
    for line in read_lines(folder):
        found |= line.get("metrics", {})
    return found


def kid_curve(folder: Path) -> Figure:
    """How far the samples of a run are from held-out images, along the run so far."""
    points = {line["images_seen"]: line["metrics"] for line in read_lines(folder) if "kid" in line.get("metrics", {})}
    return plots.distance_curve(
        list(points),
        [point["kid"] for point in points.values()],
        [(point["kid_low"], point["kid_high"]) for point in points.values()],
        {"training images (floor)": points[0]["kid_floor"], "untrained network": points[0]["kid_untrained"]},
    )


def write_recipe(folder: Path, config: AnyRun) -> None:
    """Keep the description of a run with the run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.json").write_text(json.dumps(config.dump(), indent=1) + "\n", encoding="utf-8")
