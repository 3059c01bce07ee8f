"""The image store: OME-Zarr 0.5, many images of equal shape in one array.

    STORE/                        an OME-Zarr collection of images ("bioformats2raw.layout" 3)
      0/0                         T C Z Y X; along T the frames of all images of one kind, one after another
      0/labels/NAME/0             T 1 Z Y X integers; label images that lie on them, zeros where an image has none
      1/0                         the images of another shape, dtype, channel list or pixel size
      PLATE/ROW/COLUMN/FIELD/0    an image of a screen, which has an array of its own
      files.parquet               one row per file: its place in its image, range, digest, and what is odd about it
      images.parquet              one row per image: where its frames lie, and metadata
      MANIFEST.json               written last

One OME-Zarr image per file would cost 36 CPU-ms and 11 files each; sharing keeps a folder of small
files as few objects, and each array opens in any viewer.
"""

import contextlib
import itertools
import lzma
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from numpy.typing import NDArray

from storage.codecs import DEFAULT, Codec, numcodecs_allowed
from storage.errors import DataError
from storage.guard import guard_of, touch
from storage.manifest import Manifest, read_manifest
from storage.metadata import DOCUMENTS, read_metadata

KIND = "image store"
CHUNK_BYTES = 1 << 20
SHARD_BYTES = 64 << 20
DAMAGES = (RuntimeError, ValueError, TypeError, IndexError, EOFError, OSError, zlib.error, lzma.LZMAError)
"""What zarr and its codecs raise when bytes are not what they wrote."""


@dataclass(frozen=True)
class Series:
    """One OME-Zarr image of the store: the frames of all images of one kind, or one image of a screen.

    name: its path in the store.  shape: T C Z Y X.  pixel_um: edge of a voxel in z, y, x in micrometres, None
    where unknown.  labels: names of its label images.
    """

    name: str
    shape: tuple[int, int, int, int, int]
    dtype: str
    channels: tuple[str, ...]
    pixel_um: tuple[float | None, float | None, float | None]
    labels: tuple[str, ...] = ()

    @property
    def frame_shape(self) -> tuple[int, int, int, int]:
        """C Z Y X of each frame."""
        return self.shape[1:]


@dataclass(frozen=True)
class ImageStore:
    """A committed image store, open for reading.

    files: one row per file: file ("name.tif#1" is the second image of name.tif), image (row of `images`), channel,
    z, t, labels (its place, null where it says none), shape and dtype (as the file has them), min and max (of the
    finite values), nan (how many are not), constant, saturated (more than 1 % at the top of the range),
    duplicate_of (an earlier file of equal bytes or pixels), sha256.
    images: one row per image: file (its first), series, first_frame, frames, labels (names of its label images),
    and a column for everything the layout says.
    """

    path: Path
    manifest: Manifest
    series: tuple[Series, ...]
    files: pa.Table
    images: pa.Table

    @classmethod
    def open(cls, path: Path) -> "ImageStore":
        """Open a committed store.

        Raises MissingError: there is none.  Raises DataError: it is unfinished or damaged.
        """
        manifest = read_manifest(path, KIND)
        series = tuple(_series_from(fields) for fields in manifest.facts["series"])
        files, images = (read_table(path / f"{name}.parquet") for name in ("files", "images"))
        return cls(path, manifest, series, files, images)

    def array(self, series: Series, labels: str = "") -> "zarr.Array[Any]":
        """The array of one image, T C Z Y X, or of one of its label images, T 1 Z Y X."""
        return open_array(self.path / array_name(series.name, labels))


def array_name(series: str, labels: str = "") -> str:
    """Path in the store of an image's array, or of one of its label images'."""
    return f"{series}/labels/{labels}/0" if labels else f"{series}/0"


def open_array(path: Path) -> "zarr.Array[Any]":
    """Open a Zarr array for reading; each task opens its own, so that it can run anywhere.

    Raises MissingError: there is none.  Raises DataError: it is damaged, or declares what is not allowed.
    """
    for document in DOCUMENTS:
        if (path / document).is_file():
            touch(path / document)
    return _open(path, "r")


def read_table(path: Path) -> pa.Table:
    """A Parquet file of a store.

    Raises DataError: it is damaged.
    """
    touch(path)
    return pq.read_table(path)


def read_rows(array: "zarr.Array[Any]", start: int, stop: int, *, digest: bool = True) -> NDArray[Any]:
    """Rows `start` .. `stop` along the first axis, as `read_box` reads them."""
    return read_box(array, (slice(start, stop),), digest=digest)


def read_box(array: "zarr.Array[Any]", box: tuple[slice, ...], *, digest: bool = True) -> NDArray[Any]:
    """A box of an array, whole along the axes that are not named.

    digest: whether an object is read whole the first time, for its SHA-256; without it its length and the checksums
    of the chunks that are read stand for it, which two objects that changed places escape.
    Raises DataError: what is there is not as it was written.
    """
    _touch(array, box, digest)
    try:
        return np.asarray(array[box])
    except DAMAGES as error:  # of a chunk, or of the index of a shard
        raise DataError(
            f"{array.store_path} is damaged", str(error), "Make it again, or restore it from a copy"
        ) from error


def create_array(
    path: Path,
    shape: tuple[int, ...],
    dtype: str,
    chunk: tuple[int, ...],
    shard: tuple[int, ...],
    names: tuple[str, ...],
    codec: Codec = DEFAULT,
) -> None:
    """Create an array in which a missing or damaged chunk can be told from a black one.

    zarr reads a missing chunk as zeros. Here every chunk has a checksum, and `write_shard` writes empty ones too.
    """
    filters, compressors = codec.chain(dtype)
    zarr.create_array(
        path,
        shape=shape,
        dtype=dtype,
        chunks=chunk,
        shards=shard,
        filters=filters or None,
        compressors=compressors,
        dimension_names=names,
    )


def write_shard(path: Path, start: int | tuple[int, ...], block: NDArray[Any]) -> str:
    """Write one whole shard, whose first item is `start`, and return its path below `path`.

    start: one index per axis, or the row of an array that is sharded along its first axis only.
    zarr corrupts a shard that two writers share without a word; hence one task, one shard. It also forgets,
    when it opens an array, that empty chunks are wanted.
    """
    array = _open(path, "r+").with_config({"write_empty_chunks": True})
    assert array.shards is not None
    corner = start if isinstance(start, tuple) else (start, *(0 for _ in array.shape[1:]))
    places = tuple(zip(corner, array.shards, array.shape, strict=True))
    assert all(low % size == 0 for low, size, _ in places), "a task must begin at a shard"
    assert block.shape == tuple(min(size, end - low) for low, size, end in places), "a task must write a whole shard"
    array[tuple(slice(low, low + size) for low, size in zip(corner, block.shape, strict=True))] = block
    return "c/" + "/".join(str(low // size) for low, size, _ in places)


def _open(path: Path, mode: Literal["r", "r+"]) -> "zarr.Array[Any]":
    codecs = read_metadata(path).codecs
    foreign = any(name.startswith("numcodecs.") for name in codecs)
    try:
        with numcodecs_allowed() if foreign else contextlib.nullcontext():
            return zarr.open_array(path, mode=mode)
    except Exception as error:  # whatever zarr finds wrong with metadata that passed our own checks
        raise DataError(f"{path} cannot be opened", str(error), "Make it again, or restore it from a copy") from error


def _touch(array: "zarr.Array[Any]", box: tuple[slice, ...], digest: bool) -> None:
    """Check the objects that hold a box, if the array is in a committed store."""
    found = guard_of(Path(str(array.store_path).removeprefix("file://")))
    if found is None:
        return
    guard, name = found
    whole = (*box, *(slice(None) for _ in array.shape[len(box) :]))
    touched = []
    for part, size, stored in zip(whole, array.shape, array.shards or array.chunks, strict=True):
        start, stop, _ = part.indices(size)
        touched.append(range(start // stored, math.ceil(stop / stored)))
    for index in itertools.product(*touched):
        guard.touch(f"{name}/{array.metadata.encode_chunk_key(index)}", digest)


def rows_per(item_bytes: int, target_bytes: int) -> int:
    """How many items of that size make about `target_bytes`, at least one."""
    return max(1, target_bytes // item_bytes)


def frame_layout(shape: tuple[int, ...], dtype: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Chunk and shard of a T C Z Y X array: whole small frames together, big planes in 1024 x 1024 tiles.

    A shard is about SHARD_BYTES, whatever the size of a frame: rows of a plane, then planes, channels and times.
    """
    item_bytes = np.dtype(dtype).itemsize
    chunk = [1, 1, 1, min(shape[3], 1024), min(shape[4], 1024)]
    if shape[3] <= 1024 and shape[4] <= 1024:
        _grow(chunk, shape, (2, 1, 0), CHUNK_BYTES // item_bytes)
    shard = list(chunk)
    _grow(shard, shape, (4, 3, 2, 1, 0), SHARD_BYTES // item_bytes)
    return tuple(chunk), tuple(shard)


def _grow(box: list[int], shape: tuple[int, ...], axes: tuple[int, ...], items: int) -> None:
    """Take whole axes of `shape`, one after another, in steps of the box, while at most `items` fit."""
    for axis in axes:
        step = box[axis]
        wanted = math.ceil(shape[axis] / step)
        box[axis] = step * min(wanted, rows_per(math.prod(box), items))
        if box[axis] < step * wanted:
            break


def series_facts(series: Series) -> dict[str, Any]:
    """What the manifest remembers of one image."""
    return {
        "name": series.name,
        "shape": list(series.shape),
        "dtype": series.dtype,
        "channels": list(series.channels),
        "pixel_um": list(series.pixel_um),
        "labels": list(series.labels),
    }


def _series_from(fields: dict[str, Any]) -> Series:
    t, c, z, y, x = fields["shape"]
    dz, dy, dx = fields["pixel_um"]
    channels, labels = tuple(fields["channels"]), tuple(fields["labels"])
    return Series(fields["name"], (t, c, z, y, x), fields["dtype"], channels, (dz, dy, dx), labels)
