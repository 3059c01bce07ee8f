"""Planted copies are found, whichever way they are turned; honest samples are not accused."""

import numpy as np
import pytest
from numpy.typing import NDArray

from distgan.metrics.memorisation import memorisation, nearest, orientations, oriented

Images = NDArray[np.float64]


def images(count: int, seed: int) -> Images:
    return np.random.default_rng(seed).normal(size=(count, 2, 8, 8))


def distances(queries: Images, training: Images) -> NDArray[np.float64]:
    turned = [oriented(queries, one).reshape(len(queries), -1) for one in orientations(8, 8)]
    return nearest(turned, training.reshape(len(training), -1)).distances


def test_honest_samples_lie_as_held_out_ones_do() -> None:
    training = images(300, 0)
    found = memorisation(distances(images(200, 1), training), distances(images(200, 2), training))
    assert found.share < 0.05
    assert found.p > 0.01
    assert found.ratio == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("orientation", orientations(8, 8))
def test_copies_are_found_turned_and_mirrored(orientation: tuple[int, bool]) -> None:
    training = images(300, 0)
    made = images(100, 1)
    made[:20] = oriented(training[:20], orientation) + 0.01 * images(20, 3)
    found = memorisation(distances(made, training), distances(images(200, 2), training))
    assert found.share >= 0.2
    assert found.p < 1e-8


def test_the_nearest_is_named_with_the_orientation_that_brings_it_there() -> None:
    training = images(50, 0)
    turns = orientations(8, 8)
    made = oriented(training[[7, 3]], (1, True))
    found = nearest([oriented(made, one).reshape(2, -1) for one in turns], training.reshape(50, -1))
    assert found.rows.tolist() == [7, 3]
    assert found.distances == pytest.approx(0, abs=1e-6)
    for image, row, place in zip(made, found.rows, found.orientations, strict=True):
        assert np.array_equal(oriented(image[None], turns[place])[0], training[row])


def test_the_eight_orientations_of_a_square_differ_and_four_keep_another_rectangle() -> None:
    square = images(1, 0)
    assert len({oriented(square, one).tobytes() for one in orientations(8, 8)}) == 8
    assert {oriented(square[:, :, :6], one).shape for one in orientations(6, 8)} == {(1, 2, 6, 8)}
    assert len(orientations(6, 8)) == 4


def test_a_training_image_is_not_its_own_neighbour() -> None:
    training = np.array([[0.0], [1.0], [5.0]])
    found = nearest([training[[0, 2]]], training, np.array([0, 2]))
    assert found.distances.tolist() == [1, 4]
    assert found.rows.tolist() == [1, 1]


def test_p_is_uniform_where_nothing_is_copied() -> None:
    random = np.random.default_rng(0)
    found = [memorisation(random.normal(size=400), random.normal(size=300)).p for _ in range(400)]
    assert np.mean(np.array(found) < 0.05) < 0.08
    assert np.mean(np.array(found) < 0.5) > 0.3
