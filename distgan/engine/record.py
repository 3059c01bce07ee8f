"""What the first rank notes along a run: settings, logs, evaluations and their figures, and what it makes of them."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from distgan.data.batches import Batches, leaks_of
from distgan.engine.task import Task
from distgan.engine.trainer import Trainer
from distgan.evaluation import Best, Evaluation
from distgan.evaluations import load_evaluation
from distgan.monitoring.system import System
from distgan.monitoring.tracking import JsonlTracker, read_lines
from distgan.monitoring.watch import Watch
from storage.errors import DivergedError, RecipeError

LOGGER = logging.getLogger(__name__)


class Record:
    """Of one run, from its beginning or from the checkpoint it goes on from."""

    def __init__(self, task: Task, evaluations: list[Evaluation], tracker: JsonlTracker, device: torch.device) -> None:
        self.task = task
        self.config = task.config
        self.evaluations = evaluations
        self.tracker = tracker
        self.watch = Watch(line["metrics"] for line in read_lines(task.folder) if "metrics" in line)
        self.system = System(device)
        self.best: Best | None = None
        self.clock, self.clock_images = time.monotonic(), 0

    @classmethod
    def start(cls, task: Task, feed: Batches, images_seen: int, best: Best | None) -> "Record":
        """Read the sets that are measured, and forget what was noted beyond this point of the run."""
        tracker = JsonlTracker(task.folder)
        tracker.rewind(images_seen or -1)
        sets = task.sets(feed)
        evaluations = [load_evaluation(name)(sets) for name in task.config.evaluate.metrics]
        record = cls(task, evaluations, tracker, feed.device)
        record.best, record.clock_images = best, images_seen
        return record

    def begin(self, trainer: Trainer) -> None:
        """Keep the settings, and measure what the run is compared with; once, before the first step."""
        known: dict[str, Any] = self.config.flat() | self._leaks()
        found: dict[str, float] = {}
        for one in self.evaluations:
            known |= one.params()
            found |= one.before(trainer.average)
        self.tracker.params(known)
        if found:
            self.tracker.metrics(found, 0)
        self.clock = time.monotonic()

    def _leaks(self) -> dict[str, int]:
        """What the held-out samples share with the training samples, told and kept."""
        if not len(self.task.chosen.held_out):
            return {}
        found = leaks_of(self.task.store, self.task.chosen, self.config.data)
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

    def log(self, trainer: Trainer, terms: Mapping[str, Tensor]) -> None:
        """The terms of the last step, and how fast it goes.  Raises DivergedError."""
        values = {name if "/" in name else f"loss/{name}": float(value) for name, value in terms.items()}
        values |= {f"gradient_norm/{turn}": float(norm) for turn, norm in trainer.gradient_norms.items()}
        if self.config.run.on_nonfinite != "stop":
            values["skipped"] = float(trainer.judge.skipped)
        seconds = time.monotonic() - self.clock
        values["images_per_second"] = (trainer.images_seen - self.clock_images) / seconds
        self.clock, self.clock_images = time.monotonic(), trainer.images_seen
        bad = sorted(name for name, value in values.items() if not torch.isfinite(torch.tensor(value)))
        if bad:
            raise diverged(", ".join(bad), trainer.images_seen)
        self.tracker.metrics(values | self.watch.see(values) | self.system.metrics(), trainer.images_seen)

    def evaluate(self, trainer: Trainer) -> None:
        """Measure, draw, and remember the best."""
        method, seen = trainer.current(), trainer.images_seen
        with self.pausing():
            found = {name: value for one in self.evaluations for name, value in one.measure(method).items()}
            self.tracker.metrics(found | self.watch.see(found), seen)
            self._remember_best(found, seen)
            for one in self.evaluations:
                one.keep(seen)
            for one in self.evaluations if self.config.evaluate.figures else ():
                for name, figure in one.figures(method, seen).items():
                    self.tracker.figure(name, figure, seen)

    def _remember_best(self, found: Mapping[str, float], images_seen: int) -> None:
        metric = self.config.evaluate.best
        metric = self.evaluations[0].headline if metric == "headline" else metric
        if not metric:
            return
        if metric not in found:
            raise RecipeError(
                "evaluate.best names nothing that is measured",
                f"{metric!r}, and there are {', '.join(sorted(found))}",
                "Set it to one of these, or to an empty string",
            )
        lower = any(metric.rpartition("/")[2] in one.lower for one in self.evaluations)
        if self.best is None or self.best.metric != metric:
            self.best = Best(metric, found[metric], images_seen)
        else:
            self.best = self.best.followed_by(found[metric], images_seen, lower=lower)

    def verdict(self, images_seen: int) -> str:
        """What follows: "" (go on), "best" (keep this state), "patience" or what `monitoring.watch` found (stop)."""
        new, patience = self.watch.taken(), self.config.evaluate.patience
        if finding := next((name for name in self.config.watch.stop if name in new), ""):
            return finding
        if patience and self.best and self.best.since >= patience:
            return "patience"
        best_now = self.best is not None and self.best.images_seen == images_seen
        return "best" if best_now and self.config.register_.which == "best" else ""

    @contextmanager
    def pausing(self) -> Iterator[None]:
        """What happens inside does not count in `images_per_second`, which is that of training."""
        started = time.monotonic()
        yield
        self.clock += time.monotonic() - started


def diverged(what: str, images_seen: int) -> DivergedError:
    """The error of a run in which `what` is not a finite number."""
    return DivergedError(
        "training diverged",
        f"{what} is not a finite number after {images_seen:,} images",
        "Lower the learning rate, or raise method.penalty; the last checkpoint is finite",
    )
