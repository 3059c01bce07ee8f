"""What a run tells the world: numbers, figures, files. Nothing here knows to whom.

`JsonlTracker` writes to the run's folder and is the record of the run. Its lines are durable at each
checkpoint, and what lies beyond the checkpoint a run resumes from is cut off: no ghosts.
"""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from matplotlib.figure import Figure

from distgan.monitoring.follower import Follower
from storage.durable import sync, write_file

LINES = "metrics.jsonl"
PARAMS, RECIPE = "params.json", "recipe.json"


class Tracker(Protocol):
    """Where numbers go. `images_seen` is the abscissa of everything."""

    def params(self, values: Mapping[str, Any]) -> None:
        """The settings of the run, by dotted key."""
        ...

    def metrics(self, values: Mapping[str, float], images_seen: int) -> None:
        """Named numbers at a point of the run."""
        ...

    def figure(self, name: str, figure: Figure, images_seen: int) -> None:
        """A picture at a point of the run."""
        ...

    def artifact(self, path: Path) -> None:
        """A file worth keeping with the run."""
        ...


class JsonlTracker:
    """One JSON object per line in `folder`/metrics.jsonl, with the Unix time; figures and files beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / LINES
        folder.mkdir(parents=True, exist_ok=True)
        self.path.touch()

    def params(self, values: Mapping[str, Any]) -> None:
        """Write params.json."""
        write_file(self.folder / PARAMS, json.dumps(dict(values), indent=1).encode())

    def metrics(self, values: Mapping[str, float], images_seen: int) -> None:
        """Append a line."""
        self._append({"images_seen": images_seen, "metrics": dict(values)})

    def figure(self, name: str, figure: Figure, images_seen: int) -> None:
        """Save a PNG below figures/ and append a line that names it."""
        place = self.folder / "figures" / f"{name}-{images_seen:012d}.png"
        place.parent.mkdir(exist_ok=True)
        figure.savefig(place)
        self._append({"images_seen": images_seen, "artifact": place.relative_to(self.folder).as_posix()})

    def artifact(self, path: Path) -> None:
        """Append a line that names a file of the folder."""
        self._append({"images_seen": 0, "artifact": path.relative_to(self.folder).as_posix()})

    def flush(self) -> None:
        """Wait until everything said so far is on the disk."""
        for path in (self.path, *(self.folder / "figures").glob("*.png")):
            sync(path)

    def rewind(self, images_seen: int) -> None:
        """Forget what was said beyond this point of the run."""
        kept = [line for line in read_lines(self.folder) if line["images_seen"] <= images_seen]
        write_file(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())

    def _append(self, line: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**line, "time": time.time()}) + "\n")


class Latest:
    """Where a run is by its lines, read as they come: each line once, and all again after a rewind."""

    def __init__(self, folder: Path) -> None:
        self.follower = Follower(folder / LINES)
        self.images_seen = 0
        self.metrics: dict[str, float] = {}

    def read(self) -> tuple[int, dict[str, float]]:
        """The images seen, and the last value of every metric."""
        anew, lines = self.follower.read()
        if anew:
            self.images_seen, self.metrics = 0, {}
        for said in map(json.loads, lines):
            self.images_seen = max(self.images_seen, said["images_seen"])
            self.metrics |= said.get("metrics", {})
        return self.images_seen, dict(self.metrics)


def final_metrics(folder: Path) -> dict[str, float]:
    """The last value of every metric of a run."""
    return Latest(folder).read()[1]


def metrics_at(folder: Path, images_seen: int) -> dict[str, float]:
    """The last value of every metric of a run up to that point of it."""
    found: dict[str, float] = {}
    for line in read_lines(folder):
        if line["images_seen"] <= images_seen:
            found |= line.get("metrics", {})
    return found


def read_lines(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of a run's folder in order; a last line that is still being written is left out."""
    path = folder / LINES
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)
