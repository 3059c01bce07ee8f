"""What was said of each image is read back as it was, at every point of the run."""

from pathlib import Path

import numpy as np
import pytest

from distgan.assessment.predictions import FILE, Predictions, evaluated_at, read_predictions
from storage.errors import DataError, MissingError


def made(seed: int) -> Predictions:
    probabilities = np.random.default_rng(seed).random((4, 2))
    return Predictions(
        np.array([7, 2, 30, 4]),
        np.array(["a,1", 'b"', "b", "µ"]),
        np.array([0, 1, 1, 0]),
        probabilities,
        ("no", "yes, b"),
    )


def same(one: Predictions, other: Predictions) -> bool:
    arrays = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("rows", "groups", "truth"))
    return arrays and one.classes == other.classes and np.allclose(one.probabilities, other.probabilities, atol=1e-8)


def test_each_evaluation_is_read_back_and_the_last_by_default(tmp_path: Path) -> None:
    for images_seen in (0, 64, 128):
        made(images_seen).write(tmp_path, images_seen)
    assert evaluated_at(tmp_path) == (0, 64, 128)
    assert same(read_predictions(tmp_path), made(128))
    assert same(read_predictions(tmp_path, 64), made(64))
    assert not same(made(64), made(128))


def test_a_run_that_went_back_forgets_what_lay_beyond(tmp_path: Path) -> None:
    for images_seen in (0, 64, 128, 192):
        made(images_seen).write(tmp_path, images_seen)
    made(5).write(tmp_path, 64)
    assert evaluated_at(tmp_path) == (0, 64)
    assert same(read_predictions(tmp_path), made(5))


def test_the_file_is_the_same_whether_the_run_went_back_or_not(tmp_path: Path) -> None:
    for folder, points in (("straight", (0, 64, 128)), ("back", (0, 64, 128, 64, 128))):
        for images_seen in points:
            made(images_seen).write(tmp_path / folder, images_seen)
    assert (tmp_path / "straight" / FILE).read_bytes() == (tmp_path / "back" / FILE).read_bytes()


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    assert evaluated_at(tmp_path) == ()
    with pytest.raises(MissingError, match="classification"):
        read_predictions(tmp_path)
    made(0).write(tmp_path, 64)
    with pytest.raises(MissingError, match="evaluations at 64"):
        read_predictions(tmp_path, 0)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "images_seen,row,group,truth,p_a\n64,1,g,a\n"])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(DataError, match="no predictions"):
        read_predictions(tmp_path)
