"""One figure that says how good class probabilities are: ROC, precision and recall, calibration, and confusion."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from distgan.metrics.classification import Floats, Numbers, auc, average_precision, calibration_error, confusion

BINS = 10
MOST_LINES = 10


def diagnosis(truth: Numbers, probabilities: Floats, classes: Sequence[str], positive: int, title: str) -> Figure:
    """The four panels.  truth: N.  probabilities: N K.  positive: the class that is searched, of two classes."""
    figure = Figure(figsize=(10.0, 9.0), dpi=120, layout="constrained")
    figure.suptitle(f"{title}: {len(truth):,} images", fontsize=11)
    (roc, recall), (calibration, matrix) = figure.subplots(2, 2)
    shown = [positive] if len(classes) == 2 else range(min(len(classes), MOST_LINES))
    for one in shown:
        _curves(roc, recall, truth == one, probabilities[:, one], classes[one])
    roc.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    _named(roc, "false positives [share of the others]", "true positives [share]", "ROC")
    _named(recall, "recall [share]", "precision [share]", "precision and recall; dashed: chance")
    _calibration(calibration, truth, probabilities)
    _matrix(matrix, confusion(truth, probabilities), classes)
    return figure


def _curves(roc: Axes, recall: Axes, positive: NDArray[np.bool_], scores: Floats, name: str) -> None:
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)
    hits, alarms = positive[order].cumsum()[last], (~positive)[order].cumsum()[last]
    if not (hits[-1] and alarms[-1]):
        return
    both = positive.astype(int), np.stack([1 - scores, scores], axis=1)
    (line,) = roc.plot(
        np.append(0, alarms / alarms[-1]), np.append(0, hits / hits[-1]), label=f"{name}, area {auc(*both):.3f}"
    )
    label = f"{name}, average {average_precision(*both, 1):.3f}"
    recall.plot(hits / hits[-1], hits / (hits + alarms), color=line.get_color(), label=label)
    recall.axhline(positive.mean(), color=line.get_color(), linestyle="--", linewidth=1)


def _calibration(axis: Axes, truth: Numbers, probabilities: Floats) -> None:
    confidence, right = probabilities.max(1), probabilities.argmax(1) == truth
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(which, minlength=BINS)
    known = counts > 0
    said = np.bincount(which, confidence, BINS)[known] / counts[known]
    were = np.bincount(which, right, BINS)[known] / counts[known]
    axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axis.plot(said, were, marker="o", label=f"error {calibration_error(truth, probabilities):.3f}")
    for x, y, count in zip(said, were, counts[known], strict=True):
        axis.annotate(f"{count}", (x, y), textcoords="offset points", xytext=(4, -10), fontsize=8)
    _named(axis, "confidence [probability]", "right [share]", "calibration, with images per bin")


def _matrix(axis: Axes, matrix: Floats, classes: Sequence[str]) -> None:
    rows = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    axis.imshow(rows, vmin=0, vmax=1, cmap="Blues")
    for y, x in np.ndindex(*matrix.shape):
        axis.text(x, y, f"{matrix[y, x]:.0f}", ha="center", va="center", color="white" if rows[y, x] > 0.5 else "black")
    axis.set_xticks(range(len(classes)), classes, rotation=30, ha="right", fontsize=8)
    axis.set_yticks(range(len(classes)), classes, fontsize=8)
    axis.set_xlabel("predicted [class]")
    axis.set_ylabel("truth [class]")
    axis.set_title("confusion [images]", fontsize=10)


def _named(axis: Axes, x: str, y: str, title: str) -> None:
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(-0.02, 1.02)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.set_title(title, fontsize=10)
    if axis.get_legend_handles_labels()[1]:
        axis.legend(fontsize=8)
