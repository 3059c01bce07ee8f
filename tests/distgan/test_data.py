"""Which samples train, which are held out, and how values become numbers in [-1, 1] and come back."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distgan.config import Data
from distgan.data import Feed, choose, from_unit_range, open_store, to_unit_range
from storage.errors import RecipeError
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
    ],
)
def test_what_leaves_nothing_to_train_on_is_refused(
    store: PatchStore, patches: Path, fields: dict[str, Any], told: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        choose(store, data(patches, **fields))
    assert told in str(caught.value)


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
    ("dtype", "value_range"), [("uint8", (0.0, 255.0)), ("uint16", (0.0, 65535.0)), ("uint16", (300.0, 4200.0))]
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


def test_what_lies_outside_the_dtype_is_cut() -> None:
    unit = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])
    assert from_unit_range(unit, (0.0, 255.0), "uint8").tolist() == [0, 0, 128, 255, 255]
    assert from_unit_range(unit, (100.0, 300.0), "uint16").tolist() == [0, 100, 200, 300, 500]
