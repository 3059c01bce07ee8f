"""One worker's part of a run, from the recipe to the last checkpoint; the same with and without Ray.

The folder of a run holds all it leaves:

    recipe.json  params.json  metrics.jsonl  figures/  features.safetensors  checkpoints/  model/
    stop  pulses/
"""

import json
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distgan.config.run_config import AnyRun
from distgan.data.batches import Batches
from distgan.engine.checkpoint import Checkpoints
from distgan.engine.distributed import Group
from distgan.engine.initialisation import initialise
from distgan.engine.memory import keep_freed_memory
from distgan.engine.nonfinite import NonFinite
from distgan.engine.numerics import fingerprint
from distgan.engine.record import Record, diverged
from distgan.engine.resume import check_same_run
from distgan.engine.state import State, digest, first_nonfinite
from distgan.engine.task import Task
from distgan.engine.trainer import Trainer
from distgan.evaluation import Best
from distgan.method import build
from distgan.methods import load_method
from distgan.model import save_model
from distgan.monitoring.pulse import Pulse
from distgan.monitoring.tracking import RECIPE, metrics_at
from distgan.monitoring.watch import MEANING
from storage.errors import DivergedError, InterruptedRun
from storage.patches import PatchStore

LOGGER = logging.getLogger(__name__)
REWINDS = 3
"""How often a process goes back to the last checkpoint because a turn was not finite."""
Heartbeat = Callable[[int], None]
"""Called on every worker when a checkpoint is begun, with the images seen."""


def run(
    config: AnyRun,
    folder: Path,
    group: Group,
    device: torch.device,
    heartbeat: Heartbeat = lambda _: None,
    *,
    strict: bool = False,
    commit_first: bool = False,
    other_recipe: bool = False,
) -> None:
    """Train to the end, from the newest checkpoint if there is one.

    commit_first: the heartbeat waits until the checkpoint is on the disk.  other_recipe: go on from it even if it was
    trained by another recipe, as population-based training does.

    Raises DataError: the checkpoints are damaged, or of another recipe or store; or of other numerics, where
    `strict` allows none.  Raises DivergedError.
    Raises InterruptedRun: asked to stop; a checkpoint was committed first.  Raises DiskError.
    """
    keep_freed_memory()
    torch.set_num_threads(config.run.threads_per_worker)
    if config.run.reduction == "exact":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        if config.run.compile == "off":
            torch.set_deterministic_debug_mode("error")  # the other call takes a second: it imports the compiler
        else:
            torch.use_deterministic_algorithms(mode=True)
    task = Task.of(config, folder)
    with closing(task.feed(group, device)) as feed:
        failed: list[int] = []
        while True:
            worker = Worker.start(task, group, feed, heartbeat, strict=strict, other_recipe=other_recipe)
            worker.commit_first = commit_first
            worker.trainer.judge.excused.update(failed)
            try:
                worker.train()
                break
            except NonFinite as error:
                if config.run.on_nonfinite != "rewind" or len(failed) == REWINDS:
                    raise
                LOGGER.warning("%s Going back to the last checkpoint.", error)
                failed.append(error.images_seen)
        worker.finish()


@dataclass
class Worker:
    """What one process of a run holds.  record: of the first rank alone; it measures, and writes."""

    config: AnyRun
    folder: Path
    group: Group
    store: PatchStore
    trainer: Trainer
    checkpoints: Checkpoints
    heartbeat: Heartbeat
    pulse: Pulse
    best: Best | None = None
    copy: State | None = None
    record: Record | None = None
    commit_first: bool = False

    @classmethod
    def start(
        cls, task: Task, group: Group, feed: Batches, heartbeat: Heartbeat, *, strict: bool, other_recipe: bool = False
    ) -> "Worker":
        """Build the networks, and go back to the newest checkpoint."""
        config, folder = task.config, task.folder
        method = build(load_method(config.method.name), config.method, task.sample, config.run.seed)
        initialise(method, config.init)
        trainer = Trainer(config, method.to(feed.device), feed, group)
        checkpoints = Checkpoints(folder / "checkpoints", config.checkpoint.keep)
        pulse = Pulse(folder, group, feed.device)
        worker = cls(config, folder, group, task.store, trainer, checkpoints, heartbeat, pulse)
        worker._resume(feed.device, strict=strict, other_recipe=other_recipe)
        pulse.beat(trainer.images_seen)
        if group.leads:
            with group.activity.doing("prepares what it measures by"):
                worker.record = Record.start(task, feed, trainer.images_seen, worker.best)
        return worker

    def train(self) -> None:
        """Train to the end; what is being written when that fails is written all the same."""
        try:
            if not self.trainer.done and not self._out_of_patience():
                if self.record and not self.trainer.images_seen:
                    with self.group.activity.doing("evaluates what it begins with"):
                        self.record.begin(self.trainer)
                self.trainer.fit(self.after_step)
        finally:
            self.checkpoints.wait()

    def _resume(self, device: torch.device, *, strict: bool, other_recipe: bool) -> None:
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
        feed = self.trainer.feed
        check_same_run(snapshot, self.config, self.store, feed, strict=strict, other_recipe=other_recipe)
        self.trainer.restore(snapshot.state, snapshot.facts["steps"], snapshot.facts.get("skipped", 0))
        self.best = Best(**snapshot.facts["best"]) if snapshot.facts.get("best") else None

    def _out_of_patience(self) -> bool:
        patience = self.config.evaluate.patience
        return bool(patience and self.best and self.best.since >= patience)

    def after_step(self, trainer: Trainer, terms: Mapping[str, Tensor]) -> bool:
        """Everything rare: log, evaluate, commit, stop. Every rank takes the same decisions."""
        stopping = self.pulse.asked_to_stop(trainer.steps, trainer.images_seen)
        logging_now = self._due(self.config.run.log_every_images)
        evaluating = self._due(self.config.evaluate.every_images) or trainer.done
        committing = self._due(self.config.checkpoint.every_images) or trainer.done or stopping
        if logging_now or evaluating or committing:
            trainer.judge.look()
        if logging_now and self.record:
            self.record.log(trainer, terms)
        if evaluating and self.record:
            with self.group.activity.doing("evaluates"):
                self.record.evaluate(trainer)
        verdict = self._verdict() if logging_now or evaluating else ""
        if committing or verdict:
            self._commit()
        if verdict in MEANING and not trainer.done:
            self.checkpoints.wait()
            raise DivergedError(
                f"the run was stopped because of {verdict}",
                f"{MEANING[verdict]}, at {trainer.images_seen:,} images; a checkpoint was committed first",
                "Begin another run by another recipe; or go on all the same by --resume",
            )
        if stopping and not trainer.done and verdict != "patience":
            self.checkpoints.wait()
            raise InterruptedRun(
                "the run was asked to stop",
                f"a checkpoint at {trainer.images_seen:,} images was committed first",
                "Run the same command with --resume to go on",
            )
        return verdict != "patience"

    def _due(self, every: int) -> bool:
        seen, batch = self.trainer.images_seen, self.config.run.batch_size
        return seen // every > (seen - batch) // every

    def _verdict(self) -> str:
        """What the first rank makes of what it has seen: "", "best" (keep it), "patience" or a finding (stop)."""
        said = ("", "best", "patience", *MEANING)
        if not (self.config.watch.stop or self.config.evaluate.patience or self.config.register_.which == "best"):
            return ""
        own = self.record.verdict(self.trainer.images_seen) if self.record else ""
        agreed = self.group.first_decides(torch.tensor(said.index(own), device=self.trainer.feed.device))
        return said[int(agreed.item())]

    def _commit(self) -> None:
        """Copy the state, and let it be checked and written while training goes on."""
        pausing = self.record.pausing() if self.record else nullcontext()
        with pausing, self.group.activity.doing("writes a checkpoint"):
            self.checkpoints.wait()  # so that its copy of the state can take the next
            state = self.copy = self.trainer.collect_on_first(self.copy)
            if self.record is not None and state is not None:
                facts, record, counters = self._facts(self.record), self.record, self.trainer.counters()
                self.checkpoints.later(lambda: self._write(state, facts, counters, record))
            if self.commit_first:
                self.checkpoints.wait()
            self.heartbeat(self.trainer.images_seen)

    def _write(self, state: State, facts: dict[str, Any], counters: dict[str, int], record: Record) -> None:
        if (name := first_nonfinite(state)) is not None:
            raise diverged(name, facts["images_seen"])
        record.tracker.flush()
        self.checkpoints.save(state, facts | {"state_sha256": digest(state, counters)})

    def _facts(self, record: Record) -> dict[str, Any]:
        return {
            **self.trainer.counters(),
            "recipe": self.config.dump(),
            "patch_store": self.store.digest,
            "order": self.trainer.feed.order_name,
            "numerics": fingerprint(self.config, self.trainer.feed.device),
            "best": asdict(record.best) if record.best else None,
        }

    def finish(self) -> None:
        """Write the model of the finished run, once."""
        target, state = self.folder / "model", self.trainer.collect_on_first(self.copy)
        if self.record and state is not None and not target.exists():
            state_sha256 = digest(state, self.trainer.counters())
            if self.config.register_.which == "best" and self.record.best:
                chosen = self.checkpoints.best(asdict(self.record.best))
                self.trainer.restore(chosen.state, chosen.facts["steps"])
                state_sha256 = chosen.facts["state_sha256"]
            metrics = metrics_at(self.folder, self.trainer.images_seen)
            save_model(target, self.trainer, self.store, metrics, state_sha256)
        self.pulse.end()


def write_recipe(folder: Path, config: AnyRun) -> None:
    """Keep the description of a run with the run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECIPE).write_text(json.dumps(config.dump(), indent=1) + "\n", encoding="utf-8")
