"""The patch store: samples and their rows of metadata, in one order."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import patches
from storage.cuts import Cut
from storage.errors import DataError, MissingError, RecipeError
from storage.manifest import NAME, seal
from storage.patches import PatchArrays, PatchStore
from storage.preprocess import Preparation, prepare
from storage.store import ImageStore, open_array


@pytest.fixture(scope="module")
def in_chunks(image_store: ImageStore, tmp_path_factory: pytest.TempPathFactory) -> PatchStore:
    """The 72 tiles of the images in chunks of five."""
    with pytest.MonkeyPatch.context() as small:
        small.setattr("storage.patches.CHUNK_BYTES", 5 * 8 * 8)
        target = tmp_path_factory.mktemp("stores") / "patches"
        return prepare(image_store.path, target, Preparation(Cut("tiled", (8, 8))))


def test_opening_returns_what_was_written(patch_store: PatchStore, image_store: ImageStore) -> None:
    store = PatchStore.open(patch_store.path)
    assert store == patch_store
    assert store.labels == ()
    assert store.shape == (72, 1, 8, 8)
    assert (store.dtype, store.value_range, store.channels) == ("uint8", (0, 255), ("channel0",))
    assert store.pixel_um == (None, None)
    assert store.obs.num_rows == 72
    assert store.digest == store.manifest.digest != image_store.manifest.digest


@settings(max_examples=30)
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


# with label images


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Arrays of 23 volumes of 2 x 3 x 4 x 5 and their label images, in chunks of 4 and shards of 8."""
    store = tmp_path_factory.mktemp("labelled")
    with pytest.MonkeyPatch.context() as small:
        small.setattr(patches, "CHUNK_BYTES", 4 * 2 * 3 * 4 * 5 * 2)
        small.setattr(patches, "SHARD_BYTES", 8 * 2 * 3 * 4 * 5 * 2)
        small.setattr(patches, "SHARDS", 1)
        ARRAYS.create(store)
        assert (ARRAYS.layout, ARRAYS.shards) == ((4, 8), [(0, 8), (8, 16), (16, 23)])
        for start, stop in ARRAYS.shards:
            labels = {name: values[start:stop] for name, values in LABELS.items()}
            written = ARRAYS.write(store, start, VOLUMES[start:stop], labels)
            index = start // 8
            assert written == [
                f"images/c/{index}/0/0/0/0",
                f"labels/cell/c/{index}/0/0/0",
                f"labels/tissue/c/{index}/0/0/0",
            ]
            assert all((store / one).is_file() for one in written)
    facts = {
        "channels": ["a", "b"],
        "pixel_um": [None, 0.5, 0.5],
        "value_range": [0, 9],
        "labels": ["cell", "tissue"],
    }
    pq.write_table(pa.table({"file": [str(row) for row in range(23)]}), store / "obs.parquet")
    seal(store, patches.KIND, facts)
    return store


VOLUMES = np.random.default_rng(0).integers(0, 1 << 16, (23, 2, 3, 4, 5), np.uint16)
LABELS = {
    "cell": np.random.default_rng(1).integers(0, 2, (23, 3, 4, 5), np.uint8),
    "tissue": np.random.default_rng(2).integers(-3, 99, (23, 3, 4, 5), np.int32),
}
ARRAYS = PatchArrays(VOLUMES.shape, "uint16", {"cell": "uint8", "tissue": "int32"}, {"name": "zstd"})


@settings(max_examples=15)
@given(rows=st.sets(st.integers(0, 22)))
def test_label_images_are_read_by_the_rows_of_their_images(rows: set[int], labelled: Path) -> None:
    store = PatchStore.open(labelled)
    chosen = np.array(sorted(rows), np.int64)
    assert (store.labels, store.shape, store.pixel_um) == (("cell", "tissue"), VOLUMES.shape, (None, 0.5, 0.5))
    assert np.array_equal(store.read(chosen), VOLUMES[chosen])
    for name, values in LABELS.items():
        read = store.read(chosen, name)
        assert np.array_equal(read, values[chosen])
        assert read.dtype == values.dtype
        assert np.array_equal(np.concatenate([block for _, block in store.blocks(2, name)]), values)


def test_a_missing_label_image_is_noticed(labelled: Path, tmp_path: Path) -> None:
    store = PatchStore.open(Path(shutil.copytree(labelled, tmp_path / "copy")))
    (store.path / "labels" / "cell" / "c" / "1" / "0" / "0" / "0").unlink()
    assert len(store.read(np.arange(8, 16))) == 8
    with pytest.raises(DataError, match=r"labels/cell/c/1/0/0/0 is missing"):
        store.read(np.arange(8, 16), "cell")


@pytest.mark.parametrize(
    ("count", "sample_bytes", "chunk", "shards"),
    [
        (10, 100, 10, 1),  # less than one chunk
        (100_000, 3 * 96 * 96, 37, 43),  # shards of 64 chunks
        (20_000, 3 * 96 * 96, 37, 16),  # small, so that as many workers as there are shards can write it
        (5, 64 << 20, 1, 5),  # a sample is larger than a chunk
    ],
)
def test_shards_are_neither_huge_nor_too_few(count: int, sample_bytes: int, chunk: int, shards: int) -> None:
    arrays = PatchArrays((count, 1, 1, sample_bytes), "uint8", {}, {"name": "zstd"})
    assert arrays.layout[0] == chunk
    assert len(arrays.shards) == shards
    assert arrays.shards[0][0] == 0
    assert arrays.shards[-1][1] == count
    assert all(one[1] == two[0] for one, two in itertools.pairwise(arrays.shards))


def test_images_are_packed_as_asked_and_labels_without_loss(tmp_path: Path) -> None:
    arrays = PatchArrays((3, 1, 4, 5), "float32", {"cell": "uint8"}, {"name": "bitround", "keepbits": 4})
    arrays.create(tmp_path)
    images = np.random.default_rng(0).random((3, 1, 4, 5), np.float32)
    labels = np.random.default_rng(0).integers(0, 256, (3, 4, 5), np.uint8)
    arrays.write(tmp_path, 0, images, {"cell": labels})
    read = open_array(tmp_path / "images")[:]
    assert not np.array_equal(read, images)
    assert np.allclose(read, images, rtol=2**-5)
    assert np.array_equal(open_array(tmp_path / "labels" / "cell")[:], labels)


def test_a_codec_that_does_not_fit_the_values_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="bitround cannot pack uint8"):
        PatchArrays((3, 1, 4, 5), "uint8", {}, {"name": "bitround", "keepbits": 4}).create(tmp_path)


def test_what_is_no_patch_store_is_refused(image_store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its kind is image store"):
        PatchStore.open(image_store.path)
    with pytest.raises(MissingError, match="nowhere"):
        PatchStore.open(tmp_path / "nowhere")
