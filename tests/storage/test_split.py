"""Splits: whole groups, seeded, the smaller inside the larger."""

from itertools import combinations, pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import RecipeError
from storage.split import column_values, fold_of, held_out, held_out_by_name, left_out, matching, share

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


def by_name(groups: list[str], fraction: float, seed: int = 0) -> set[str]:
    mask = held_out_by_name(groups, fraction, seed)
    return {group for group, held in zip(groups, mask, strict=True) if held}


def test_a_group_that_is_held_out_by_its_name_stays_so_whatever_comes() -> None:
    """The rank among others does not matter, where one of ten becomes two of twenty."""
    cells = [f"cell{number}" for number in range(400)]
    for fraction in (0.1, 0.3):
        out = by_name(cells, fraction)
        assert len(out) == pytest.approx(400 * fraction, rel=0.25)
        assert all(by_name(cells[:count], fraction) == out & set(cells[:count]) for count in (50, 100, 399))
        assert out == chosen(cells, len(out) / 400)
    assert by_name(cells, 0.1) < by_name(cells, 0.3)
    assert by_name(cells, 0.1) != by_name(cells, 0.1, seed=1)


def test_a_split_by_name_that_parts_nothing_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"holds nothing out.*none of 1 group"):
        held_out_by_name(["a"], 1e-9, 0)
    with pytest.raises(RecipeError, match="nothing to train on"):
        held_out_by_name(["a"], 1 - 1e-9, 0)


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


# folds, one group, classes


@given(
    groups=st.lists(st.sampled_from("abcdefghij"), min_size=2).filter(lambda groups: len(set(groups)) > 2),
    folds=st.integers(2, 3),
    seed=st.integers(0, 5),
)
def test_every_group_is_in_one_fold_and_folds_are_equally_large(groups: list[str], folds: int, seed: int) -> None:
    masks = [fold_of(groups, folds, fold, seed) for fold in range(folds)]
    assert np.sum(masks, axis=0).tolist() == [1] * len(groups)
    parts = [{group for group, held in zip(groups, mask, strict=True) if held} for mask in masks]
    assert not any(one & other for one, other in combinations(parts, 2))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_another_seed_makes_other_folds() -> None:
    assert len({fold_of(GROUPS, 5, 0, seed).tobytes() for seed in range(10)}) > 5


def test_more_folds_than_groups_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"3 folds.*2 group\(s\).*data\.split\.folds"):
        fold_of("abab", 3, 0, 0)


def test_one_group_is_left_out_by_its_name() -> None:
    assert left_out([1, 2, 1, 10], 1).tolist() == [True, False, True, False]
    with pytest.raises(RecipeError, match=r"no group c.*the groups are a, b.*data\.split\.leave_out"):
        left_out("aab", "c")
    with pytest.raises(RecipeError, match="nothing to train on"):
        left_out("aaa", "a")


CLASSES = ["rare" if int(group[-1]) < 2 else "common" for group in GROUPS]


def test_classes_are_dealt_separately() -> None:
    """Two of the ten embryos are rare: of half of the groups, one is; and one fold of two has one."""
    for seed in range(5):
        for mask in (
            held_out(GROUPS, 0.5, seed, CLASSES),
            *(fold_of(GROUPS, 2, fold, seed, CLASSES) for fold in (0, 1)),
        ):
            out = {group for group, held in zip(GROUPS, mask, strict=True) if held}
            assert len(out) == 5
            assert sum(CLASSES[GROUPS.index(name)] == "rare" for name in out) == 1


def test_shares_of_classes_are_nested_too() -> None:
    masks = [share(GROUPS, number / 10, 0, CLASSES) for number in range(1, 11)]
    assert all((larger | ~smaller).all() for smaller, larger in pairwise(masks))
    assert masks[0].sum() == 20  # one group of each class


def test_a_group_of_several_classes_is_of_the_commonest() -> None:
    groups, classes = list("aaabbbccddee"), list("xxyyyx") + list("xxyyyy")
    dealt = {group for group, held in zip(groups, held_out(groups, 0.5, 0, classes), strict=True) if held}
    assert len(dealt & {"a", "c"}) == 1  # of x: a (two of three) and c
    assert len(dealt & {"b", "d", "e"}) in (1, 2)


def test_a_class_of_which_nothing_would_be_left_is_refused() -> None:
    with pytest.raises(RecipeError, match="all of a class"):
        held_out("abc", 0.3, 0, "xxy")
