"""The patch store: what a network is fed.

STORE/images         N C H W or N C D H W; uint8, uint16 or float32; sharded along N, rows shuffled when written
STORE/labels/NAME    N H W or N D H W integers: label images that lie on the images, in the same order
STORE/obs.parquet    one row of metadata per sample, in the same order
STORE/MANIFEST.json  written last; channels, range, recipe, and the digest of the image store
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.codecs import codec
from storage.errors import DataError, RecipeError
from storage.manifest import Manifest, read_manifest
from storage.store import (
    CHUNK_BYTES,
    SHARD_BYTES,
    create_array,
    open_array,
    read_rows,
    read_table,
    rows_per,
    write_shard,
)

KIND = "patch store"
DTYPES = ("uint8", "uint16", "float32")
CHUNKS_PER_READ = 16
"""Zarr decodes the chunks of one read side by side: 16 MiB came 1.7 times as fast as 1 MiB on two cores."""
SHARDS = 16
"""A store of many chunks has at least so many shards, however small, so that as many workers can write it."""
Patches = NDArray[Any]
"""N C H W or N C D H W, of one of DTYPES."""


@dataclass(frozen=True)
class PatchStore:
    """A committed patch store, open for reading.

    shape: N C H W or N C D H W.  value_range: the values that mean black and white.  pixel_um: edge of a
    voxel along each of the axes H W or D H W, in micrometres, None where unknown.  chunk: samples that are
    decoded together.  labels: names of the label images that come along.
    """

    path: Path
    manifest: Manifest
    obs: pa.Table
    shape: tuple[int, ...]
    dtype: str
    channels: tuple[str, ...]
    value_range: tuple[float, float]
    pixel_um: tuple[float | None, ...]
    chunk: int
    labels: tuple[str, ...]
    _arrays: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def open(cls, path: Path) -> "PatchStore":
        """Open a committed store.

        Raises MissingError: there is none.  Raises DataError: it is unfinished or damaged.
        """
        manifest = read_manifest(path, KIND)
        facts = manifest.facts
        array = open_array(path / "images")
        obs = read_table(path / "obs.parquet")
        if obs.num_rows != array.shape[0]:
            raise DataError(
                f"the patch store at {path} is damaged",
                f"{array.shape[0]} images but {obs.num_rows} rows of metadata",
                "Prepare it again",
            )
        low, high = facts["value_range"]
        return cls(
            path,
            manifest,
            obs,
            array.shape,
            array.dtype.name,
            tuple(facts["channels"]),
            (low, high),
            tuple(facts["pixel_um"]),
            array.chunks[0],
            tuple(facts["labels"]),
        )

    @property
    def digest(self) -> str:
        """Names the content of the store."""
        return self.manifest.digest

    @property
    def sample_bytes(self) -> int:
        """Size of one sample in memory, its label images not counted."""
        return math.prod(self.shape[1:]) * np.dtype(self.dtype).itemsize

    def read_rows(self, start: int, stop: int, labels: str | None = None, *, digest: bool = True) -> Patches:
        """The samples `start` .. `stop`, or one of their label images (N H W or N D H W).

        digest: as of `storage.store.read_rows`.
        Raises DataError: a bit of them is not as it was written.
        """
        name = f"labels/{labels}" if labels else "images"
        if name not in self._arrays:
            self._arrays[name] = open_array(self.path / name)
        return read_rows(self._arrays[name], start, stop, digest=digest)

    def blocks(self, chunks: int = 1, labels: str | None = None) -> Iterator[tuple[int, Patches]]:
        """Every sample in order, so many inner chunks at a time, with the row each block begins at."""
        rows = self.chunk * chunks
        for start in range(0, self.shape[0], rows):
            yield start, self.read_rows(start, start + rows, labels)

    def read(self, rows: NDArray[np.int64], labels: str | None = None) -> Patches:
        """The samples of the given sorted rows, or one of their label images, in memory.

        Raises RecipeError: they would take more than half of the machine's memory.
        """
        if len(rows) * self.sample_bytes > memory_bytes() // 2:
            raise RecipeError(
                f"the samples chosen from {self.path} do not fit in memory",
                f"{len(rows) * self.sample_bytes / 2**30:.1f} GiB, "
                f"and half of this machine's memory is {memory_bytes() / 2**31:.1f} GiB",
                "Choose fewer with data.subset or data.fraction, or stream them: data.resident",
            )
        assert (np.diff(rows) > 0).all(), "rows must rise"
        found: Patches | None = None
        step = self.chunk * CHUNKS_PER_READ
        for start in np.unique(rows // step).tolist() if len(rows) else [0]:
            block = self.read_rows(start * step, (start + 1) * step, labels)
            first, last = np.searchsorted(rows, (start * step, (start + 1) * step))
            if found is None:
                found = np.empty((len(rows), *block.shape[1:]), block.dtype)
            found[first:last] = block if last - first == len(block) else block[rows[first:last] - start * step]
        assert found is not None
        return found


@dataclass(frozen=True)
class PatchArrays:
    """The arrays of a patch store that is to be written.

    shape: N C H W or N C D H W.  labels: name -> dtype.  codec: as of `storage.codecs`.
    """

    shape: tuple[int, ...]
    dtype: str
    labels: Mapping[str, str]
    codec: Mapping[str, Any]

    @property
    def layout(self) -> tuple[int, int]:
        """Samples of a chunk and of a shard."""
        count, *sample = self.shape
        chunk = min(rows_per(math.prod(sample) * np.dtype(self.dtype).itemsize, CHUNK_BYTES), count)
        chunks = math.ceil(count / chunk)
        most = max(1, SHARD_BYTES // CHUNK_BYTES)
        return chunk, chunk * min(most, math.ceil(chunks / SHARDS))

    @property
    def shards(self) -> list[tuple[int, int]]:
        """First row, and the row after the last, of every shard."""
        _, shard = self.layout
        return [(start, min(start + shard, self.shape[0])) for start in range(0, self.shape[0], shard)]

    def create(self, store: Path) -> None:
        """Create the arrays, empty."""
        space = ("z", "y", "x")[-(len(self.shape) - 2) :]
        chosen = codec(**self.codec)
        chunk, shard = self.layout
        sample = self.shape[1:]
        create_array(
            store / "images",
            self.shape,
            self.dtype,
            (chunk, *sample),
            (shard, *sample),
            ("sample", "c", *space),
            chosen,
        )
        lossless = codec("zstd")
        for name, dtype in self.labels.items():
            shape, rest = (self.shape[0], *sample[1:]), sample[1:]
            place = store / "labels" / name
            create_array(place, shape, dtype, (chunk, *rest), (shard, *rest), ("sample", *space), lossless)

    def write(self, store: Path, start: int, images: Patches, labels: Mapping[str, NDArray[Any]]) -> Sequence[str]:
        """Write the shard that begins at row `start`; the objects it consists of, as paths below the store."""
        _, shard = self.layout
        write_shard(store / "images", start, images)
        for name in self.labels:
            write_shard(store / "labels" / name, start, labels[name])
        zeros = "/0" * (len(self.shape) - 1)
        written = [f"images/c/{start // shard}{zeros}"]
        return written + [f"labels/{name}/c/{start // shard}{zeros.removesuffix('/0')}" for name in self.labels]


def memory_bytes() -> int:
    """Physical memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
