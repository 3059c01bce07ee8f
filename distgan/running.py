"""One worker's part of a run, from the recipe to the last checkpoint; the same with and without Ray.

The folder of a run holds all it leaves:

    recipe.json  params.json  metrics.jsonl  figures/  features.safetensors  checkpoints/  model/
    stop  pulses/
"""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from distgan import plots
from distgan.checkpoint import Checkpoints
from distgan.config import AnyRun
from distgan.data import Batches, Chosen, Feed, choose, leaks_of, open_store
from distgan.distributed import Group
from distgan.evaluation import Evaluator, kid_metrics
from distgan.feed import open_feed, some_blocks
from distgan.method import build
from distgan.methods import load_method
from distgan.model import save_model
from distgan.nonfinite import NonFinite
from distgan.numerics import fingerprint
from distgan.pulse import Pulse
from distgan.resume import check_same_run
from distgan.state import State, digest, first_nonfinite
from distgan.system import System
from distgan.tracking import JsonlTracker, final_metrics, read_lines
from distgan.trainer import Trainer
from distgan.watch import MEANING, Watch
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
) -> None:
    """Train to the end, from the newest checkpoint if there is one.

    Raises DataError: the checkpoints are damaged, or of another recipe or store; or of other numerics, where
    `strict` allows none.  Raises DivergedError.
    Raises InterruptedRun: asked to stop; a checkpoint was committed first.  Raises DiskError.
    """
    torch.set_num_threads(config.run.threads_per_worker)
    if config.run.reduction == "exact":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(mode=True)
    store = open_store(config.data)
    chosen = choose(store, config.data)
    with closing(open_feed(store, chosen.train, config, group, device)) as feed:
        failed: list[int] = []
        while True:
            worker = Worker.start(config, folder, group, store, chosen, feed, heartbeat, strict=strict)
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
    """What one process of a run holds.  Only the first rank evaluates and writes."""

    config: AnyRun
    folder: Path
    group: Group
    store: PatchStore
    chosen: Chosen
    trainer: Trainer
    checkpoints: Checkpoints
    heartbeat: Heartbeat
    pulse: Pulse
    strict: bool
    best: dict[str, Any] | None = None
    copy: State | None = None
    evaluator: Evaluator | None = None
    tracker: JsonlTracker | None = None
    watch: Watch = field(default_factory=Watch)
    system: System | None = None
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
        *,
        strict: bool,
    ) -> "Worker":
        """Build the networks, and go back to the newest checkpoint."""
        kind = load_method(config.method.name)
        method = build(kind, config.method, store.shape[1:], config.run.seed).to(feed.device)
        trainer = Trainer(config, method, feed, group)
        checkpoints = Checkpoints(folder / "checkpoints", config.checkpoint.keep)
        pulse = Pulse(folder, group, feed.device)
        worker = cls(config, folder, group, store, chosen, trainer, checkpoints, heartbeat, pulse, strict)
        worker._resume(feed.device)
        pulse.beat(trainer.images_seen)
        if group.leads:
            worker.tracker = JsonlTracker(folder)
            worker.tracker.rewind(trainer.images_seen or -1)
            worker.watch = Watch(line["metrics"] for line in read_lines(folder) if "metrics" in line)
            worker.system = System(feed.device)
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

    def train(self) -> None:
        """Train to the end; what is being written when that fails is written all the same."""
        try:
            if not self.trainer.done:
                self.before_first_step()
                self.clock = time.monotonic()
                self.trainer.fit(self.after_step)
        finally:
            self.checkpoints.wait()

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
        check_same_run(snapshot, self.config, self.store, self.trainer.feed, strict=self.strict)
        self.trainer.restore(snapshot.state, snapshot.facts["steps"], snapshot.facts.get("skipped", 0))
        self.best = snapshot.facts.get("best")

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
        stopping = self.pulse.asked_to_stop(trainer.steps, trainer.images_seen)
        looks = self.config.run.log_every_images, self.config.evaluate.every_images, self.config.checkpoint.every_images
        if any(map(self._due, looks)) or trainer.done or stopping:
            trainer.judge.look()
        if self._due(self.config.run.log_every_images) and self.tracker:
            self._log(self.tracker, terms)
        if self._due(self.config.evaluate.every_images) or trainer.done:
            self._evaluate()
        finding = self._finding_that_stops()
        if self._due(self.config.checkpoint.every_images) or trainer.done or stopping or finding:
            self._commit()
        if stopping or finding:
            self.checkpoints.wait()
        if finding and not trainer.done:
            raise DivergedError(
                f"the run was stopped because of {finding}",
                f"{MEANING[finding]}, at {trainer.images_seen:,} images; a checkpoint was committed first",
                "Begin another run by another recipe; or go on all the same by --resume",
            )
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

    def _finding_that_stops(self) -> str:
        """What the first rank has found since the last look, if the recipe stops for it; else the empty string."""
        stop, run, evaluate = self.config.watch.stop, self.config.run, self.config.evaluate
        looked = self._due(run.log_every_images) or self._due(evaluate.every_images)
        if not stop or not looked:
            return ""
        new = self.watch.taken()
        first = next((number for number, name in enumerate(stop, 1) if name in new), 0)
        agreed = self.group.first_decides(torch.tensor(first, device=self.trainer.feed.device))
        return ("", *stop)[int(agreed.item())]

    def _log(self, tracker: JsonlTracker, terms: Mapping[str, Tensor]) -> None:
        values = {name if "/" in name else f"loss/{name}": float(value) for name, value in terms.items()}
        values |= {f"gradient_norm/{turn}": float(norm) for turn, norm in self.trainer.gradient_norms.items()}
        if self.config.run.on_nonfinite != "stop":
            values["skipped"] = float(self.trainer.judge.skipped)
        seconds = time.monotonic() - self.clock
        values["images_per_second"] = (self.trainer.images_seen - self.clock_images) / seconds
        self.clock, self.clock_images = time.monotonic(), self.trainer.images_seen
        bad = sorted(name for name, value in values.items() if not torch.isfinite(torch.tensor(value)))
        if bad:
            raise self._diverged(", ".join(bad), self.trainer.images_seen)
        figures = self.system.metrics() if self.system else {}
        tracker.metrics(values | self.watch.see(values) | figures, self.trainer.images_seen)

    def _evaluate(self) -> None:
        if self.tracker is None or self.evaluator is None:
            return
        started = time.monotonic()
        found = self.evaluator.measure(self.trainer.average)
        self.tracker.metrics(found | self.watch.see(found), self.trainer.images_seen)
        self._remember_best(found)
        figure = self.evaluator.figure(self.trainer.average, self.trainer.images_seen)
        self.tracker.figure("samples", figure, self.trainer.images_seen)
        self.tracker.figure("kid", kid_curve(self.folder), self.trainer.images_seen)
        self.clock += time.monotonic() - started  # images_per_second is that of training

    def _remember_best(self, found: Mapping[str, float]) -> None:
        metric = self.config.evaluate.best
        if metric and (self.best is None or self.best["metric"] != metric or found[metric] < self.best["value"]):
            self.best = {"metric": metric, "value": found[metric], "images_seen": self.trainer.images_seen}

    def _commit(self) -> None:
        """Copy the state, and let it be checked and written while training goes on."""
        started = time.monotonic()
        self.checkpoints.wait()  # so that its copy of the state can take the next
        state = self.copy = self.trainer.collect_on_first(self.copy)
        if self.tracker is not None and state is not None:
            facts, tracker, counters = self._facts(), self.tracker, self.trainer.counters()
            self.checkpoints.later(lambda: self._write(state, facts, counters, tracker))
        self.heartbeat(self.trainer.images_seen)
        self.clock += time.monotonic() - started

    def _write(self, state: State, facts: dict[str, Any], counters: dict[str, int], tracker: JsonlTracker) -> None:
        if (name := first_nonfinite(state)) is not None:
            raise self._diverged(name, facts["images_seen"])
        tracker.flush()
        self.checkpoints.save(state, facts | {"state_sha256": digest(state, counters)})

    def _facts(self) -> dict[str, Any]:
        return {
            **self.trainer.counters(),
            "recipe": self.config.dump(),
            "patch_store": self.store.digest,
            "order": self.trainer.feed.order_name,
            "numerics": fingerprint(self.config, self.trainer.feed.device),
            "best": self.best,
        }

    def _diverged(self, what: str, images_seen: int) -> DivergedError:
        return DivergedError(
            "training diverged",
            f"{what} is not a finite number after {images_seen:,} images",
            "Lower the learning rate, or raise method.penalty; the last checkpoint is finite",
        )

    def finish(self) -> None:
        """Write the model of the finished run, once."""
        target, state_sha256 = self.folder / "model", self.trainer.digest()
        if self.group.leads and not target.exists():
            save_model(target, self.trainer, self.store, final_metrics(self.folder), state_sha256)
        self.pulse.end()


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
