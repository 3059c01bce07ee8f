"""Boxes found against boxes known: overlaps, suppression, matching and the two curves, by hand-made cases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distgan.metrics.detection import PER_IMAGE, curve, matched, overlaps, suppressed

box = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 6), st.integers(1, 6))
boxes = st.lists(box, min_size=1, max_size=6).map(np.array)


def pixels(box: np.ndarray) -> np.ndarray:
    y, x, height, width = box
    image = np.zeros((20, 20), bool)
    image[y : y + height, x : x + width] = True
    return image


@given(boxes, boxes)
def test_overlap_is_shared_pixels_over_all_pixels(ours: np.ndarray, others: np.ndarray) -> None:
    counted = [[(pixels(a) & pixels(b)).sum() / (pixels(a) | pixels(b)).sum() for b in others] for a in ours]
    assert overlaps(ours, others) == pytest.approx(np.array(counted))


@given(boxes, st.data(), st.sampled_from([0.0, 0.3, 0.5]))
def test_of_boxes_that_overlap_the_best_stays(found: np.ndarray, data: st.DataObject, most: float) -> None:
    drawn = st.lists(st.integers(0, 3), min_size=len(found), max_size=len(found))
    scores = np.array(data.draw(drawn), float)
    kept = suppressed(found, scores, most)
    assert (np.diff(scores[kept]) <= 0).all()
    between = overlaps(found[kept], found[kept])
    assert (between[~np.eye(len(kept), dtype=bool)] <= most).all()
    for lost in set(range(len(found))) - set(kept.tolist()):
        better = kept[scores[kept] >= scores[lost]]
        assert (overlaps(found[lost : lost + 1], found[better]) > most).any()


def test_a_known_box_is_found_once_and_by_the_best() -> None:
    found = np.array([[0, 0, 4, 4], [0, 1, 4, 4], [0, 0, 4, 4], [9, 9, 4, 4]])
    known = np.array([[0, 0, 4, 4], [9, 9, 4, 4]])
    images = np.array([0, 0, 1, 0])
    scores = np.array([0.6, 0.9, 0.8, 0.7])
    assert matched(found, scores, images, known, np.array([0, 0]), 0.5).tolist() == [False, True, False, True]
    assert matched(found, scores, images, known, np.array([0, 0]), 0.7).tolist() == [True, False, False, True]
    assert matched(found, scores, images, known, np.array([0, 1]), 0.5).tolist() == [False, True, False, False]


def test_each_box_takes_the_known_one_it_overlaps_most() -> None:
    found, known = np.array([[0, 0, 4, 4], [0, 3, 4, 4]]), np.array([[0, 2, 4, 4], [0, 1, 4, 4]])
    none = np.zeros(2, np.int64)
    assert matched(found, np.array([0.9, 0.8]), none, known, none, 0.3).all()


def test_precision_and_recall_by_hand() -> None:
    found = curve(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False]), known=4, images=2)
    assert found.recall == pytest.approx([1 / 4, 1 / 4, 1 / 2, 1 / 2])
    assert found.precision == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])
    assert found.wrong == pytest.approx([0, 1 / 2, 1 / 2, 1])
    assert found.average_precision == pytest.approx(1 / 4 * 1 + 1 / 4 * 2 / 3)
    assert found.sensitivities == dict(zip(PER_IMAGE, [1 / 4, 1 / 4, 1 / 2, 1 / 2, 1 / 2, 1 / 2, 1 / 2], strict=True))
    assert found.froc == pytest.approx(3 / 7)


def test_hits_of_one_score_come_together() -> None:
    right = np.array([True, False, False, True])
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        found = curve(np.array([0.5, 0.5, 0.5, 0.2])[order], right[order], known=2, images=1)
        assert (found.scores.tolist(), found.recall.tolist()) == ([0.5, 0.2], [0.5, 1.0])


def test_all_found_is_one_and_nothing_found_is_nought() -> None:
    perfect = curve(np.array([0.9, 0.8]), np.ones(2, bool), known=2, images=5)
    assert (perfect.average_precision, perfect.froc) == (1, 1)
    empty = curve(np.empty(0), np.empty(0, bool), known=2, images=5)
    assert (empty.average_precision, empty.froc) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=20), st.integers(0, 3))
def test_curves_are_shares(hits: list[tuple[int, bool]], missed: int) -> None:
    scores, right = np.array([s for s, _ in hits], float), np.array([r for _, r in hits], bool)
    found = curve(scores, right, known=int(right.sum()) + missed, images=3)
    assert 0 <= found.average_precision <= 1
    assert (np.diff(found.recall) >= 0).all()
    assert (np.diff(found.wrong) >= 0).all()
