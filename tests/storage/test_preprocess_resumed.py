"""Preparation goes on where it was stopped, and what it makes does not depend on who ran its tasks."""

import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from storage.cuts import Cut
from storage.errors import DiskError, ServiceError
from storage.executors import Executor, distributed, threads
from storage.ingest import ingest
from storage.leaf import write_shard
from storage.manifest import check_digests
from storage.patches import PatchStore
from storage.preprocess import Preparation, prepare
from storage.store import ImageStore

HOW = Preparation(Cut("random", (8, 8), count=12))
"""72 samples, in 8 shards."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of five samples, shards of two chunks."""
    monkeypatch.setattr("storage.patches.CHUNK_BYTES", 5 * 64)
    monkeypatch.setattr("storage.patches.SHARD_BYTES", 2 * 5 * 64)
    monkeypatch.setattr("storage.patches.SHARDS", 1)


@pytest.fixture
def undisturbed(image_store: ImageStore, tmp_path: Path, small: None) -> str:
    """Digest of what an undisturbed call makes."""
    store = prepare(image_store.path, tmp_path / "undisturbed", HOW)
    assert len([path for path in (store.path / "images" / "c").rglob("*") if path.is_file()]) == 8
    return store.digest


class Counting:
    """One thread that counts the shards it writes, and raises before the next one after so many."""

    def __init__(self, error: Exception | None = None, after: int = 99) -> None:
        self.error, self.left, self.wrote = error, after, 0

    def __call__(
        self,
        task: Callable[[Any], Any],
        items: Sequence[Any],
        done: Callable[[int, Any], None] = lambda index, result: None,
    ) -> list[Any]:
        def counted(item: Any) -> Any:
            if self.wrote == self.left and self.error:
                raise self.error
            result = task(item)
            self.wrote += task.func is write_shard  # type: ignore[attr-defined]
            return result

        return threads(1)(counted, items, done)


@pytest.mark.parametrize("after", [0, 1, 5, 7])
@pytest.mark.parametrize("error", [ServiceError("a cluster", "was", "lost"), OSError(errno.ENOSPC, "No space left")])
def test_a_call_goes_on_from_what_is_finished(
    after: int, error: Exception, undisturbed: str, image_store: ImageStore, tmp_path: Path
) -> None:
    target = tmp_path / "stores" / "patches"
    with pytest.raises(ServiceError if isinstance(error, ServiceError) else DiskError):
        prepare(image_store.path, target, HOW, executor=Counting(error, after))
    assert not target.exists()
    rest = Counting()
    steps: list[tuple[int, int]] = []
    store = prepare(image_store.path, target, HOW, executor=rest, progress=lambda *step: steps.append(step))
    assert rest.wrote == 8 - after
    assert store.digest == undisturbed
    assert steps[0][0] in (10 * after, max(0, 10 * after - 8))  # the last shard has two samples
    assert steps == sorted(steps)
    assert steps[-1] == (72, 72)
    check_digests(store.path, store.manifest)
    assert list(target.parent.iterdir()) == [target]


def test_a_damaged_shard_is_made_anew(undisturbed: str, image_store: ImageStore, tmp_path: Path) -> None:
    target = tmp_path / "stores" / "patches"
    with pytest.raises(ServiceError):
        prepare(image_store.path, target, HOW, executor=Counting(ServiceError("a", "b", "c"), 3))
    shard = next(path for path in (target.with_name(".patches.partial") / "images" / "c").rglob("*") if path.is_file())
    shard.write_bytes(shard.read_bytes()[::-1])
    rest = Counting()
    assert prepare(image_store.path, target, HOW, executor=rest).digest == undisturbed
    assert rest.wrote == 6


@pytest.mark.parametrize("change", ["seed", "operation", "chunks", "source"])
def test_what_was_begun_otherwise_is_begun_anew(
    change: str, undisturbed: str, image_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "stores" / "patches"
    with pytest.raises(ServiceError):
        prepare(image_store.path, target, HOW, executor=Counting(ServiceError("a", "b", "c"), 3))
    how, source = HOW, image_store.path
    if change == "seed":
        how = Preparation(HOW.cut, seed=1)
    if change == "operation":
        how = Preparation(HOW.cut, ({"name": "display_range", "low": 0, "high": 255},))
    if change == "chunks":
        monkeypatch.setattr("storage.patches.CHUNK_BYTES", 10 * 64)
    if change == "source":
        (tmp_path / "raw").mkdir()
        for number in range(6):
            tifffile.imwrite(tmp_path / "raw" / f"{number}.tif", np.full((24, 32), number, np.uint8))
        source = ingest(tmp_path / "raw", tmp_path / "other").store.path
    anew = Counting()
    assert prepare(source, target, how, executor=anew).digest != undisturbed
    assert anew.wrote == 8


@pytest.mark.parametrize("row", ["c,9,9,9,9", "b,0,0,9,9"])
def test_another_table_of_boxes_under_the_same_name_begins_anew(
    row: str, small: None, image_store: ImageStore, tmp_path: Path
) -> None:
    target, boxes = tmp_path / "stores" / "patches", tmp_path / "boxes.csv"
    how = Preparation(Cut("boxes", (8, 8), boxes=str(boxes), count=36))
    boxes.write_text("embryo,x,y,width,height\nc,0,0,9,9\n")
    with pytest.raises(ServiceError):
        prepare(image_store.path, target, how, executor=Counting(ServiceError("a", "b", "c"), 3))
    boxes.write_text(f"embryo,x,y,width,height\n{row}\n")
    anew = Counting()
    store = prepare(image_store.path, target, how, executor=anew)
    assert anew.wrote == 8
    embryo, x, *_ = row.split(",")
    assert set(store.obs.column("embryo").to_pylist()) == {embryo}
    assert min(store.obs.column("x").to_pylist()) == int(x)


def test_a_mistake_leaves_nothing(small: None, image_store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="our own bug"):
        prepare(image_store.path, tmp_path / "patches", HOW, executor=Counting(ValueError("our own bug"), 3))
    assert list(tmp_path.iterdir()) == []


# who runs the tasks

LARGE = Preparation(
    Cut("random", (128, 128), count=8),
    ({"name": "illumination", "smoothing_px": 5}, {"name": "median", "size_zyx": [1, 3, 3]}),
)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image store of 32 images of 160 x 160, whose 256 patches are 8 MiB."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "raw").mkdir()
    for number in range(32):
        pixels = np.random.default_rng(number).integers(0, 4096, (160, 160), np.uint16)
        tifffile.imwrite(folder / "raw" / f"{number}.tif", pixels)
    return ingest(folder / "raw", folder / "store").store.path


def test_every_executor_makes_the_same_store(large: Path, tmp_path: Path) -> None:
    def made(name: str, executor: Executor) -> PatchStore:
        return prepare(large, tmp_path / name, LARGE, executor=executor)

    one = made("one", threads(1))
    assert len(list((one.path / "images" / "c").iterdir())) == 8
    assert made("three", threads(3)).digest == one.digest
    with distributed(2) as two_processes:
        assert made("two", two_processes).digest == one.digest
