"""Real or made, how many different ones, and a parametric model of cells."""

import numpy as np
import pytest

from distgan.metrics.cells_shape import Cell
from distgan.metrics.real_or_made import real_or_made
from distgan.metrics.shape_space import parametric_cells
from distgan.metrics.support import BLOCK, halved, least_along, least_distances, overlaps, support


def test_equals_are_taken_for_real_half_of_the_time_and_others_never() -> None:
    random = np.random.default_rng(0)
    real, same = random.normal(size=(2, 150, 6))
    found = real_or_made(real, same, 20, 0)
    assert found is not None
    assert found.called_real == pytest.approx(0.5, abs=0.1)
    far = real_or_made(real, same + 5, 20, 0)
    assert far is not None
    assert far.called_real < 0.02
    assert far.real_called_real > 0.98
    assert real_or_made(real, same, 20, 0) == found
    assert real_or_made(real, same[:9], 20, 0) is None


def test_overlaps_are_intersections_over_unions() -> None:
    masks = np.zeros((4, 2, 4, 4), np.bool_)
    masks[0, 0, :2] = masks[1, 0, 1:3] = True
    found = overlaps(masks)
    assert found[0, 1] == pytest.approx(4 / 12)
    assert found[0, 2] == 0
    assert found[2, 3] == 1
    assert (found.diagonal() == 1).all()


@pytest.mark.parametrize("different", [100, 400])
def test_the_birthday_paradox_finds_how_many_there_are(different: int) -> None:
    random = np.random.default_rng(1)
    kinds = random.random((different, 200)) < 0.5
    masks = kinds[random.integers(different, size=200)]
    least = least_distances(overlaps(masks), range(4, 100, 2), 60, 0)
    found = support(least)
    assert found is not None
    assert different / 2 < found < 4 * different
    assert support(least_distances(overlaps(kinds), range(4, 100, 2), 20, 0)) is None


def test_the_two_most_alike_of_the_first_so_many_are_found_block_by_block() -> None:
    random = np.random.default_rng(3)
    masks = random.random((BLOCK + 40, 2, 5, 5)) < 0.5
    masks[BLOCK + 9] = masks[7]
    apart = 1 - overlaps(masks)
    np.fill_diagonal(apart, np.inf)
    least, both = least_along(masks, (1, 20, BLOCK, BLOCK + 40, 1000))
    assert both == (7, BLOCK + 9)
    assert list(least) == [20, BLOCK, BLOCK + 40]
    assert least[BLOCK + 40] == 0
    for size, value in least.items():
        assert value == pytest.approx(apart[:size, :size].min(), abs=1e-6)


def test_half_of_a_label_image_has_the_pixels_of_which_a_half_was_there() -> None:
    masks = np.zeros((1, 1, 5, 4), np.bool_)
    masks[0, 0, 0, :] = masks[0, 0, 2, 0] = masks[0, 0, 4, :] = True
    assert halved(masks)[0, 0].tolist() == [[True, True], [False, False]]


def test_cells_of_the_shape_space_are_like_those_it_was_made_of() -> None:
    random = np.random.default_rng(2)
    y, x = np.mgrid[:80, :80]
    real = []
    for _ in range(40):
        a, b = random.uniform(12, 24, 2)
        cell = ((y - 40) / a) ** 2 + ((x - 40) / b) ** 2 < 1
        real.append(Cell(cell, (np.hypot(y - 40, x - 40) < random.uniform(3, 6)) & cell))
    made = parametric_cells(real, 50, 16, 0)
    assert len(made) == 50
    sizes = [np.asarray([one.cell.sum() for one in some]) for some in (real, made)]
    assert sizes[1].mean() == pytest.approx(sizes[0].mean(), rel=0.15)
    assert 0.5 < sizes[1].std() / sizes[0].std() < 1.6
    assert all((one.cell | ~one.mitochondria).all() for one in made)
