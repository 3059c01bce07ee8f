"""A worker that hangs while its process lives: found by a thread beside the training, named, and ended.

Ray asks the process, not the training, whether it is well; and whoever waits for it in a collective waits until that
times out. So each worker tells in the run's folder where it is. When nobody has moved for long and nobody is
at something that may take long, the one with the fewest moves is the one that the others wait for. It ends itself, and
Ray begins the group again.
"""

import contextlib
import json
import math
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from distgan.engine.distributed import Group
from distgan.monitoring.gpu import gpu_of
from distgan.monitoring.pulse import PULSES, last_pulse

HANGS_SECONDS = 45.0
"""A worker may pause for half a minute; then it hangs, and is named within a minute."""
TIMES_THE_SLOWEST = 3
LOOK_EVERY_SECONDS = 1.0
FRAMES = 4
BUSY_SECONDS = 60.0
STANDING = "-standing.json"
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Standing:
    """Where a worker is.  overdue: it should have moved by now, and is at nothing that may take long.

    what: the same in words.  chore: that alone which is no step.  busy: share of the last minute, 0 to 1, in which it
    computed a step and did not wait.
    gpu: figures of its device, by name.
    """

    moves: int
    overdue: bool
    what: str = ""
    chore: str = ""
    busy: float = 0.0
    gpu: dict[str, float] = field(default_factory=dict)


class HangWatch:
    """One worker's. Time counts only while this process runs, so that one that was suspended does not hang."""

    def __init__(self, folder: Path, group: Group, device: torch.device = CPU) -> None:
        self.folder = folder / PULSES
        self.group = group
        self.gpu = gpu_of(device)
        self.busy = 0.0
        self.moves = -1
        self.still = self.slowest = 0.0
        self.waited = False
        self._tell(Standing(0, overdue=False))  # what an attempt before has left says nothing of this one

    def look(self, seconds: float) -> bool:
        """Whether all wait for this worker.  seconds: since the last look."""
        activity = self.group.activity
        waits, hurried, moves = activity.waits, activity.hurried, activity.moves
        if moves == self.moves and (waits or hurried):
            self.still += seconds
        else:
            if not self.waited:
                self.slowest = max(self.slowest, self.still)
            self.still, self.moves = 0.0, moves
        self.waited = waits
        overdue = self.still >= max(HANGS_SECONDS, TIMES_THE_SLOWEST * self.slowest)
        self.busy += ((hurried and not waits) - self.busy) * -math.expm1(-seconds / BUSY_SECONDS)
        what = f"has not moved for {self.still:.0f} s: {activity.what}" if overdue else activity.what
        self._tell(Standing(moves, overdue, what, activity.chore, self.busy, self.gpu.metrics()))
        return overdue and self._is_the_last()

    def end(self) -> None:
        """Say nothing more: the training of this worker has ended."""
        self._place(self.group.rank).unlink(missing_ok=True)

    def _is_the_last(self) -> bool:
        """All should have moved, and this one, or the first of several, has the fewest moves."""
        everyone = [standing(self.folder.parent, rank) for rank in range(self.group.size)]
        if not all(one.overdue for one in everyone):
            return False
        return min(range(self.group.size), key=lambda rank: everyone[rank].moves) == self.group.rank

    def _tell(self, standing: Standing) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self._place(self.group.rank).with_suffix(".partial")
        partial.write_text(json.dumps(asdict(standing)), encoding="utf-8")
        partial.replace(self._place(self.group.rank))

    def _place(self, rank: int) -> Path:
        return self.folder / f"{rank}{STANDING}"


def standing(folder: Path, rank: int) -> Standing:
    """What the worker of a rank last told of itself in the folder of its run."""
    return Standing(**json.loads((folder / PULSES / f"{rank}{STANDING}").read_text(encoding="utf-8")))


@contextlib.contextmanager
def hangs_ended(folder: Path, group: Group, device: torch.device = CPU) -> Iterator[None]:
    """End this process if its thread hangs in the block and all others wait for it.  device: on which it trains."""
    watch, over, trains = HangWatch(folder, group, device), threading.Event(), threading.get_ident()
    thread = threading.Thread(target=_watch, args=(watch, over, lambda: _end(folder, group, trains)), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        watch.end()


def _watch(watch: HangWatch, over: threading.Event, end: Callable[[], None]) -> None:
    while not over.wait(LOOK_EVERY_SECONDS):
        with contextlib.suppress(OSError):  # a disk that is full or away is no reason to end anybody
            if watch.look(LOOK_EVERY_SECONDS):
                end()


def _end(folder: Path, group: Group, trains: int) -> None:
    """Leave word of where the training was, and die as a lost process does."""
    said = last_pulse(folder, group.rank) | {"how": f"{_what_it_was_at(group, trains)} and was ended"}
    place = folder / PULSES / f"{group.rank}.json"
    partial = place.with_suffix(".partial")
    partial.write_text(json.dumps(said), encoding="utf-8")
    partial.replace(place)
    os.kill(os.getpid(), signal.SIGKILL)


def _what_it_was_at(group: Group, trains: int) -> str:
    """Of the thread of this number: `hung in fit (trainer.py:67), step (...), get (...)`."""
    frames = traceback.extract_stack(sys._current_frames()[trains])[-FRAMES:]
    places = ", ".join(f"{frame.name} ({Path(frame.filename).name}:{frame.lineno})" for frame in frames)
    if group.activity.waits:
        return f"waited with all others for what never came, in {places},"
    return f"hung in {places}"
