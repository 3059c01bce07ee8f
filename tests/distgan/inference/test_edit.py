"""Label editing: what is planted is found, and nothing else is touched."""

import numpy as np
import pytest

from distgan.inference.edit import Concave, Mask, continuous, convex, edited


@pytest.fixture
def walls() -> Mask:
    """Four cells of 60 x 60, of walls three pixels wide, that end at the border."""
    membranes = np.zeros((120, 120), np.bool_)
    membranes[59:62] = membranes[:, 59:62] = True
    return membranes


@pytest.fixture
def mitochondria() -> Mask:
    """A disc, and a ring that is not closed."""
    y, x = np.mgrid[:60, :120]
    found: Mask = np.hypot(y - 30, x - 25) < 12
    ring = abs(np.hypot(y - 30, x - 85) - 16) < 4
    return found | (ring & ((y < 30) | (abs(x - 85) > 8)))


def test_walls_that_part_cells_stay_as_they_are(walls: Mask) -> None:
    assert np.array_equal(continuous(walls), walls)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8])
def test_walls_of_any_width_stay(width: int) -> None:
    membranes = np.zeros((90, 90), np.bool_)
    membranes[40 : 40 + width] = True
    slanting = np.eye(90, dtype=np.bool_) | np.eye(90, k=1, dtype=np.bool_)
    for offset in range(width):
        slanting |= np.eye(90, k=offset, dtype=np.bool_)
    assert np.array_equal(continuous(membranes), membranes)
    assert np.array_equal(continuous(slanting), slanting)


def test_what_lies_in_a_cell_or_ends_in_it_is_dropped(walls: Mask) -> None:
    with_more = walls.copy()
    with_more[20:24, 20:40] = True  # an island
    with_more[85:88, 62:95] = True  # a wall that ends
    kept = continuous(with_more)
    assert not kept[20:24, 20:40].any()
    assert not kept[85:88, 66:95].any()
    assert (kept & walls).sum() == walls.sum()


def test_a_wall_with_a_gap_parts_nothing(walls: Mask) -> None:
    broken = walls.copy()
    broken[59:62, 25:33] = False
    kept = continuous(broken)
    assert not kept[59:62, :55].any()
    assert kept[:, 59:62].all()
    assert kept[59:62, 62:].all()


def test_gaps_are_closed_first_where_that_is_asked_for_and_wider_ones_are_not(walls: Mask) -> None:
    broken = walls.copy()
    broken[59:62, 25:27] = False
    broken[90:110, 59:62] = False
    assert not edited({"membranes": broken})["membranes"][59:62, :55].any()
    kept = edited({"membranes": broken}, closing=2)["membranes"]
    assert kept[60, :62].all()
    assert (kept & ~walls).sum() <= 12, "the corners of the crossing are rounded"
    assert not kept[70:, 59:62].any()


def test_a_hole_in_a_wall_is_no_cell() -> None:
    membranes = np.zeros((60, 60), np.bool_)
    membranes[20:40, 20:40] = True
    membranes[28:32, 28:32] = False
    assert not continuous(membranes, 64).any()
    assert continuous(membranes, 16)[27, 30]


@pytest.mark.parametrize("value", [False, True])
def test_a_plane_of_one_value_stays(value: bool) -> None:
    plane = np.full((8, 8), value)
    assert np.array_equal(continuous(plane), plane)
    assert np.array_equal(convex(plane), plane)


def test_concave_mitochondria_are_dropped_or_made_convex(mitochondria: Mask) -> None:
    disc, ring = mitochondria[:, :60], mitochondria[:, 60:]
    dropped, hull = convex(mitochondria), convex(mitochondria, concave="hull")
    for found in (dropped, hull):
        assert np.array_equal(found[:, :60], disc)
    assert not dropped[:, 60:].any()
    assert (hull[:, 60:] & ring).sum() == ring.sum()
    assert hull[30, 85]
    assert np.array_equal(convex(hull), hull)
    assert np.array_equal(convex(mitochondria, solidity=0.1), mitochondria)


def test_a_mitochondrion_in_the_hull_of_another_stays_whole() -> None:
    y, x = np.mgrid[:60, :60]
    ring = (abs(np.hypot(y - 30, x - 30) - 24) < 3) & (x < 40)
    disc = np.hypot(y - 30, x - 30) < 8
    assert np.array_equal(convex(ring | disc), disc)
    assert convex(ring | disc, concave="hull")[30, 15]


@pytest.mark.parametrize("concave", ["keep", "drop", "hull"])
def test_each_structure_is_edited_by_itself(walls: Mask, concave: Concave) -> None:
    walls[20:24, 20:40] = True
    labels = {"membranes": walls, "synapses": walls.copy()}
    assert edited(labels, smallest=0, concave=concave).keys() == labels.keys()
    found = edited(labels, concave=concave)
    assert not found["membranes"][20, 30]
    assert found["synapses"][20, 30]
    assert labels["membranes"][20, 30]
