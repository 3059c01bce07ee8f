"""Whether samples lie on the device or in memory changes nothing of what is seen; from disk they have another order."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from distgan.config.run_config import AnyRun, config_from_tables
from distgan.data import feed as feeds
from distgan.data.batches import Batches, Feed, Known, to_unit_range
from distgan.data.feed import SharedFeed, StreamFeed, on_device, open_feed, residence, some_blocks
from distgan.engine.checkpoint import Checkpoints
from distgan.engine.distributed import Group
from distgan.monitoring.tracking import final_metrics
from storage import shared, stream
from storage.errors import DataError, RecipeError
from storage.manifest import committed
from storage.patches import KIND, PatchStore
from storage.sampler import Sampler
from storage.store import create_array, write_shard

CPU = torch.device("cpu")
Write = Callable[..., PatchStore]
Train = Callable[[AnyRun, Path], None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write(dtype="uint8", shape=(200, 1, 4, 4)): a store of random samples, ten to a chunk; class is a, b or c."""

    def written(dtype: str = "uint8", shape: tuple[int, ...] = (200, 1, 4, 4)) -> PatchStore:
        random, target = np.random.default_rng(0), tmp_path / f"{dtype}-{'x'.join(map(str, shape))}.zarr"
        facts: dict[str, Any] = {
            "channels": ["c"],
            "labels": [],
            "value_range": [0, 200],
            "pixel_um": [None] * (len(shape) - 2),
        }
        with committed(target, KIND, facts) as folder:
            axes = ("sample", "c", "z", "y", "x") if len(shape) == 5 else ("sample", "c", "y", "x")
            create_array(folder / "images", shape, dtype, (10, *shape[1:]), (100, *shape[1:]), axes)
            for start in range(0, shape[0], 100):
                write_shard(folder / "images", start, random.uniform(0, 200, (100, *shape[1:])).astype(dtype))
            classes = np.array(list("abc"))[np.arange(shape[0]) % 7 % 3]
            pq.write_table(pa.table({"row": np.arange(shape[0]), "kind": classes}), folder / "obs.parquet")
        return PatchStore.open(target)

    return written


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Shared copies lie here, and none is left behind."""
    memory = tmp_path / "shm"
    memory.mkdir()
    monkeypatch.setattr(shared, "MEMORY", memory)
    yield memory
    assert [path.name for path in memory.rglob("*") if path.is_file() and path.name != "lock"] == []


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "WINDOW_BYTES", 0)
    monkeypatch.setattr(stream, "FEWEST_BLOCKS", 3)


def opened(store: PatchStore, rows: np.ndarray, tables: dict[str, Any], group: Group = Group(), **data: Any) -> Batches:  # noqa: B008
    changed = tables | {"data": {"store": str(store.path)} | data}
    return open_feed(store, rows, config_from_tables(changed, "the test"), group, CPU)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("shape", [(200, 2, 4, 4), (200, 1, 3, 4, 4)])
def test_all_that_is_at_hand_comes_in_one_order(write: Write, dtype: str, shape: tuple[int, ...]) -> None:
    store, rows = write(dtype, shape), np.arange(3, 200, 2)
    memory = Feed(store, rows, 5, CPU)
    device = Feed(store, rows, 5, CPU, images=on_device(store, rows, CPU))
    both = SharedFeed(store, rows, 5, CPU)
    for position in (0, 8, 95, 12_345):
        batch = memory.batch(position, 8).images
        assert batch.shape == (8, *shape[1:])
        assert torch.equal(device.batch(position, 8).images, batch)
        assert torch.equal(both.batch(position, 8).images, batch)
        wanted = rows[memory.order.take(position, 8)]  # type: ignore[union-attr]
        assert torch.equal(batch, to_unit_range(store.read(np.arange(200))[wanted], (0.0, 200.0)))
    both.close()


@pytest.mark.usefixtures("small_windows")
def test_a_stream_gives_every_sample_once_an_epoch_on_any_number_of_workers(
    write: Write, tables: dict[str, Any]
) -> None:
    store, rows = write(), np.arange(200)
    alone, other = (opened(store, rows, tables, resident="stream") for _ in range(2))
    batches = [alone.batch(step * 8, 8).images for step in range(50)]
    for step, batch in enumerate(batches):  # the second worker of two
        assert torch.equal(other.batch(step * 8 + 4, 4).images, batch[4:])
    seen = torch.cat(batches).flatten(1)
    every = to_unit_range(store.read(rows), store.value_range).flatten(1)
    for epoch in (seen[:200], seen[200:]):
        assert torch.equal(epoch.unique(dim=0), every.unique(dim=0))  # 200 of them, sorted
    alone.close()
    other.close()


def test_what_is_said_or_fits_decides(write: Write, tables: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    store, rows = write(), np.arange(200)
    kinds = {}
    for name in ("auto", "device", "memory", "stream"):
        one = opened(store, rows, tables, resident=name)
        kinds[name] = type(one), type(getattr(one, "images", None))
        one.close()
    assert kinds == {
        "auto": (Feed, np.ndarray),
        "device": (Feed, torch.Tensor),
        "memory": (Feed, np.ndarray),
        "stream": (StreamFeed, type(None)),
    }
    monkeypatch.setattr(feeds, "memory_bytes", lambda: 2 * 200 * 16 - 1)
    config = config_from_tables(tables | {"data": {"store": "s"}}, "the test")
    assert residence(store, 200, config.data, CPU) == "stream"
    assert residence(store, 199, config.data, CPU) == "memory"
    with pytest.raises(RecipeError, match=r'do not fit.*data\.resident = "stream"'):
        SharedFeed(store, rows, 0, CPU)


def test_a_gpu_takes_what_fills_a_quarter_of_its_free_memory(
    write: Write, tables: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_from_tables(tables | {"data": {"store": "s"}}, "the test")
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (4 * 100 * 16, 10**9))
    store = write()
    found = [residence(store, count, config.data, torch.device("cuda")) for count in (100, 101)]
    assert found == ["device", "memory"]


class Second(Group):
    """The second worker of two, whose first says "no stream"."""

    def first_decides(self, value: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(value)


def test_workers_share_one_copy_and_follow_the_first(write: Write, tables: dict[str, Any], own_folders: Path) -> None:
    store = write()
    one = opened(store, np.arange(200), tables, Second(1, 2), resident="stream")
    two = opened(store, np.arange(200), tables, Second(1, 2))
    assert isinstance(one, SharedFeed)
    assert isinstance(two, SharedFeed)
    made = {path.name for path in (own_folders / f"distgan-{os.getuid()}").glob("*")} - {"lock"}
    assert len(made) == 1
    one.close()
    assert two.batch(0, 4).images.shape == (4, 1, 4, 4)
    two.close()


def test_a_batch_has_equally_many_of_each_class(write: Write, tables: dict[str, Any]) -> None:
    store, rows = write(), np.arange(1, 200)
    tables["run"] |= {"batch_size": 12}
    one = opened(store, rows, tables, strata="kind")
    kinds = store.obs.column("kind").to_numpy()[rows]
    for position in (0, 12, 1200):
        taken = one.order.take(position, 12)  # type: ignore[attr-defined]
        assert sorted(kinds[taken]) == list("aaaabbbbcccc")
    tables["run"] |= {"batch_size": 8}
    with pytest.raises(RecipeError, match=r"3 values of data\.strata = 'kind'.*multiple of 3"):
        opened(store, rows, tables, strata="kind")
    assert isinstance(opened(store, rows, tables, strata="").order, Sampler)  # type: ignore[attr-defined]


def test_a_batch_is_augmented_and_its_rows_are_not(write: Write, tables: dict[str, Any]) -> None:
    store, rows = write(), np.arange(200)
    plain = opened(store, rows, tables)
    for place in ("memory", "device"):
        turned = opened(store, rows, tables | {"augment": {"flip": True, "quarter_turns": True}}, resident=place)
        one, other = plain.batch(40, 40).images, turned.batch(40, 40).images
        assert not torch.equal(one, other)
        assert torch.equal(one.flatten(1).sort().values, other.flatten(1).sort().values)
        assert torch.equal(torch.cat([turned.batch(40, 20).images, turned.batch(60, 20).images]), other)
        assert torch.equal(turned.rows(np.arange(9)).images, plain.rows(np.arange(9)).images)  # type: ignore[attr-defined]
    with pytest.raises(RecipeError, match="not square"):
        opened(write(shape=(200, 1, 4, 6)), rows, tables | {"augment": {"quarter_turns": True}})


def test_some_blocks_are_whole_ones(write: Write) -> None:
    store = write()
    rows = some_blocks(store, np.arange(0, 200, 2), 20, 0)
    assert len(rows) == 20
    assert (np.diff(rows) > 0).all()
    assert len(np.unique(rows // 10)) == 4
    assert some_blocks(store, np.arange(7), 20, 0).tolist() == list(range(7))


# whole runs


def digest_of(folder: Path) -> str:
    found = Checkpoints(folder / "checkpoints", 2).latest()
    assert found is not None
    return str(found.facts["state_sha256"])


def test_a_run_ends_the_same_wherever_its_samples_lie(
    tables: dict[str, Any], train: Train, finished: Path, tmp_path: Path
) -> None:
    tables["data"]["resident"] = "device"  # and of the finished run, in memory
    train(config_from_tables(tables, "the test"), tmp_path / "run")
    assert digest_of(tmp_path / "run") == digest_of(finished)


@pytest.mark.usefixtures("small_windows")
def test_a_streamed_run_goes_on_in_mid_epoch_and_in_no_other_order(
    tables: dict[str, Any], train: Train, tmp_path: Path
) -> None:
    tables["data"]["resident"] = "stream"
    whole = config_from_tables(tables, "the test")
    train(whole, tmp_path / "whole")
    tables["run"]["images"] = 64
    train(config_from_tables(tables, "the test"), tmp_path / "halves")
    (tmp_path / "halves" / "model").rename(tmp_path / "early")
    train(whole, tmp_path / "halves")
    assert digest_of(tmp_path / "halves") == digest_of(tmp_path / "whole")
    assert {"kid", "kid_floor"} <= final_metrics(tmp_path / "whole").keys()
    tables["data"]["resident"], tables["run"]["images"] = "auto", 256
    with pytest.raises(DataError, match=r'another order.*data\.resident = "stream"'):
        train(config_from_tables(tables, "the test"), tmp_path / "whole")


def test_what_a_test_set_shares_with_training_is_kept(finished: Path) -> None:
    params = json.loads((finished / "params.json").read_text())
    assert params["leaks.equal"] == params["leaks.groups.file"] == 0
    assert params["leaks.near"] <= params["leaks.looked_at"]


def test_columns_come_with_their_samples_wherever_these_lie(write: Write) -> None:
    store, rows = write(shape=(200, 1, 4, 4)), np.arange(3, 199)
    value = torch.tensor([float(row) for row in rows])
    plain = PatchStore.read(store, rows)
    shared = SharedFeed(store, rows, 0, CPU, known=Known({"row": value}))
    for one in (
        Feed(store, rows, 0, CPU, known=Known({"row": value})),
        shared,
        StreamFeed(store, rows, 0, CPU, 20, 2, known=Known({"row": value})),
    ):
        for position in (0, 10, 190, 400):
            batch = one.batch(position, 10)
            expected = to_unit_range(plain[(batch.columns["row"] - 3).long().numpy()], store.value_range)
            assert torch.equal(batch.images, expected)
        one.close()
