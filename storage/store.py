"""The image store: OME-Zarr 0.5, many files of equal shape in one array.

    STORE/                 an OME-Zarr collection of images ("bioformats2raw.layout" 3)
      0/0                  T C Z Y X; along T the frames of all files of one shape and dtype, one after another
      1/0                  the files of another shape, dtype or channel list
      files.parquet        one row per file: where its frames lie, their range, digest, and metadata
      MANIFEST.json        written last

One OME-Zarr image per file would cost 36 CPU-ms and 11 files each; sharing keeps a folder of small
files as few objects, and each image opens in any viewer.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from storage.errors import DataError
from storage.manifest import Manifest, read_manifest

KIND = "image store"
CHUNK_BYTES = 1 << 20
SHARD_BYTES = 64 << 20


@dataclass(frozen=True)
class Series:
    """One image of the store: the frames of all files of one shape, dtype and channel list.

    shape: T C Z Y X.  pixel_um: edge of a voxel in z, y, x in micrometres, None where unknown.
    """

    name: str
    shape: tuple[int, int, int, int, int]
    dtype: str
    channels: tuple[str, ...]
    pixel_um: tuple[float | None, float | None, float | None]

    @property
    def frame_shape(self) -> tuple[int, int, int, int]:
        """C Z Y X of each frame."""
        return self.shape[1:]


@dataclass(frozen=True)
class ImageStore:
    """A committed image store, open for reading."""

    path: Path
    manifest: Manifest
    series: tuple[Series, ...]
    files: pa.Table

    @classmethod
    def open(cls, path: Path) -> "ImageStore":
        """Open a committed store.

        Raises MissingError: there is none.  Raises DataError: it is unfinished or damaged.
        """
        manifest = read_manifest(path, KIND)
        series = tuple(_series_from(fields) for fields in manifest.facts["series"])
        return cls(path, manifest, series, pq.read_table(path / "files.parquet"))

    def array(self, series: Series) -> "zarr.Array[Any]":
        """The array of one image, T C Z Y X."""
        return open_array(self.path / series.name / "0")


def open_array(path: Path) -> "zarr.Array[Any]":
    """Open a Zarr array for reading; each task opens its own, so that it can run anywhere."""
    return zarr.open_array(path, mode="r")


def read_rows(array: "zarr.Array[Any]", start: int, stop: int) -> NDArray[Any]:
    """Rows `start` .. `stop` along the first axis.

    Raises DataError: they are not as they were written.
    """
    try:
        return np.asarray(array[start:stop])
    except (RuntimeError, ValueError) as error:  # a chunk, or the index of a shard
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
) -> None:
    """Create an array in which a missing or damaged chunk can be told from a black one.

    zarr reads a missing chunk as zeros. Here every chunk has a checksum, and `write_shard` writes empty ones too.
    """
    zarr.create_array(
        path,
        shape=shape,
        dtype=dtype,
        chunks=chunk,
        shards=shard,
        filters=None,
        compressors=[ZstdCodec(level=1, checksum=True)],
        dimension_names=names,
    )


def write_shard(path: Path, start: int, block: NDArray[Any]) -> None:
    """Write one whole shard along the first axis, from row `start`.

    zarr corrupts a shard that two writers share without a word; hence one task, one shard. It also forgets,
    when it opens an array, that empty chunks are wanted.
    """
    array = zarr.open_array(path, mode="r+").with_config({"write_empty_chunks": True})
    assert array.shards is not None
    rows = array.shards[0]
    assert start % rows == 0, "a task must begin at a shard"
    assert len(block) == min(rows, array.shape[0] - start), "a task must write a whole shard"
    array[start : start + len(block)] = block


def rows_per(item_bytes: int, target_bytes: int) -> int:
    """How many items of that size make about `target_bytes`, at least one."""
    return max(1, target_bytes // item_bytes)


def frame_layout(shape: tuple[int, int, int, int, int], dtype: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Chunk and shard shape of an image: whole small frames together, big planes in 1024 x 1024 tiles."""
    frames, *frame = shape
    item_bytes = np.dtype(dtype).itemsize
    chunk = [1, 1, 1, min(frame[2], 1024), min(frame[3], 1024)]
    if frame[2] <= 1024 and frame[3] <= 1024:
        for axis in (2, 1, 0):  # z, then c, then t: take whole axes while they fit
            room = rows_per(item_bytes * math.prod(chunk), CHUNK_BYTES)
            chunk[axis] = min(shape[axis], room)
            if chunk[axis] < shape[axis]:
                break
    whole = [chunk[0]] + [math.ceil(size / part) * part for size, part in zip(frame, chunk[1:], strict=True)]
    room = rows_per(item_bytes * math.prod(whole), SHARD_BYTES)
    whole[0] = chunk[0] * min(room, math.ceil(frames / chunk[0]))
    return tuple(chunk), tuple(whole)


def write_ome_metadata(store: Path, series: tuple[Series, ...]) -> None:
    """The metadata that makes the directory an OME-Zarr 0.5 collection."""
    root = zarr.create_group(store, zarr_format=3, overwrite=False)
    root.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    root.create_group("OME").attrs["ome"] = {"version": "0.5", "series": [one.name for one in series]}
    for one in series:
        root.create_group(one.name).attrs["ome"] = _ome_image(one)


def _ome_image(series: Series) -> Mapping[str, Any]:
    space = [
        {"name": name, "type": "space"} | ({"unit": "micrometer"} if size else {})
        for name, size in zip("zyx", series.pixel_um, strict=True)
    ]
    scale = [1.0, 1.0, *(size or 1.0 for size in series.pixel_um)]
    dataset = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}, *space]
    return {
        "version": "0.5",
        "multiscales": [{"name": series.name, "axes": axes, "datasets": [dataset]}],
        "omero": {"channels": [{"label": name, "color": "FFFFFF", "active": True} for name in series.channels]},
    }


def series_facts(series: Series) -> dict[str, Any]:
    """What the manifest remembers of one image."""
    return {
        "name": series.name,
        "shape": list(series.shape),
        "dtype": series.dtype,
        "channels": list(series.channels),
        "pixel_um": list(series.pixel_um),
    }


def _series_from(fields: dict[str, Any]) -> Series:
    t, c, z, y, x = fields["shape"]
    dz, dy, dx = fields["pixel_um"]
    return Series(fields["name"], (t, c, z, y, x), fields["dtype"], tuple(fields["channels"]), (dz, dy, dx))
