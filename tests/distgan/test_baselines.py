"""Those who have not looked at the images know what they can, and nothing else."""

import numpy as np
import pyarrow as pa

from distgan.metrics.baselines import design, logistic, majority


def test_the_majority_is_as_frequent_as_in_training() -> None:
    assert majority(np.array([0, 0, 0, 2]), 3, 2).tolist() == [[0.75, 0, 0.25]] * 2


def test_a_regression_learns_what_is_there_and_tells_of_classes_it_has_not_met() -> None:
    random = np.random.default_rng(0)
    features = random.normal(0, 1, (300, 2)) * [1, 1000]
    truth = 2 * (features[:, 0] > 0).astype(np.int64)
    found = logistic(features[:200], truth[:200], features[200:], 3)
    assert found.shape == (100, 3)
    assert (found[:, 1] == 0).all()
    assert (found.argmax(1) == truth[200:]).mean() > 0.9


def test_where_there_is_nothing_to_learn_it_is_the_majority() -> None:
    truth = np.array([0, 1, 1])
    assert np.array_equal(logistic(np.empty((3, 0)), truth, np.empty((2, 0)), 2), majority(truth, 2, 2))
    assert np.array_equal(logistic(np.ones((2, 1)), np.array([1, 1]), np.ones((2, 1)), 2), [[0, 1], [0, 1]])


def test_a_column_without_spread_does_no_harm() -> None:
    features = np.array([[0.0, 5.0], [1.0, 5.0]] * 10)
    assert logistic(features, np.array([0, 1] * 10), features, 2).argmax(1).tolist() == [0, 1] * 10


def test_metadata_become_numbers_but_for_names_of_samples_and_other_names_of_the_truth() -> None:
    truth = np.array(["no", "yes"] * 20)
    train = pa.table(
        {
            "time": [None, *range(39)],
            "plate": ["p", "q", "r", None] * 10,
            "file": [f"{number}.png" for number in range(40)],
            "copy": ["0", "1"] * 20,
            "number": [0, 1] * 20,
            "same": ["x"] * 40,
            "group": ["g", "h", "i", "j"] * 10,
        }
    )
    others = pa.table({name: train.column(name).slice(0, 2) for name in train.column_names if name != "plate"})
    others = others.append_column("plate", pa.array(["q", "new"]))
    found = design(train, others, truth, {"group"})
    assert found.columns == ("plate", "time")
    assert found.train.shape == (40, 5)  # p q r None, and the time
    assert found.others.tolist() == [[0, 0, 1, 0, 19], [0, 0, 0, 0, 0]]  # None comes first: it is a capital


def test_no_metadata_are_no_columns() -> None:
    table = pa.table({"label": ["a", "b"]})
    found = design(table, table, np.array(["a", "b"]), {"label"})
    assert (found.train.shape, found.others.shape, found.columns) == ((2, 0), (2, 0), ())
