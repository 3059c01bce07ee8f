"""How good class probabilities are. Every measure takes weights, so that a bootstrap is one call.

truth: N, numbers of classes.  probabilities: N K, rows that add up to 1.  weights: ... N, how often each sample
counts, by default once; what is returned has the shape that comes before N. A measure is NaN where it has no value:
the AUC without both classes, the precision of what is never predicted.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]
RESAMPLES = 1000
LEAST = 1e-12
"""A probability of nought would have an infinite cross-entropy."""
_CHUNK = 20_000_000


def confusion(truth: Numbers, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """... K K: samples of each class (rows) that are likeliest of each class (columns)."""
    count = probabilities.shape[1]
    cells = np.eye(count * count)[truth * count + probabilities.argmax(1)]
    return (_weights(truth, weights) @ cells).reshape(*_weights(truth, weights).shape[:-1], count, count)


def accuracy(matrix: Floats) -> Floats:
    """Share of the samples on the diagonal of a confusion matrix, ... K K."""
    return _ratio(matrix.trace(axis1=-2, axis2=-1), matrix.sum((-2, -1)))


def balanced_accuracy(matrix: Floats) -> Floats:
    """Mean recall of the classes that occur."""
    recalls = np.stack([recall(matrix, one) for one in range(matrix.shape[-1])])
    known = np.isfinite(recalls)
    return _ratio(np.where(known, recalls, 0).sum(0), known.sum(0))


def precision(matrix: Floats, positive: int) -> Floats:
    """Share of what is predicted positive that is."""
    return _ratio(matrix[..., positive, positive], matrix[..., positive].sum(-1))


def recall(matrix: Floats, positive: int) -> Floats:
    """Share of what is positive that is predicted so."""
    return _ratio(matrix[..., positive, positive], matrix[..., positive, :].sum(-1))


def f1(matrix: Floats, positive: int) -> Floats:
    """Harmonic mean of precision and recall; 0 where nothing positive is found, NaN where nothing is positive."""
    return np.where(
        matrix[..., positive, :].sum(-1) > 0,
        _ratio(2 * matrix[..., positive, positive], matrix[..., positive].sum(-1) + matrix[..., positive, :].sum(-1)),
        np.nan,
    )


def auc(truth: Numbers, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """Area under the ROC curve: how often a positive sample scores above a negative one, ties counting half.

    Of more than two classes, the mean over each, of those that occur, against the rest.

    >>> float(auc(np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]])))
    0.75
    """
    count = probabilities.shape[1]
    classes = [1] if count == 2 else range(count)
    areas = np.stack([_auc(truth == one, probabilities[:, one], _weights(truth, weights)) for one in classes])
    known = np.isfinite(areas)
    return _ratio(np.where(known, areas, 0).sum(0), known.sum(0))


def _auc(positive: NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    right, wrong = _by_score(positive, scores, weights)
    below = wrong.cumsum(-1) - wrong
    return _ratio((right * (below + wrong / 2)).sum(-1), right.sum(-1) * wrong.sum(-1))


def average_precision(truth: Numbers, probabilities: Floats, positive: int, weights: Floats | None = None) -> Floats:
    """Precision at each score of the positive class, weighted by the recall that is gained there."""
    found = _by_score(truth == positive, probabilities[:, positive], _weights(truth, weights))
    right, wrong = (part[..., ::-1] for part in found)
    hits = right.cumsum(-1)
    at = np.divide(hits, hits + wrong.cumsum(-1), out=np.zeros_like(hits), where=right > 0)
    return _ratio((at * right).sum(-1), right.sum(-1))


def brier(truth: Numbers, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """Half the mean squared distance to the truth; of two classes, the squared error of either probability."""
    errors = 0.5 * np.square(probabilities - np.eye(probabilities.shape[1])[truth]).sum(1)
    return _mean(errors, _weights(truth, weights))


def cross_entropy(truth: Numbers, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """Mean of minus the logarithm of the probability of the truth, in nats."""
    own = probabilities[np.arange(len(truth)), truth]
    return _mean(-np.log(np.maximum(own, LEAST)), _weights(truth, weights))


def calibration_error(truth: Numbers, probabilities: Floats, weights: Floats | None = None, bins: int = 10) -> Floats:
    """Expected calibration error: distance between confidence and accuracy in equal bins (Guo et al. 2017, eq. 3)."""
    weights = _weights(truth, weights)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == truth
    which = np.eye(bins)[np.minimum((confidence * bins).astype(int), bins - 1)]
    gaps = (weights * (right - confidence)) @ which
    return _ratio(np.abs(gaps).sum(-1), weights.sum(-1))


def measures(
    truth: Numbers, probabilities: Floats, classes: Mapping[int, str], weights: Floats | None = None
) -> dict[str, Floats]:
    """All of these.  classes: those of which precision, recall and F1 are wanted, by number, the positive one first."""
    matrix = confusion(truth, probabilities, weights)
    positive = next(iter(classes))
    found = {
        "auc": auc(truth, probabilities, weights),
        "average_precision": average_precision(truth, probabilities, positive, weights),
        "accuracy": accuracy(matrix),
        "balanced_accuracy": balanced_accuracy(matrix),
        "brier": brier(truth, probabilities, weights),
        "cross_entropy": cross_entropy(truth, probabilities, weights),
        "calibration_error": calibration_error(truth, probabilities, weights),
    }
    of_classes = {"precision": precision, "recall": recall, "f1": f1}
    return found | {
        f"{name}/{kind}": of(matrix, one) for one, name in classes.items() for kind, of in of_classes.items()
    }


def resamples(groups: NDArray[np.str_], count: int, seed: int) -> Floats:
    """How often each sample comes when as many groups as there are are drawn with replacement: count N."""
    names, which = np.unique(groups, return_inverse=True)
    random = np.random.Generator(np.random.Philox(key=[seed, 6]))
    return random.multinomial(len(names), np.full(len(names), 1 / len(names)), count)[:, which].astype(np.float64)


def intervals(
    truth: Numbers, probabilities: Floats, classes: Mapping[int, str], groups: NDArray[np.str_], seed: int
) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of `measures` over `RESAMPLES` draws of groups; those with no value are left out."""
    weights = resamples(groups, RESAMPLES, seed)
    parts = np.array_split(weights, max(1, weights.size // _CHUNK))
    found = [measures(truth, probabilities, classes, part) for part in parts]
    drawn = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    known = {name: values[np.isfinite(values)] for name, values in drawn.items()}
    return {
        name: (float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975)))
        for name, values in known.items()
        if len(values)
    }


def _by_score(positive: NDArray[np.bool_], scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weights of the positive and of the negative samples at each different score, rising: ... U."""
    order = np.argsort(scores, kind="stable")
    first = np.flatnonzero(np.diff(scores[order], prepend=-np.inf) > 0)
    own = (weights * positive)[..., order], (weights * ~positive)[..., order]
    return np.add.reduceat(own[0], first, axis=-1), np.add.reduceat(own[1], first, axis=-1)


def _weights(truth: Numbers, weights: Floats | None) -> Floats:
    return np.ones(len(truth)) if weights is None else weights


def _mean(values: Floats, weights: Floats) -> Floats:
    return _ratio(weights @ values, weights.sum(-1))


def _ratio(above: Floats, below: Floats) -> Floats:
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)
