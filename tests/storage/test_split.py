"""Splits: whole groups, seeded, the smaller inside the larger."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import RecipeError
from storage.split import column_values, held_out, matching

GROUPS = [f"embryo{number % 10}" for number in range(100)]
TABLE = pa.table({"embryo": ["a", "b", "a", None], "slice": [1, 2, 3, 1]})


def chosen(groups: list[str], fraction: float, seed: int = 0) -> set[str]:
    """The held-out groups, of which every sample must be held out and of no other group any."""
    mask = held_out(groups, fraction, seed)
    out = {group for group, held in zip(groups, mask, strict=True) if held}
    assert mask.tolist() == [group in out for group in groups]
    return out


@given(
    groups=st.lists(st.sampled_from("abcdefghij"), min_size=2).filter(lambda groups: len(set(groups)) > 1),
    fraction=st.floats(0, 0.5),
    seed=st.integers(0, 5),
)
def test_no_group_is_on_both_sides_and_both_sides_have_one(groups: list[str], fraction: float, seed: int) -> None:
    out = chosen(groups, fraction, seed)
    assert out < set(groups)
    assert (len(out) > 0) == (fraction > 0)
    assert out == chosen(groups[::-1], fraction, seed)


def test_the_share_is_of_groups_and_at_least_one() -> None:
    assert [len(chosen(GROUPS, share)) for share in (0, 0.001, 0.2, 0.55, 0.94)] == [0, 1, 2, 6, 9]


def test_a_smaller_part_is_inside_a_larger() -> None:
    parts = [chosen(GROUPS, number / 10) for number in range(10)]
    assert all(smaller < larger for smaller, larger in pairwise(parts))


def test_other_groups_do_not_change_who_comes_first() -> None:
    """Ranked among more groups, those we have keep their order: data that is added moves nobody back and forth."""
    more = GROUPS + [f"new{number}" for number in range(40)]
    for number in range(1, 10):
        few = chosen(GROUPS, number / 10)
        assert any(chosen(more, share / 50) & set(GROUPS) == few for share in range(1, 50))


def test_another_seed_holds_out_others() -> None:
    assert len({frozenset(chosen(GROUPS, 0.3, seed)) for seed in range(10)}) > 5


def test_numbers_are_groups_as_their_text_is() -> None:
    assert np.array_equal(held_out([1, 2, 10, 2], 0.3, 0), held_out(["1", "2", "10", "2"], 0.3, 0))


@pytest.mark.parametrize(("groups", "fraction"), [(["a", "a"], 0.1), (["a", "b"], 0.9), ([], 0.5)])
def test_a_split_that_leaves_nothing_to_train_on_is_refused(groups: list[str], fraction: float) -> None:
    with pytest.raises(RecipeError, match=rf"{len(set(groups))} group\(s\).*data\.split\.by"):
        held_out(groups, fraction, 0)


@pytest.mark.parametrize(
    ("subset", "rows"),
    [
        ({}, [0, 1, 2, 3]),
        ({"embryo": ["a"]}, [0, 2]),
        ({"embryo": ["a", "b"], "slice": [1, 2]}, [0, 1]),
        ({"slice": ["1"]}, [0, 3]),
        ({"slice": [1, 7]}, [0, 3]),
    ],
)
def test_rows_match_in_every_column_of_the_subset(subset: dict[str, list[object]], rows: list[int]) -> None:
    assert np.flatnonzero(matching(TABLE, subset)).tolist() == rows


@pytest.mark.parametrize(
    ("subset", "reason"),
    [
        ({"embryo": ["z"]}, r"\['z'\].*embryo is one of None, a, b"),
        ({"embryo": ["b"], "slice": [3]}, "slice is one of 1, 2, 3"),
        ({"embryo": []}, "embryo is one of"),
        ({"plate": ["a"]}, "'plate'.*the columns are embryo, slice"),
    ],
)
def test_a_subset_that_matches_nothing_is_told_what_there_is(subset: dict[str, list[object]], reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        matching(TABLE, subset)


def test_the_values_of_a_column_are_plain() -> None:
    assert column_values(TABLE, "embryo") == ["a", "b", "a", None]
