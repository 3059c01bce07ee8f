"""What the workers of a run are doing now, by the small files that each keeps in the run's folder."""

import contextlib
import json
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cluster.hangs import STANDING, Standing, standing
from distgan.monitoring.pulse import PULSES, last_pulse

SILENT_SECONDS = 15.0
"""Each tells about once a second; who is silent for longer is suspended, cut off, or dead."""
LOOK_EVERY_SECONDS = 0.9
STRAGGLES = 1.5
"""A straggler computes so many times as long as the others, who wait for it meanwhile."""
BUSY_ENOUGH = 0.3


@dataclass(frozen=True)
class WorkerNow:
    """One worker.  silent_seconds: since it last said so.  straggles: the others wait for it, step by step."""

    rank: int
    node: str
    pid: int
    images_seen: int
    silent_seconds: float
    standing: Standing
    straggles: bool

    @property
    def what(self) -> str:
        """What it does, in words."""
        if self.silent_seconds > SILENT_SECONDS:
            return f"silent for {self.silent_seconds:.0f} s; before that: {self.standing.what}"
        return self.standing.what + (" (the others wait for it: a straggler)" if self.straggles else "")

    def row(self) -> dict[str, Any]:
        """For a table, and as JSON."""
        gpu = {name.removeprefix("system/gpu_"): value for name, value in self.standing.gpu.items()}
        own = {name: value for name, value in asdict(self).items() if name in ("rank", "node", "pid", "images_seen")}
        return own | {"busy": round(self.standing.busy, 2), "what": self.what, "gpu": gpu}


def workers(folder: Path) -> list[WorkerNow]:
    """The workers of the run in this folder, by rank; none where nobody trains it, or before they told anything."""
    told: dict[int, tuple[Standing, float]] = {}
    for path in (folder / PULSES).glob(f"*{STANDING}"):
        rank = int(path.name.removesuffix(STANDING))
        with contextlib.suppress(OSError, ValueError):  # it ends at this moment
            told[rank] = standing(folder, rank), max(0.0, time.time() - path.stat().st_mtime)
    found = []
    for rank, (one, silent) in sorted(told.items()):
        others = [other.busy for number, (other, _) in told.items() if number != rank]
        slow = bool(others) and one.busy > max(BUSY_ENOUGH, STRAGGLES * statistics.median(others))
        with contextlib.suppress(OSError, json.JSONDecodeError):
            pulse: dict[str, Any] = {"node": "", "pid": 0, "images_seen": 0} | last_pulse(folder, rank)
            found.append(WorkerNow(rank, pulse["node"], pulse["pid"], pulse["images_seen"], silent, one, slow))
    return found


class Crew:
    """All workers of a run, for its driver, who may ask often: it looks at most for a fiftieth of the time.

    images_seen: as the slowest told.  chore: what the first does outside the steps; nothing while it trains.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images_seen, self.chore = 0, ""
        self.told: set[int] = set()
        self.next_look = 0.0

    def look(self) -> list[str]:
        """See where they are.  Returns stragglers not yet named, a sentence each."""
        began = time.monotonic()
        if began < self.next_look:
            return []
        found = workers(self.folder)
        self.images_seen = min((one.images_seen for one in found), default=0)
        self.chore = found[0].standing.chore if found else ""
        slow = [one for one in found if one.straggles and one.rank not in self.told]
        self.told |= {one.rank for one in slow}
        self.next_look = time.monotonic() + max(LOOK_EVERY_SECONDS, 50 * (time.monotonic() - began))
        return [
            f"worker {one.rank} on {one.node} (process {one.pid}) is slow: it computes "
            f"{one.standing.busy:.0%} of the time, and the others wait for it"
            for one in slow
        ]
