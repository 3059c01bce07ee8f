"""Which share of the samples is drawn."""

import itertools

import numpy as np
import pytest

from storage.errors import RecipeError
from storage.shares import Rule, drawn

GROUPS = np.repeat([f"embryo {number}" for number in range(10)], 12)
CLASSES = np.where(np.arange(120) % 4 == 0, "rosette", "other")
SHARES = (0.1, 0.2, 0.25, 0.5, 0.9, 1.0)


@pytest.mark.parametrize("rule", ["nested", "groups"])
def test_a_smaller_share_is_part_of_a_larger_one(rule: Rule) -> None:
    masks = [drawn(GROUPS, CLASSES, share, 3, rule) for share in SHARES]
    assert all((larger | ~smaller).all() for smaller, larger in itertools.pairwise(masks))
    assert masks[-1].all()


@pytest.mark.parametrize("rule", ["nested", "paper"])
@pytest.mark.parametrize("share", SHARES)
def test_every_class_has_its_share(rule: Rule, share: float) -> None:
    mask = drawn(GROUPS, CLASSES, share, 3, rule)
    for name, count in (("rosette", 30), ("other", 90)):
        assert (mask & (name == CLASSES)).sum() == round(share * count)


def test_nested_shares_are_of_whole_groups_but_the_last() -> None:
    mask = drawn(GROUPS, None, 0.35, 5, "nested")
    taken = [mask[name == GROUPS].sum() for name in np.unique(GROUPS)]
    assert sorted(taken) == [0] * 6 + [6] + [12] * 3


def test_groups_are_taken_whole() -> None:
    mask = drawn(GROUPS, None, 0.3, 5, "groups")
    assert sorted(mask[name == GROUPS].mean() for name in np.unique(GROUPS)) == [0.0] * 7 + [1.0] * 3


def test_the_papers_shares_are_independent_of_groups_and_of_each_other() -> None:
    small, large = (drawn(GROUPS, CLASSES, share, 5, "paper") for share in (0.3, 0.6))
    assert len(np.unique(GROUPS[small])) > 6
    assert not (large | ~small).all()


@pytest.mark.parametrize("rule", ["nested", "groups", "paper"])
def test_the_seed_decides(rule: Rule) -> None:
    first, again, other = (drawn(GROUPS, CLASSES, 0.4, seed, rule) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("rule", ["nested", "paper"])
def test_a_class_without_a_sample_is_refused_by_its_name(rule: Rule) -> None:
    with pytest.raises(RecipeError, match=r"share of 0\.01 leaves class 'rosette' without a sample.*30"):
        drawn(GROUPS, CLASSES, 0.01, 0, rule)


def test_a_class_that_whole_groups_leave_out_is_refused() -> None:
    rare = np.where(np.arange(120) == 7, "rare", "other")  # never the commonest of its group
    seeds = [seed for seed in range(20) if not drawn(GROUPS, None, 0.1, seed, "groups")[7]]
    with pytest.raises(RecipeError, match="class 'rare'"):
        drawn(GROUPS, rare, 0.1, seeds[0], "groups")


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(RecipeError, match="leaves no sample"):
        drawn(GROUPS, None, 0.001, 0, "nested")
