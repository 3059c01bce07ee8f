"""What a classifier has to be better than: predictions by someone who has not looked at the images."""

import warnings
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from distgan.metrics.classification import Floats, Numbers

MOST_VALUES = 20
"""Texts of more different values name samples rather than describe them."""


def majority(train: Numbers, classes: int, count: int) -> Floats:
    """The share of each class among the training samples, for every sample: count K."""
    shares = np.bincount(train, minlength=classes) / len(train)
    return np.tile(shares, (count, 1))


def logistic(features: Floats, truth: Numbers, others: Floats, classes: int) -> Floats:
    """A logistic regression on N D features, for M D others: M K; as `majority` where there is nothing to learn."""
    from sklearn.linear_model import LogisticRegression

    known = np.unique(truth)
    if len(known) < 2 or not features.shape[1]:
        return majority(truth, classes, len(others))
    centre, scale = features.mean(0), features.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that has not quite converged is a baseline all the same
        model = LogisticRegression(max_iter=1000).fit((features - centre) / scale, truth)
    found = np.zeros((len(others), classes))
    found[:, known] = model.predict_proba((others - centre) / scale)
    return found


@dataclass(frozen=True)
class Design:
    """Metadata as numbers: N D of the training samples, M D of the others.  columns: of which they are."""

    train: Floats
    others: Floats
    columns: tuple[str, ...]


def design(train: pa.Table, others: pa.Table, truth: NDArray[np.str_], without: Collection[str]) -> Design:
    """Numbers as they are, and texts of at most `MOST_VALUES` different values as one number for each of them.

    What is unknown is the mean, or none of the values.  truth: of the training samples.  without: columns that are left
    out; so are those that are the truth by another name, and those of one value.
    """
    parts: dict[str, list[Floats]] = {}
    for name in set(train.column_names) - set(without):
        one, other = train.column(name), others.column(name)
        texts = np.asarray([str(value) for value in one.to_pylist()])
        values = np.unique(texts)
        pairs = len({*zip(texts.tolist(), truth.tolist(), strict=True)})
        if len(values) < 2 or pairs == len(values) <= len(np.unique(truth)):
            continue
        if pa.types.is_integer(one.type) or pa.types.is_floating(one.type):
            mean = float(np.nanmean(_numbers(one)))
            parts[name] = [np.nan_to_num(_numbers(column), nan=mean)[:, None] for column in (one, other)]
        elif len(values) <= MOST_VALUES:
            also = np.asarray([str(value) for value in other.to_pylist()])
            parts[name] = [(part[:, None] == values).astype(np.float64) for part in (texts, also)]
    names = sorted(parts)
    sides = [
        [np.empty((len(table), 0)), *(parts[name][side] for name in names)]
        for side, table in enumerate((train, others))
    ]
    return Design(np.hstack(sides[0]), np.hstack(sides[1]), tuple(names))


def _numbers(column: pa.ChunkedArray) -> Floats:
    return np.asarray([np.nan if value is None else float(value) for value in column.to_pylist()])
