"""What a classifier said of each held-out image along a run: `predictions.csv` in the folder of the run.

One line per image and evaluation: images_seen, row (of the patch store), group, truth, and the probability of each
class in a column p_CLASS. A run that went back to a checkpoint forgets what lay beyond when it next evaluates.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storage.durable import write_file
from storage.errors import DataError, MissingError

FILE = "predictions.csv"
KNOWN = ["images_seen", "row", "group", "truth"]


@dataclass(frozen=True)
class Predictions:
    """Of N images.  rows: of the store.  truth: numbers of classes.  probabilities: N K.  classes: their names."""

    rows: NDArray[np.int64]
    groups: NDArray[np.str_]
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    classes: tuple[str, ...]

    def write(self, folder: Path, images_seen: int) -> None:
        """Add them to the file, in one step, in the place of those made later or at the same point."""
        path = folder / FILE
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*KNOWN, *(f"p_{name}" for name in self.classes)])
        writer.writerows(line for line in _lines(path)[1:] if int(line[0]) < images_seen)
        for row, group, truth, each in zip(
            self.rows.tolist(), self.groups.tolist(), self.truth.tolist(), self.probabilities.tolist(), strict=True
        ):
            writer.writerow([images_seen, row, group, self.classes[truth], *(f"{value:.9g}" for value in each)])
        write_file(path, text.getvalue().encode())


def evaluated_at(folder: Path) -> tuple[int, ...]:
    """The points of a run at which predictions were made, rising; none if it makes none."""
    return tuple(sorted({int(line[0]) for line in _lines(folder / FILE)[1:]}))


def read_predictions(folder: Path, images_seen: int | None = None) -> Predictions:
    """Those of the last evaluation, or of the one at `images_seen`.

    Raises MissingError: there are none.  Raises DataError: the file is not one of ours.
    """
    path = folder / FILE
    points = evaluated_at(folder)
    wanted = images_seen if images_seen is not None else (points[-1] if points else None)
    if wanted not in points:
        raise MissingError(
            f"there are no predictions at {path}",
            f"evaluations at {', '.join(map(str, points)) or 'no point'} of the run",
            'Set evaluate.metrics = ["classification"], and hold out some samples',
        )
    header, *lines = _lines(path)
    own = [line for line in lines if int(line[0]) == wanted]
    return _parsed(tuple(name.removeprefix("p_") for name in header[len(KNOWN) :]), own)


def _parsed(classes: tuple[str, ...], lines: Sequence[Sequence[str]]) -> Predictions:
    return Predictions(
        np.asarray([int(line[1]) for line in lines], np.int64),
        np.asarray([line[2] for line in lines], np.str_),
        np.asarray([classes.index(line[3]) for line in lines], np.int64),
        np.asarray([[float(value) for value in line[4:]] for line in lines]),
        classes,
    )


def _lines(path: Path) -> list[list[str]]:
    if not path.exists():
        return [[]]
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    if not lines or lines[0][: len(KNOWN)] != KNOWN or any(len(line) != len(lines[0]) for line in lines):
        raise DataError(f"{path} holds no predictions", "another header, or lines of other lengths", "Remove it")
    return lines
