"""The trainings of a sweep, and what is refused before any of them begins."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distgan.config.run_config import config_from_tables
from distgan.data.batches import choose, open_store
from storage.errors import RecipeError
from tune.members import Member, members_of

Make = Callable[..., list[Member]]


@pytest.fixture
def make(sweep_tables: dict[str, Any]) -> Make:
    """members_of, with keys of [fractions] and, after two underscores, of other tables changed."""

    def made(**keys: Any) -> list[Member]:
        tables = copy.deepcopy(sweep_tables)
        for key, value in keys.items():
            table, _, name = key.rpartition("__")
            tables[table or "fractions"][name] = value
        config = config_from_tables(tables, "the test")
        assert config.fractions is not None
        return members_of(tables, config, config.fractions)

    return made


def rows(member: Member) -> set[int]:
    data = member.config.data
    return set(choose(open_store(data), data).train.tolist())


def one(members: list[Member], **facts: Any) -> Member:
    (found,) = [member for member in members if all(getattr(member, key) == value for key, value in facts.items())]
    return found


def test_there_is_one_for_every_share_repeat_and_variant(make: Make) -> None:
    members = make()
    assert [member.name for member in members[:4]] == ["slow-1-r00", "fast-1-r00", "slow-0.5-r00", "fast-0.5-r00"]
    assert len(members) == 8
    assert {member.config.optimizer["critic"].lr for member in members} == {1e-5, 1e-3}
    assert all(member.config.fractions is None for member in members)


def test_variants_of_a_repeat_train_on_the_same_samples_and_repeats_on_others(make: Make) -> None:
    members = make()
    slow, fast, other = (
        one(members, variant=variant, share=0.5, repeat=repeat)
        for variant, repeat in (("slow", 0), ("fast", 0), ("slow", 1))
    )
    assert rows(slow) == rows(fast) != rows(other)
    assert slow.seed == slow.config.run.seed == fast.config.run.seed != other.seed
    assert slow.labels == len(rows(slow))


def test_shares_are_nested_and_none_reaches_the_samples_held_out(make: Make) -> None:
    members = make()
    half, whole = (one(members, variant="slow", share=share, repeat=1) for share in (0.5, 1.0))
    assert rows(half) < rows(whole)
    held_out = choose(open_store(whole.config.data), whole.config.data).held_out
    assert len(held_out)
    assert not rows(whole) & set(held_out.tolist())


def test_the_papers_shares_are_not_nested(make: Make) -> None:
    members = make(subset="paper", shares=[0.9, 0.5])
    half, most = (one(members, variant="slow", share=share, repeat=1) for share in (0.5, 0.9))
    assert not rows(half) <= rows(most)


def test_folds_hold_every_group_out_once(make: Make) -> None:
    members = [member for member in make(folds=3, repeats=1) if member.variant == "slow" and member.share == 1]
    out = [choose(open_store(member.config.data), member.config.data).held_out.tolist() for member in members]
    assert sorted(row for fold in out for row in fold) == list(range(480))


def test_every_date_is_left_out_in_turn(make: Make) -> None:
    members = [member for member in make(leave_one_out="date", repeats=1, classes="label") if member.share == 0.5]
    assert [member.fold for member in members] == ["date0", "date0", "date1", "date1", "date2", "date2"]
    store = open_store(members[0].config.data)
    for member in members:
        dates = {store.obs["date"][row].as_py() for row in rows(member)}
        assert member.fold not in dates
        assert len(dates) == 2


def test_a_share_that_leaves_a_class_without_a_sample_is_refused(make: Make) -> None:
    with pytest.raises(RecipeError, match=r"share of 0\.004 leaves class 'rosette' without a sample"):
        make(shares=[0.004])


def test_more_repeats_than_distinct_subsets_are_refused(make: Make) -> None:
    with pytest.raises(RecipeError, match=r"more repeats than distinct subsets.*and \d subsets that differ.*0\.9"):
        make(shares=[0.9], subset="groups", repeats=20)
    assert len(make(shares=[0.9], repeats=20)) == 40


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"variants": {"one": {"optimizer.lrr": 1}}}, "did you mean optimizer.critic.lr"),
        ({"variants": {"one": {"data.fraction": 0.1}}}, "variants differ in all but the samples"),
        ({"variants": {"one": {"data": {"fraction": 0.1}}}}, "variant one sets data.fraction"),
        ({"variants": {"a/b": {}}}, "cannot be used as a name"),
        ({"shares": [0.5, 0.5]}, "a share stands there twice"),
        ({"shares": [0.0]}, "greater than 0"),
        ({"folds": 3, "leave_one_out": "date"}, "contradict each other"),
        ({"by": "embyro"}, "no metadata column 'embyro'"),
        ({"repeat": 3}, "did you mean fractions.repeats"),
    ],
)
def test_what_cannot_be_meant_is_refused(make: Make, keys: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        make(**keys)


def test_the_recipe_of_a_member_stands_by_itself(make: Make, labelled: Path) -> None:
    config = make()[0].config
    assert Path(config.data.store) == labelled.absolute()
    assert config.run.most_workers == 1
    assert config.evaluate.figures is False


def test_variants_may_differ_in_the_made_samples_that_train_with_the_same_real_ones(
    make: Make, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(labelled.parent)
    variants = {"real": {}, "both": {"data.made": {"store": "made.zarr"}}, "made": {"data.made.store": "made.zarr"}}
    found = make(variants=variants | {"made": {"data": {"made": {"store": "made.zarr", "part": "all"}}}}, repeats=1)
    for share in (0.5, 1.0):
        members = {variant: one(found, variant=variant, share=share) for variant in variants}
        assert len({frozenset(rows(member)) for member in members.values()}) == 1
        assert members["real"].config.data.made is None
        tables = [members[variant].config.data.made for variant in ("both", "made")]
        assert [(table.store, table.part) for table in tables if table] == [
            (str(labelled.parent / "made.zarr"), "half"),
            (str(labelled.parent / "made.zarr"), "all"),
        ]
