"""Signs of life of the workers, and the wish to stop: small files in the folder of a run.

Every worker looks at the same steps, about twice a second however long a step takes: it writes
pulses/RANK.json, and the first rank decides for all whether to stop and when to look again.
"""

import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import torch

from distgan.engine.distributed import Group

STOP = "stop"
PULSES = "pulses"
LOOK_EVERY_SECONDS = 0.5
MOST_STEPS = 1 << 20


class Pulse:
    """One worker's. It costs one broadcast of one number per look."""

    def __init__(self, folder: Path, group: Group, device: torch.device) -> None:
        self.folder = folder
        self.group = group
        self.device = device
        self.next_look = 0
        self.looked: tuple[int, float] | None = None

    def asked_to_stop(self, step: int, images_seen: int) -> bool:
        """Whether somebody wrote the file `stop`; the same answer on every rank, at the same step.

        Call it after every step, with the number of steps done.
        """
        if step < self.next_look:
            return False
        self.beat(images_seen)
        wait = 0 if (self.folder / STOP).exists() else self._steps_until_next(step)
        wait = int(self.group.first_decides(torch.tensor(wait, device=self.device)).item())
        self.next_look = step + wait
        return wait == 0

    def beat(self, images_seen: int) -> None:
        """Tell where this worker is, and how far."""
        place = self.folder / PULSES / f"{self.group.rank}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_suffix(".partial")
        partial.write_text(json.dumps({"node": platform.node(), "pid": os.getpid(), "images_seen": images_seen}))
        partial.replace(place)

    def end(self) -> None:
        """Take this worker's sign of life away: it has finished."""
        (self.folder / PULSES / f"{self.group.rank}.json").unlink(missing_ok=True)

    def _steps_until_next(self, step: int) -> int:
        """By how long the steps since the last look took."""
        now, before = time.monotonic(), self.looked
        self.looked = step, now
        if before is None or step <= before[0]:
            return 1
        seconds = (now - before[1]) / (step - before[0])
        return max(1, min(int(LOOK_EVERY_SECONDS / max(seconds, 1e-6)), MOST_STEPS, 2 * (step - before[0])))


def last_pulse(folder: Path, rank: int) -> dict[str, Any]:
    """What the worker of a rank last told: node, pid, images_seen; or nothing at all."""
    place = folder / PULSES / f"{rank}.json"
    return json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
