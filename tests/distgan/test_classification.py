"""Measures of class probabilities against scikit-learn's, and what an interval over groups has to say."""

import numpy as np
import pytest
from sklearn import metrics as oracle

from distgan.metrics import classification
from distgan.metrics.classification import (
    accuracy,
    auc,
    average_precision,
    balanced_accuracy,
    brier,
    calibration_error,
    confusion,
    cross_entropy,
    f1,
    intervals,
    measures,
    precision,
    recall,
    resamples,
)

TRUTH = np.array([0, 0, 1, 1, 0, 1])
SCORES = np.array([0.1, 0.4, 0.35, 0.8, 0.35, 0.9])
BOTH = np.stack([1 - SCORES, SCORES], axis=1)


def predictions(classes: int, count: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """With many ties."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, count)
    scores = random.integers(1, 12, (count, classes)) + 3.0 * np.eye(classes)[truth]
    return truth, scores / scores.sum(1, keepdims=True)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [2, 4])
def test_measures_are_scikit_learn_s(classes: int, weighted: bool) -> None:
    truth, probabilities = predictions(classes)
    weights = np.random.default_rng(1).integers(0, 3, len(truth)).astype(float) if weighted else np.ones(len(truth))
    found = measures(truth, probabilities, {1: "rosette"}, weights if weighted else None)
    predicted, hot = probabilities.argmax(1), np.eye(classes)[truth]
    kept = {"sample_weight": weights}
    area = (
        oracle.roc_auc_score(truth, probabilities[:, 1], **kept)
        if classes == 2
        else oracle.roc_auc_score(hot, probabilities, average="macro", **kept)
    )
    wanted = {
        "auc": area,
        "average_precision": oracle.average_precision_score(hot[:, 1], probabilities[:, 1], **kept),
        "accuracy": oracle.accuracy_score(truth, predicted, **kept),
        "balanced_accuracy": oracle.balanced_accuracy_score(truth, predicted, **kept),
        "brier": np.average(np.square(probabilities - hot).sum(1) / 2, weights=weights),
        "cross_entropy": oracle.log_loss(truth, probabilities, **kept),
        "rosette/precision": oracle.precision_score(truth == 1, predicted == 1, **kept),
        "rosette/recall": oracle.recall_score(truth == 1, predicted == 1, **kept),
        "rosette/f1": oracle.f1_score(truth == 1, predicted == 1, **kept),
    }
    assert {name: float(found[name]) for name in wanted} == pytest.approx(wanted, abs=1e-12)


def test_precision_and_recall_are_of_the_class_that_is_named() -> None:
    """The published code told those of the other class."""
    matrix = confusion(TRUTH, BOTH)
    assert matrix.tolist() == [[3, 0], [1, 2]]
    assert [float(of(matrix, 1)) for of in (precision, recall, f1)] == pytest.approx([1, 2 / 3, 0.8])
    assert [float(of(matrix, 0)) for of in (precision, recall, f1)] == pytest.approx([0.75, 1, 6 / 7])


def test_a_class_that_is_never_predicted_has_no_precision_and_one_that_never_occurs_no_recall() -> None:
    never = confusion(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]))
    assert np.isnan(precision(never, 1))
    assert (float(recall(never, 1)), float(f1(never, 1)), float(balanced_accuracy(never))) == (0, 0, 0.5)
    absent = confusion(np.array([0, 0]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    assert np.isnan(recall(absent, 1))
    assert np.isnan(f1(absent, 1))
    assert float(balanced_accuracy(absent)) == float(accuracy(absent)) == 0.5
    assert np.isnan(auc(np.array([0, 0]), BOTH[:2]))
    assert np.isnan(average_precision(np.array([0, 0]), BOTH[:2], 1))


def test_the_area_of_many_classes_is_over_those_that_occur() -> None:
    truth, probabilities = predictions(3)
    two = truth < 2
    each = [oracle.roc_auc_score(truth[two] == one, probabilities[two, one]) for one in (0, 1)]
    assert float(auc(truth[two], probabilities[two])) == pytest.approx(np.mean(each))


def test_ties_count_half_and_constant_scores_are_chance() -> None:
    same = np.full((6, 2), 0.5)
    assert float(auc(TRUTH, same)) == 0.5
    assert float(average_precision(TRUTH, same, 1)) == 0.5
    assert float(auc(TRUTH, BOTH)) == pytest.approx(7.5 / 9)


def test_certain_errors_are_finite_and_calibration_is_the_gap_of_each_bin() -> None:
    certain = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert float(cross_entropy(np.array([0, 1]), certain)) == pytest.approx(-np.log(1e-12) / 2)
    assert float(calibration_error(np.array([0, 1]), certain)) == 0.5
    assert float(brier(np.array([0, 1]), certain)) == 0.5
    four = np.array([[0.95, 0.05], [0.95, 0.05], [0.35, 0.65], [0.35, 0.65]])
    assert float(calibration_error(np.array([0, 0, 0, 1]), four)) == pytest.approx(0.5 * 0.05 + 0.5 * 0.15)


def test_a_resample_is_the_same_as_repeating_samples() -> None:
    truth, probabilities = predictions(3)
    weights = resamples(np.arange(len(truth)).astype(str), 5, seed=0)
    found = measures(truth, probabilities, {0: "a"}, weights)
    for one, times in enumerate(weights.astype(int)):
        again = measures(truth.repeat(times), probabilities.repeat(times, axis=0), {0: "a"})
        assert {k: float(v[one]) for k, v in found.items()} == pytest.approx({k: float(v) for k, v in again.items()})


def test_groups_are_drawn_whole() -> None:
    groups = np.array(["a", "b", "a", "c", "b", "a"])
    weights = resamples(groups, 300, seed=0)
    assert np.array_equal(weights[:, 0], weights[:, 2])
    assert np.array_equal(weights[:, 0], weights[:, 5])
    assert (weights[:, 0] + weights[:, 1] + weights[:, 3] == 3).all()
    assert weights.mean(0) == pytest.approx(1, abs=0.2)


def test_samples_of_few_groups_have_wider_intervals_than_as_many_of_their_own() -> None:
    """Ten embryos of twenty images each are not two hundred embryos."""
    random = np.random.default_rng(0)
    groups = np.arange(200) // 20
    truth = groups % 2
    scores = 1 / (1 + np.exp(-(truth + random.normal(0, 1.5, 10)[groups])))
    both = np.stack([1 - scores, scores], axis=1)

    def width(names: np.ndarray) -> float:
        low, high = intervals(truth, both, {1: "x"}, names.astype(str), seed=0)["auc"]
        assert low < float(auc(truth, both)) < high or high - low == 0
        return high - low

    assert width(groups) > 2 * width(np.arange(200)) > 0


def test_an_interval_does_not_depend_on_how_much_is_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, probabilities = predictions(2, 50)
    groups = (np.arange(50) // 5).astype(str)
    whole = intervals(truth, probabilities, {1: "x"}, groups, seed=0)
    monkeypatch.setattr(classification, "_CHUNK", 500)
    assert intervals(truth, probabilities, {1: "x"}, groups, seed=0) == whole
    assert intervals(truth, probabilities, {1: "x"}, groups, seed=1) != whole


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Accuracy 0.7 of 60 independent samples."""
    hits = 0
    for seed in range(60):
        right = np.random.default_rng(seed).random(60) < 0.7
        both = np.where(right[:, None], [[0.9, 0.1]], [[0.1, 0.9]])
        found = intervals(np.zeros(60, np.int64), both, {1: "x"}, np.arange(60).astype(str), seed)
        low, high = found["accuracy"]
        assert "auc" not in found  # it has no value
        hits += low <= 0.7 <= high
    assert hits >= 50
