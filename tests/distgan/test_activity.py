"""What another thread can see of the one that trains."""

import pytest

from distgan.engine.distributed import Group, PeerLost
from distgan.monitoring.activity import Activity


def test_a_step_is_hurried_and_the_time_between_steps_is_not() -> None:
    activity = Activity()
    assert (activity.moves, activity.hurried) == (0, False)
    with activity.step(hurried=True):
        assert (activity.moves, activity.hurried) == (1, True)
    assert (activity.moves, activity.hurried) == (2, False)
    with activity.step(hurried=False):
        assert not activity.hurried, "the first ones may compile"


def test_a_collective_is_waited_in_and_counted_even_when_it_fails() -> None:
    group = Group(0, 2)

    def fail() -> None:
        assert group.activity.waits
        raise RuntimeError("connection reset")

    with pytest.raises(PeerLost), group.activity.step(hurried=True):
        group.collective(fail)
    assert (group.activity.moves, group.activity.waits, group.activity.hurried) == (4, False, False)


def test_each_group_has_its_own_and_groups_are_equal_all_the_same() -> None:
    one, other = Group(1, 2), Group(1, 2)
    assert one.activity is not other.activity
    assert one == other
