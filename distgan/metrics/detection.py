"""Boxes found against boxes known. Pure functions of arrays; a box is y, x, height, width in pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.int64]
"""N 4: y and x of the upper left corner, height and width."""
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
PER_IMAGE = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
"""False hits per image at which sensitivity is read off (Setio et al. 2017)."""


def overlaps(ours: Boxes, others: Boxes) -> Floats:
    """Intersection over union of each of N boxes with each of M; N M, 0 to 1.

    >>> overlaps(np.array([[0, 0, 2, 2]]), np.array([[0, 1, 2, 2], [5, 5, 1, 1]])).round(3).tolist()
    [[0.333, 0.0]]
    """
    first = np.maximum(ours[:, None, :2], others[None, :, :2])
    last = np.minimum((ours[:, :2] + ours[:, 2:])[:, None], (others[:, :2] + others[:, 2:])[None])
    shared = np.clip(last - first, 0, None).prod(2)
    areas = ours[:, 2:].prod(1)[:, None] + others[:, 2:].prod(1)[None] - shared
    return np.asarray(shared / areas, np.float64)


def suppressed(boxes: Boxes, scores: Floats, most: float) -> Integers:
    """Rows of the boxes that stay when each may overlap a better one by `most` at the utmost; the best first.

    Non-maximum suppression; of equal scores the first box is the better one.

    >>> suppressed(np.array([[0, 0, 4, 4], [0, 1, 4, 4], [9, 9, 4, 4]]), np.array([0.8, 0.9, 0.7]), 0.3).tolist()
    [1, 2]
    """
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        order = order[overlaps(boxes[best : best + 1], boxes[order])[0] <= most]
    return np.asarray(kept, np.int64)


def matched(
    boxes: Boxes, scores: Floats, images: Integers, known: Boxes, known_images: Integers, least: float
) -> NDArray[np.bool_]:
    """Which of N boxes found are right: the best first, each takes the known box that it overlaps most, if by `least`.

    images: of each box.  A known box is taken once; what else lies on it is wrong.
    """
    right = np.zeros(len(boxes), bool)
    rows_of: dict[int, list[int]] = {}
    for row, image in enumerate(known_images.tolist()):
        rows_of.setdefault(image, []).append(row)
    for one in np.argsort(-scores, kind="stable").tolist():
        left = rows_of.get(int(images[one]), [])
        if not left:
            continue
        found = overlaps(boxes[one : one + 1], known[left])[0]
        if found.max() >= least:
            left.pop(int(found.argmax()))
            right[one] = True
    return right


@dataclass(frozen=True)
class Curve:
    """What is found as ever lower scores are let in: one entry per different score, the highest first.

    recall: share of the known boxes that are found (sensitivity).  precision: share of the hits that are right.
    wrong: false hits per image.  images: how many were looked at.  known: boxes in them.
    """

    scores: Floats
    recall: Floats
    precision: Floats
    wrong: Floats
    images: int
    known: int

    @property
    def average_precision(self) -> float:
        """Area below precision against recall, precision being the best at that recall or a higher one
        (Everingham et al. 2015, all points).
        """
        best = np.maximum.accumulate(self.precision[::-1])[::-1]
        return float((np.diff(self.recall, prepend=0) * best).sum())

    @property
    def sensitivities(self) -> dict[float, float]:
        """Free-response ROC: the sensitivity at each of PER_IMAGE, the highest that costs no more false hits."""
        reached = np.searchsorted(self.wrong, PER_IMAGE, side="right")
        highest = np.append(0.0, self.recall)
        return {one: float(highest[at]) for one, at in zip(PER_IMAGE, reached.tolist(), strict=True)}

    @property
    def froc(self) -> float:
        """Mean of the sensitivities."""
        return float(np.mean(list(self.sensitivities.values())))


def curve(scores: Floats, right: NDArray[np.bool_], known: int, images: int) -> Curve:
    """Precision, recall and false hits.  scores, right: of each hit.  known: boxes there are.  images: looked at.

    Hits of one score come together: their order says nothing.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, len(order) > 0))
    found, told = np.cumsum(right[order])[ends], ends + 1
    return Curve(
        scores[order][ends], found / max(known, 1), found / told, (told - found) / max(images, 1), images, known
    )
