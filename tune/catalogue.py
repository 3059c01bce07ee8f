"""What a search knows, on the disk: its recipe, and of every trial its point, its run and its result.

    search.json             the recipe, and what was decided when the search began
    warmup.json             how long a trial takes, and what it reports
    lock  stop  error.json  who runs it; the wish to stop; what ended it
    mlflow_run  figures/
    trials/0000/            the folder of a run, as `train` leaves it, and
        trial.json          the point, and the trials that were known when it was chosen
        lineage.json        population-based training: from which trial it went on, and with which values
        result.json         how it ended; without it, it goes on at the next --resume

This is the truth; what Ray keeps of an attempt is thrown away after it.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from distgan.engine.checkpoint import Checkpoints
from distgan.monitoring.tracking import read_lines
from storage.durable import write_file
from tune.space import Point

State = Literal["finished", "stopped", "failed"]
TRIAL, RESULT, LINEAGE, SEARCH, WARMUP, ERROR = (
    f"{name}.json" for name in ("trial", "result", "lineage", "search", "warmup", "error")
)


@dataclass(frozen=True)
class Result:
    """How a trial ended.  values: the last ones of the objectives, None if it failed.  images_seen: what it cost."""

    state: State
    values: tuple[float, ...] | None
    images_seen: int
    reason: str = ""


@dataclass(frozen=True)
class Reported:
    """The objectives at a point of a trial, and when they were found (Unix time)."""

    images_seen: int
    values: tuple[float, ...]
    time: float


@dataclass(frozen=True)
class Ancestor:
    """A trial went on from another one's checkpoint, at `images_seen`, with other values; it was at `left` before."""

    trial: int
    images_seen: int
    left: int
    point: Point


@dataclass(frozen=True)
class Trial:
    """One point of a search.  told: trials whose results were known when it was chosen."""

    number: int
    point: Point
    told: tuple[int, ...]
    result: Result | None
    lineage: tuple[Ancestor, ...]

    @property
    def current(self) -> Point:
        """The values it has now."""
        return self.lineage[-1].point if self.lineage else self.point


class Catalogue:
    """The folder of a search."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, number: int) -> Path:
        """The folder of a trial's run."""
        return self.folder / "trials" / f"{number:04d}"

    def trials(self) -> list[Trial]:
        """All there are, by number."""
        found = sorted(int(path.parent.name) for path in self.folder.glob(f"trials/*/{TRIAL}"))
        return [self.trial(number) for number in found]

    def trial(self, number: int) -> Trial:
        """One of them."""
        folder = self.run(number)
        noted, result = _read(folder / TRIAL), _read(folder / RESULT)
        lineage = _read(folder / LINEAGE) or []
        values = tuple(result["values"]) if result and result["values"] is not None else None
        return Trial(
            number,
            noted["point"],
            tuple(noted["told"]),
            Result(**{**result, "values": values}) if result else None,
            tuple(Ancestor(**one) for one in lineage),
        )

    def add(self, number: int, point: Point, told: Sequence[int]) -> Trial:
        """A new trial, before it is begun."""
        _write(self.run(number) / TRIAL, {"point": point, "told": list(told)})
        return Trial(number, point, tuple(told), None, ())

    def end(self, number: int, result: Result) -> None:
        """How it ended; the first word counts."""
        if not (self.run(number) / RESULT).exists():
            _write(self.run(number) / RESULT, asdict(result))

    def descend(self, number: int, ancestor: Ancestor) -> None:
        """Note that a trial goes on from another's checkpoint."""
        lineage = [*self.trial(number).lineage, ancestor]
        _write(self.run(number) / LINEAGE, [asdict(one) for one in lineage])

    def reported(self, number: int, objectives: Sequence[str]) -> list[Reported]:
        """The objectives of a trial up to its last checkpoint, by images seen; without the untrained networks."""
        folder = self.run(number)
        committed = committed_images(folder)
        metrics: dict[int, dict[str, float]] = {}
        times: dict[int, float] = {}
        for line in read_lines(folder):
            if 0 < line["images_seen"] <= committed:
                metrics.setdefault(line["images_seen"], {}).update(line.get("metrics", {}))
                times[line["images_seen"]] = line["time"]
        return [
            Reported(seen, tuple(found[name] for name in objectives), times[seen])
            for seen, found in sorted(metrics.items())
            if all(name in found for name in objectives)
        ]

    def cost(self, trial: Trial) -> int:
        """Images that a trial has been trained on; what it took over from another is not counted."""
        inherited = sum(one.images_seen - one.left for one in trial.lineage)
        return max(committed_images(self.run(trial.number)) - inherited, 0)

    def search(self) -> dict[str, Any] | None:
        """What was decided when it began."""
        found: dict[str, Any] | None = _read(self.folder / SEARCH)
        return found

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Keep what was decided."""
        _write(self.folder / SEARCH, dict(facts))

    def keep(self, name: str, facts: Mapping[str, Any]) -> None:
        """Keep a file of facts."""
        _write(self.folder / name, dict(facts))

    def read(self, name: str) -> dict[str, Any] | None:
        """A file of facts, if it is there."""
        found: dict[str, Any] | None = _read(self.folder / name)
        return found


def committed_images(folder: Path) -> int:
    """Up to where a run is safe."""
    return Checkpoints(folder / "checkpoints", keep=2).committed_images()


def finite(values: Sequence[float]) -> bool:
    """Whether all are numbers."""
    return all(map(math.isfinite, values))


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _write(path: Path, value: Any) -> None:
    write_file(path, (json.dumps(value, indent=1) + "\n").encode())
