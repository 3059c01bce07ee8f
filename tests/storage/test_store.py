"""Arrays in which nothing is lost in silence: zarr reads a missing piece as black, and we must not."""

import itertools
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from storage.errors import DataError, MissingError
from storage.ingest import ingest
from storage.store import (
    CHUNK_BYTES,
    SHARD_BYTES,
    ImageStore,
    create_array,
    frame_layout,
    open_array,
    read_rows,
    write_shard,
)


@pytest.fixture
def array(tmp_path: Path) -> Path:
    """Ten rows in shards of four and chunks of two."""
    create_array(tmp_path / "array", (10, 3), "uint8", (2, 3), (4, 3), ("row", "x"))
    return tmp_path / "array"


@pytest.fixture
def copy(image_store: ImageStore, tmp_path: Path) -> Path:
    return Path(shutil.copytree(image_store.path, tmp_path / "copy"))


def shards(path: Path) -> list[Path]:
    return sorted(one for one in path.rglob("c/**/*") if one.is_file())


def test_whole_shards_are_written_and_read_back(array: Path) -> None:
    rows = np.arange(30, dtype=np.uint8).reshape(10, 3)
    for start in (8, 0, 4):
        write_shard(array, start, rows[start : start + 4])
    assert np.array_equal(open_array(array)[:], rows)
    assert open_array(array).metadata.dimension_names == ("row", "x")


@pytest.mark.parametrize(
    ("start", "rows", "reason"),
    [
        (2, 4, "begin at a shard"),
        (1, 3, "begin at a shard"),
        (0, 3, "whole shard"),
        (0, 8, "whole shard"),
        (8, 1, "whole shard"),
        (8, 4, "whole shard"),
    ],
)
def test_a_task_that_would_share_a_shard_is_refused(start: int, rows: int, reason: str, array: Path) -> None:
    with pytest.raises(AssertionError, match=reason):
        write_shard(array, start, np.ones((rows, 3), np.uint8))
    assert shards(array) == []


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """Three frames of 5 planes of 7 x 6, T C Z Y X; a shard is 1 x 1 x 2 x 4 x 6."""
    create_array(tmp_path / "v", (3, 1, 5, 7, 6), "uint8", (1, 1, 1, 2, 3), (1, 1, 2, 4, 6), tuple("tczyx"))
    return tmp_path / "v"


def test_a_shard_may_be_a_part_of_a_frame(volume: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (3, 1, 5, 7, 6), np.uint8)
    for t, z, y in itertools.product(range(3), (0, 2, 4), (0, 4)):
        name = write_shard(volume, (t, 0, z, y, 0), values[t : t + 1, :, z : z + 2, y : y + 4])
        assert name == f"c/{t}/0/{z // 2}/{y // 4}/0"
        assert (volume / name).is_file()
    assert np.array_equal(open_array(volume)[:], values)


@pytest.mark.parametrize(
    ("corner", "size", "reason"),
    [
        ((0, 0, 1, 0, 0), (1, 1, 2, 4, 6), "begin at a shard"),
        ((0, 0, 0, 2, 0), (1, 1, 2, 4, 6), "begin at a shard"),
        ((0, 0, 0, 0, 3), (1, 1, 2, 4, 3), "begin at a shard"),
        ((0, 0, 0, 0, 0), (1, 1, 2, 4, 3), "whole shard"),
        ((0, 0, 0, 0, 0), (1, 1, 1, 4, 6), "whole shard"),
        ((0, 0, 4, 4, 0), (1, 1, 2, 4, 6), "whole shard"),
        ((0, 0, 0, 0, 0), (2, 1, 2, 4, 6), "whole shard"),
        (0, (1, 1, 5, 7, 6), "whole shard"),
    ],
)
def test_a_task_that_would_write_a_part_of_a_shard_is_refused(
    corner: int | tuple[int, ...], size: tuple[int, ...], reason: str, volume: Path
) -> None:
    with pytest.raises(AssertionError, match=reason):
        write_shard(volume, corner, np.ones(size, np.uint8))
    assert shards(volume) == []


def test_black_rows_are_written_as_all_others(array: Path) -> None:
    for start in (0, 4, 8):
        write_shard(array, start, np.zeros((min(4, 10 - start), 3), np.uint8))
    assert len(shards(array)) == 3


def test_a_reader_cannot_write(array: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        open_array(array)[0] = 1


def test_a_store_of_black_images_has_all_its_shards_and_a_lost_one_is_missed(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("L", (8, 9)).save(tmp_path / "source" / name)
    store = ingest(tmp_path / "source", tmp_path / "store").store
    (shard,) = shards(store.path)
    shard.unlink()
    assert not np.asarray(open_array(store.path / "0" / "0")[:]).any()  # what zarr makes of it
    with pytest.raises(DataError, match="is missing"):
        ImageStore.open(store.path)


@pytest.mark.parametrize("keep", [0, 0.5])
def test_a_store_with_a_shortened_shard_is_refused(keep: float, copy: Path) -> None:
    shard = shards(copy)[0]
    shard.write_bytes(shard.read_bytes()[: int(keep * shard.stat().st_size)])
    with pytest.raises(DataError, match="bytes instead of"):
        ImageStore.open(copy)


def test_no_flipped_bit_of_a_shard_goes_unnoticed(copy: Path) -> None:
    store, shard = ImageStore.open(copy), shards(copy)[0]
    data = shard.read_bytes()
    for position in range(0, len(data), len(data) // 50):
        shard.write_bytes(data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :])
        with pytest.raises(DataError, match=r"copy is damaged.*0/0/c/0/0/0/0/0"):
            read_rows(ImageStore.open(copy).array(store.series[0]), 0, 6)


def test_a_missing_or_unfinished_store_is_refused(copy: Path) -> None:
    with pytest.raises(MissingError, match="no such directory"):
        ImageStore.open(copy / "nowhere")
    (copy / "MANIFEST.json").unlink()
    with pytest.raises(DataError, match="did not finish"):
        ImageStore.open(copy)


def test_opening_returns_what_was_written(image_store: ImageStore, pixels: np.ndarray) -> None:
    store = ImageStore.open(image_store.path)
    (series,) = store.series
    assert store.manifest == image_store.manifest
    assert store.files == image_store.files
    assert store.images == image_store.images
    assert store.images.column("embryo").to_pylist() == list("aabbcc")
    assert series == image_store.series[0]
    assert series.frame_shape == (1, 1, 24, 32)
    assert np.array_equal(store.array(series)[:, 0, 0], pixels)


def test_chunks_are_compressed_with_a_checksum(image_store: ImageStore) -> None:
    array = image_store.array(image_store.series[0])
    assert array.compressors == (zarr.codecs.ZstdCodec(level=1, checksum=True),)
    assert array.shards is not None


@given(
    shape=st.tuples(
        st.integers(1, 10**6), st.integers(1, 5), st.integers(1, 200), st.integers(1, 5000), st.integers(1, 5000)
    ),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
)
def test_whole_chunks_fill_whole_shards_and_neither_grows_with_the_data(
    shape: tuple[int, int, int, int, int], dtype: str
) -> None:
    chunk, shard = frame_layout(shape, dtype)
    item_bytes = np.dtype(dtype).itemsize
    assert all(outer % inner == 0 for outer, inner in zip(shard, chunk, strict=True))
    assert all(inner <= size for inner, size in zip(chunk, shape, strict=True))
    assert all(outer - inner < size for outer, inner, size in zip(shard, chunk, shape, strict=True))
    assert math.prod(chunk) * item_bytes <= max(CHUNK_BYTES, 1024 * 1024 * item_bytes)
    assert math.prod(shard) * item_bytes <= SHARD_BYTES


@given(shape=st.tuples(st.integers(1, 50), st.integers(1, 5), *[st.integers(1, 9000) for _ in "zyx"]))
def test_a_shard_takes_whole_axes_from_the_last_on(shape: tuple[int, int, int, int, int]) -> None:
    """So that a file's rows, planes and channels are read in the order in which they lie."""
    chunk, shard = frame_layout(shape, "uint16")
    cut = [axis for axis in range(5) if shard[axis] < shape[axis]]
    if cut:
        last = max(cut)
        assert all(shard[axis] == chunk[axis] for axis in range(last))
        assert math.prod(shard) // shard[last] * (shard[last] + chunk[last]) * 2 > SHARD_BYTES
