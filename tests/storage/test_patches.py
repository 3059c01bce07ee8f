"""The patch store: samples and their rows of metadata, in one order."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import patches
from storage.errors import DataError, MissingError, RecipeError
from storage.manifest import NAME, seal
from storage.patches import PatchStore
from storage.preprocess import Preparation, prepare
from storage.store import ImageStore, open_array


@pytest.fixture(scope="module")
def in_chunks(image_store: ImageStore, tmp_path_factory: pytest.TempPathFactory) -> PatchStore:
    """The 72 tiles of the images in chunks of five."""
    with pytest.MonkeyPatch.context() as small:
        small.setattr("storage.preprocess.CHUNK_BYTES", 5 * 8 * 8)
        target = tmp_path_factory.mktemp("stores") / "patches"
        return prepare(image_store.path, target, Preparation(8, "tiled"))


def test_opening_returns_what_was_written(patch_store: PatchStore, image_store: ImageStore) -> None:
    store = PatchStore.open(patch_store.path)
    assert store == patch_store
    assert store.shape == (72, 1, 8, 8)
    assert (store.dtype, store.value_range, store.channels) == ("uint8", (0, 255), ("channel0",))
    assert store.pixel_um == (None, None)
    assert store.obs.num_rows == 72
    assert store.digest == store.manifest.digest != image_store.manifest.digest


@given(rows=st.sets(st.integers(0, 71)))
def test_any_rows_are_read_in_their_order(rows: set[int], in_chunks: PatchStore) -> None:
    assert open_array(in_chunks.path / "images").chunks[0] == 5
    chosen = np.array(sorted(rows), np.int64)
    assert np.array_equal(in_chunks.read(chosen), open_array(in_chunks.path / "images")[:][chosen])


@pytest.mark.parametrize("rows", [[3, 1], [0, 0, 1, 2, 3]])
def test_rows_that_do_not_rise_are_our_mistake(rows: list[int], in_chunks: PatchStore) -> None:
    with pytest.raises(AssertionError, match="rise"):
        in_chunks.read(np.array(rows))


@pytest.mark.parametrize("chunks", [1, 3, 100])
def test_blocks_run_through_all_samples(chunks: int, in_chunks: PatchStore) -> None:
    starts, blocks = zip(*in_chunks.blocks(chunks), strict=True)
    assert list(starts) == list(range(0, 72, 5 * chunks))
    assert np.array_equal(np.concatenate(blocks), open_array(in_chunks.path / "images")[:])


def test_more_than_half_of_the_memory_is_refused(patch_store: PatchStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "memory_bytes", lambda: 2 * 10 * 64)
    assert len(patch_store.read(np.arange(10))) == 10
    with pytest.raises(RecipeError, match="do not fit in memory"):
        patch_store.read(np.arange(11))


def test_the_memory_of_this_machine_is_known() -> None:
    assert 1 << 26 < patches.memory_bytes() < 1 << 50


def test_a_table_that_does_not_fit_the_samples_is_refused(patch_store: PatchStore, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(patch_store.path, tmp_path / "copy"))
    (copy / NAME).unlink()
    pq.write_table(patch_store.obs.slice(1), copy / "obs.parquet")
    seal(copy, patches.KIND, patch_store.manifest.facts)
    with pytest.raises(DataError, match="72 images but 71 rows"):
        PatchStore.open(copy)


def test_a_flipped_bit_is_noticed_when_it_is_read(patch_store: PatchStore, tmp_path: Path) -> None:
    store = PatchStore.open(Path(shutil.copytree(patch_store.path, tmp_path / "copy")))
    shard = next(path for path in (store.path / "images" / "c").rglob("*") if path.is_file())
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DataError, match="is damaged"):
        store.read(np.arange(3))


def test_what_is_no_patch_store_is_refused(image_store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its kind is image store"):
        PatchStore.open(image_store.path)
    with pytest.raises(MissingError, match="nowhere"):
        PatchStore.open(tmp_path / "nowhere")
