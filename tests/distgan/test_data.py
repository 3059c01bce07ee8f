"""Which samples train, which are held out, and how values become numbers in [-1, 1] and come back."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distgan.config.sections import Data
from distgan.data.batches import (
    Feed,
    choose,
    counted,
    from_unit_range,
    known_of,
    leaks_of,
    open_store,
    sample_of,
    to_unit_range,
)
from storage.errors import DataError, RecipeError
from storage.patches import PatchStore


def data(patches: Path, **fields: Any) -> Data:
    return Data.model_validate({"store": str(patches)} | fields)


@pytest.fixture
def store(patches: Path) -> PatchStore:
    return open_store(data(patches))


def files(store: PatchStore, rows: np.ndarray) -> set[str]:
    return {store.obs.column("file")[int(row)].as_py() for row in rows}


def test_without_a_split_everything_trains(store: PatchStore, patches: Path) -> None:
    chosen = choose(store, data(patches))
    assert chosen.train.tolist() == list(range(108))
    assert chosen.held_out.size == 0


def test_a_group_trains_or_is_held_out_but_not_both(store: PatchStore, patches: Path) -> None:
    chosen = choose(store, data(patches, split={"by": "file", "held_out": 0.25}))
    assert (len(files(store, chosen.train)), len(files(store, chosen.held_out))) == (9, 3)
    assert not files(store, chosen.train) & files(store, chosen.held_out)
    assert sorted([*chosen.train, *chosen.held_out]) == list(range(108))


def test_a_smaller_fraction_is_part_of_a_larger_one_and_the_held_out_stay_the_same(
    store: PatchStore, patches: Path
) -> None:
    found = [
        choose(store, data(patches, fraction=fraction, split={"by": "file", "held_out": 0.25}))
        for fraction in (0.01, 0.3, 0.7, 0.97, 1)
    ]
    assert [len(files(store, one.train)) for one in found] == [1, 3, 6, 9, 9]
    for smaller, larger in itertools.pairwise(found):
        assert set(smaller.train) <= set(larger.train)
        assert smaller.held_out.tolist() == larger.held_out.tolist()


def test_validation_is_taken_from_what_is_not_held_out_before_a_fraction_is(store: PatchStore, patches: Path) -> None:
    split, validation = {"by": "file", "held_out": 0.25}, {"by": "file", "held_out": 0.3}
    whole, less = (
        choose(store, data(patches, split=split, validation=validation, fraction=fraction)) for fraction in (1, 0.5)
    )
    assert [len(files(store, rows)) for rows in (whole.train, whole.validation, whole.held_out)] == [6, 3, 3]
    assert sorted([*whole.train, *whole.validation, *whole.held_out]) == list(range(108))
    assert (less.validation.tolist(), less.held_out.tolist()) == (whole.validation.tolist(), whole.held_out.tolist())
    assert len(files(store, less.train)) == 3


def test_classes_are_those_of_the_subset_and_numbers_stay_numbers(store: PatchStore, patches: Path) -> None:
    kinds = ["rosette" if row % 3 else "plain" for row in range(108)]
    told = with_columns(store, kind=kinds, dose=[0.5 * row for row in range(108)])
    sample = sample_of(told, data(patches), ("kind", "dose"))
    assert sample.classes == {"kind": ("plain", "rosette"), "dose": ()}
    found = known_of(told, np.array([3, 4]), sample).columns
    assert (found["kind"].tolist(), found["kind"].dtype) == ([0, 1], torch.int64)
    assert (found["dose"].tolist(), found["dose"].dtype) == ([1.5, 2.0], torch.float32)
    lacking = with_columns(store, kind=[None, *kinds[1:]])
    with pytest.raises(DataError, match="1 of 108 have none"):
        sample_of(lacking, data(patches), ("kind",))
    assert sample_of(lacking, data(patches, subset={"kind": ["plain"]}), ("kind",)).classes == {"kind": ("plain",)}


def test_classes_are_counted_among_the_rows_that_train(store: PatchStore, patches: Path) -> None:
    told = with_columns(store, kind=["b", "a", "c", "b"] * 27, dose=[1.0] * 108)
    sample = counted(told, np.array([0, 1, 3, 4]), sample_of(told, data(patches), ("kind", "dose")))
    assert sample.counts == {"kind": (1, 3, 0)}


def test_a_subset_is_split_by_its_own_groups(store: PatchStore, patches: Path) -> None:
    wanted = [f"p{number:02d}.png" for number in range(4)]
    chosen = choose(store, data(patches, subset={"file": wanted}, split={"by": "file", "held_out": 0.5}))
    assert files(store, chosen.train) | files(store, chosen.held_out) == set(wanted)
    assert len(files(store, chosen.held_out)) == 2


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"fraction": 0.5}, "data.split.by"),
        ({"split": {"by": "embryo"}}, "file"),
        ({"split": {"by": "series"}}, "columns"),
        ({"subset": {"file": ["p99.png"]}}, "p00.png"),
        ({"subset": {"file": ["p00.png"]}, "split": {"by": "file"}}, "1 group"),
        ({"split": {"by": "file", "leave_out": "p77.png"}}, "p00.png"),
        ({"split": {"by": "file", "folds": 13, "fold": 0}}, "12 group"),
        ({"split": "paper"}, "no metadata column 'split'"),
    ],
)
def test_what_leaves_nothing_to_train_on_is_refused(
    store: PatchStore, patches: Path, fields: dict[str, Any], told: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        choose(store, data(patches, **fields))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("split", "told"),
    [
        ({"by": "file", "folds": 3}, "folds and fold go together"),
        ({"by": "file", "fold": 1}, "folds and fold go together"),
        ({"by": "file", "folds": 3, "fold": 3}, "fold 3 is none of 0 .. 2"),
        ({"by": "file", "folds": 3, "fold": 0, "held_out": 0.1}, "held_out and folds contradict"),
        ({"by": "file", "leave_out": "a", "held_out": 0.1}, "held_out and leave_out contradict"),
        ({"by": "file", "leave_out": "a", "stratify": "kind"}, "nothing to deal"),
        ({"by": "file", "stable": True, "stratify": "kind"}, "stable goes with held_out alone"),
        ({"by": "file", "stable": True, "folds": 2, "fold": 0}, "stable goes with held_out alone"),
        ("published", "split"),
    ],
)
def test_a_split_is_made_in_one_way(patches: Path, split: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        data(patches, split=split)


@pytest.mark.parametrize("split", ["paper", {"by": "file"}, {"by": "file", "folds": 3, "fold": 0}])
def test_a_split_survives_json(patches: Path, split: Any) -> None:
    found = data(patches, split=split)
    assert Data.model_validate_json(found.model_dump_json()) == found


def test_classes_in_every_batch_and_a_stream_contradict_each_other(patches: Path) -> None:
    with pytest.raises(ValueError, match="strata wants every sample at hand"):
        data(patches, strata="file", resident="stream")


def test_folds_share_out_every_sample(store: PatchStore, patches: Path) -> None:
    folds = [choose(store, data(patches, split={"by": "file", "folds": 5, "fold": fold})) for fold in range(5)]
    assert sorted(np.concatenate([one.held_out for one in folds])) == list(range(108))
    assert {len(files(store, one.held_out)) for one in folds} == {2, 3}
    for one in folds:
        assert sorted([*one.train, *one.held_out]) == list(range(108))


def test_one_group_can_be_left_out(store: PatchStore, patches: Path) -> None:
    chosen = choose(store, data(patches, split={"by": "file", "leave_out": "p03.png"}))
    assert files(store, chosen.held_out) == {"p03.png"}
    assert len(chosen.train) == 99


def test_a_stable_split_holds_out_the_same_groups_of_fewer(store: PatchStore, patches: Path) -> None:
    split = {"by": "file", "held_out": 0.3, "stable": True}
    out = files(store, choose(store, data(patches, split=split)).held_out)
    assert out
    some = sorted(set(store.obs.column("file").to_pylist()) - {min(out)})
    fewer = choose(store, data(patches, split=split, subset={"file": some}))
    assert files(store, fewer.held_out) == out - {min(out)}


def with_columns(store: PatchStore, **columns: list[Any]) -> PatchStore:
    obs = store.obs.drop_columns([name for name in columns if name in store.obs.column_names])
    for name, values in columns.items():
        obs = obs.append_column(name, [values])
    return dataclasses.replace(store, obs=obs)


def test_the_split_of_the_paper_is_that_of_its_column(store: PatchStore, patches: Path) -> None:
    parts = ["test" if row % 4 == 0 else "train" for row in range(108)]
    chosen = choose(with_columns(store, split=parts, pixels=list(range(1, 109))), data(patches, split="paper"))
    assert chosen.held_out.tolist() == list(range(0, 108, 4))
    assert len(chosen.train) == 81


def test_classes_are_held_out_alike(store: PatchStore, patches: Path) -> None:
    names = store.obs.column("file").to_pylist()
    kinds = ["rare" if name < "p04.png" else "common" for name in names]
    split = {"by": "file", "held_out": 0.25, "stratify": "kind"}
    for seed in range(5):
        held = files(
            store, choose(with_columns(store, kind=kinds), data(patches, split=split | {"seed": seed})).held_out
        )
        assert sorted(name < "p04.png" for name in held) == [False, False, True]


def test_equal_pixels_on_both_sides_are_refused_unless_allowed(store: PatchStore, patches: Path) -> None:
    wanted = data(patches, split={"by": "file", "leave_out": "p03.png"})
    plain = choose(store, wanted)
    pixels = list(range(1, 109))
    pixels[plain.held_out[2]] = pixels[plain.train[5]]
    twice = with_columns(store, pixels=pixels)
    with pytest.raises(DataError, match=rf"1 of 9 .*row {plain.held_out[2]}\b.*data\.allow"):
        choose(twice, wanted)
    allowed = choose(twice, wanted.model_copy(update={"allow": ("duplicates",)}))
    assert np.array_equal(allowed.held_out, plain.held_out)
    assert leaks_of(twice, plain, wanted).equal == 1
    assert leaks_of(twice, plain, wanted).groups == {"file": 0}


def test_groups_that_a_split_tears_apart_are_counted(store: PatchStore, patches: Path) -> None:
    parts = ["test" if row % 4 == 0 else "train" for row in range(108)]
    torn = with_columns(store, split=parts)
    wanted = data(patches, split="paper", allow=["duplicates"])
    assert leaks_of(torn, choose(torn, wanted), wanted).groups["file"] > 5


def test_a_feed_gives_the_samples_of_its_rows_in_the_order_of_the_stream(store: PatchStore) -> None:
    rows = np.array([3, 50, 51, 107])
    feed = Feed(store, rows, 0, torch.device("cpu"))
    batch = feed.batch(0, 4).images
    every = to_unit_range(store.read(np.arange(108)), store.value_range)
    assert batch.shape == (4, 1, 32, 32)
    found = [int((every == image).flatten(1).all(1).nonzero()) for image in batch]
    assert sorted(found) == rows.tolist()
    assert torch.equal(torch.cat([feed.batch(0, 3).images, feed.batch(3, 1).images]), batch)
    assert torch.equal(feed.rows(np.array([0])).images[0], every[3])


@pytest.mark.parametrize(
    ("dtype", "value_range"),
    [("uint8", (0.0, 255.0)), ("uint16", (0.0, 65535.0)), ("uint16", (300.0, 4200.0)), ("float32", (-16.0, 48.0))],
)
def test_values_survive_the_way_to_the_unit_range_and_back(dtype: str, value_range: tuple[float, float]) -> None:
    low, high = value_range
    values = np.arange(low, high + 1).astype(dtype).reshape(1, 1, 1, -1)
    unit = to_unit_range(values, value_range)
    assert unit.dtype == torch.float32
    assert (unit.min().item(), unit.max().item()) == pytest.approx((-1, 1))
    back = from_unit_range(unit, value_range, dtype)
    assert back.dtype == dtype
    assert np.array_equal(back, values)


def test_scaling_leaves_the_stored_values_alone() -> None:
    values = np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1)
    for stored in (values, torch.from_numpy(values)):
        assert to_unit_range(stored, (0.0, 3.0)).flatten().tolist() == pytest.approx([-1, -1 / 3, 1 / 3, 1])
        assert values.flatten().tolist() == [0, 1, 2, 3]


def test_what_lies_outside_the_dtype_is_cut() -> None:
    unit = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])
    assert from_unit_range(unit, (0.0, 255.0), "uint8").tolist() == [0, 0, 128, 255, 255]
    assert from_unit_range(unit, (100.0, 300.0), "uint16").tolist() == [0, 100, 200, 300, 500]
    assert from_unit_range(unit, (0.0, 2.0), "float32").tolist() == [-2, 0, 1, 2, 4]
