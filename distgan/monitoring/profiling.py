"""Where the time of a training step goes: `distgan train RECIPE --profile`.

A few steps are run in this process, without checkpoints and evaluations, once to warm up and once with a clock around
each part. On a GPU the clock waits for the device before and after a part, so that the parts add up, and the step is
slower than it would be.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from distgan.config.run_config import AnyRun
from distgan.engine.distributed import Group
from distgan.engine.task import Task
from distgan.engine.trainer import Trainer
from distgan.engine.turns import Found, Passes
from distgan.method import Step, Turn, build
from distgan.methods import load_method

STEPS = 20


@dataclass(frozen=True)
class Part:
    """A part of a step.  milliseconds: per step, on average.  share: of the step's time.  calls: per step."""

    part: str
    milliseconds: float
    share: float
    calls: float


class _Clock:
    """Time by part; what runs inside another part counts there no more."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: defaultdict[str, int] = defaultdict(int)
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Everything inside counts as that part, but for parts inside it."""
        self._switch()
        self._running.append(name)
        self.calls[name] += 1
        try:
            yield
        finally:
            self._switch()
            self._running.pop()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time counted as that part."""

        def run(*arguments: Any, **keys: Any) -> Any:
            with self.part(name):
                return function(*arguments, **keys)

        return run

    def _switch(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now


def profile(config: AnyRun, device: torch.device) -> list[Part]:
    """The parts of a step of that recipe on one worker, the longest first; the last row is the whole step.

    A turn's backward pass holds the mean over shards, and the forward pass its penalties.

    Raises RecipeError, MissingError, DataError: as training does before its first step.
    """
    torch.set_num_threads(config.run.threads_per_worker)
    task = Task.of(config, Path())
    method = build(load_method(config.method.name), config.method, task.sample, config.run.seed).to(device)
    with closing(task.feed(Group(), device)) as feed:
        trainer = Trainer(config, method, feed, Group())
        for _ in range(STEPS):
            trainer.step()
        clock = _Clock(device)
        _watch(trainer, clock)
        for _ in range(STEPS):
            with clock.part("everything else"):
                trainer.step()
    whole = sum(clock.seconds.values())
    longest = sorted(clock.seconds.items(), key=lambda part: -part[1])
    parts = [_part(name, seconds, whole, clock.calls[name]) for name, seconds in longest]
    return [*parts, _part("one step", whole, whole, STEPS)]


def _part(name: str, seconds: float, whole: float, calls: int) -> Part:
    return Part(name, round(1000 * seconds / STEPS, 3), round(seconds / whole, 3), calls / STEPS)


def _watch(trainer: Trainer, clock: _Clock) -> None:
    """Put a clock around the parts of a trainer."""
    passes = trainer.passes

    class Timed(Passes):
        """The same passes; what is neither a batch nor the forward pass is the way back and the mean over shards."""

        def __call__(self, turn: Turn, step_of: Callable[[int], Step]) -> Found:
            with clock.part(f"{turn.name}: backward"):
                return super().__call__(turn, step_of)

    trainer.passes = Timed(passes.method, passes.mean, passes.precision)
    trainer.feed.batch = clock.timed("batches", trainer.feed.batch)  # type: ignore[method-assign]
    trainer.turns = tuple(replace(turn, loss=clock.timed(f"{turn.name}: forward", turn.loss)) for turn in trainer.turns)
    for name, optimizer in trainer.optimizers.items():
        optimizer.step = clock.timed(f"{name}: optimizer", optimizer.step)  # type: ignore[method-assign]
