"""The embedding store: what a model knows of every sample of a patch store, in the same order.

STORE/NAME           N D float32, one array per kind of features, sharded along N
STORE/obs.parquet    the metadata of the patch store, one row per sample
STORE/MANIFEST.json  written last; the digests of the model and of the patch store
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from storage.codecs import codec
from storage.durable import disk_errors, require_nothing, sync
from storage.errors import DataError, RecipeError
from storage.manifest import Manifest, read_manifest
from storage.patches import memory_bytes
from storage.store import create_array, open_array, read_rows, read_table, write_shard

KIND = "embedding store"
Features = NDArray[np.float32]
"""N D."""


@dataclass(frozen=True)
class EmbeddingStore:
    """A committed embedding store, open for reading.  sizes: name -> D.  rows: samples that are decoded together."""

    path: Path
    manifest: Manifest
    obs: pa.Table
    sizes: Mapping[str, int]
    rows: int

    @classmethod
    def open(cls, path: Path) -> "EmbeddingStore":
        """Open a committed store.

        Raises MissingError: there is none.  Raises DataError: it is unfinished or damaged.
        """
        manifest = read_manifest(path, KIND)
        obs = read_table(path / "obs.parquet")
        sizes, rows = dict(manifest.facts["features"]), int(manifest.facts["rows"])
        for name, size in sizes.items():
            found = open_array(path / name).shape
            if found != (obs.num_rows, size):
                raise DataError(
                    f"the embedding store at {path} is damaged",
                    f"{name} is {found}, and there are {obs.num_rows} rows of metadata",
                    "Embed again",
                )
        return cls(path, manifest, obs, sizes, rows)

    @property
    def digest(self) -> str:
        """Names the content of the store."""
        return self.manifest.digest

    def blocks(self, name: str) -> Iterator[tuple[int, Features]]:
        """All features of that name in order, a shard at a time, with the row each begins at.

        Raises RecipeError: there are none of that name.  Raises DataError: they are not as they were written.
        """
        if name not in self.sizes:
            raise RecipeError(
                f"{self.path} has no features {name!r}", f"it has {', '.join(self.sizes)}", "Name one of these"
            )
        array = open_array(self.path / name)
        for start in range(0, self.obs.num_rows, self.rows):
            yield start, read_rows(array, start, start + self.rows)

    def read(self, name: str) -> Features:
        """All features of that name in memory, N D; raises as `blocks` does.

        Raises RecipeError: they would take more than half of the machine's memory.
        """
        size = 4 * self.obs.num_rows * self.sizes.get(name, 0)
        if size > memory_bytes() // 2:
            raise RecipeError(
                f"the features {name} of {self.path} do not fit in memory",
                f"{size / 2**30:.1f} GiB, and half of this machine's memory is {memory_bytes() / 2**31:.1f} GiB",
                "Read them in blocks, or embed a smaller store",
            )
        return np.concatenate([block for _, block in self.blocks(name)])


@dataclass(frozen=True)
class EmbeddingArrays:
    """The arrays of an embedding store that is to be written.  count: N.  sizes: name -> D.  rows: of a shard."""

    count: int
    sizes: Mapping[str, int]
    rows: int

    @property
    def shards(self) -> list[tuple[int, int]]:
        """First row, and the row after the last, of every shard."""
        return [(start, min(start + self.rows, self.count)) for start in range(0, self.count, self.rows)]

    def create(self, store: Path) -> None:
        """Create the arrays, empty."""
        for name, size in self.sizes.items():
            shard = (self.rows, size)
            create_array(store / name, (self.count, size), "float32", shard, shard, ("sample", name), codec("zstd"))

    def write(self, store: Path, start: int, features: Mapping[str, Features]) -> Sequence[str]:
        """Write the shard that begins at row `start`; the objects it consists of, as paths below the store."""
        return [f"{name}/{write_shard(store / name, start, features[name])}" for name in self.sizes]


def export(store: EmbeddingStore, target: Path) -> None:
    """Write metadata and features as one Parquet table, a row group per shard: columns NAME_0, NAME_1, ...

    Raises RecipeError: something stands there, or a metadata column has such a name.
    """
    require_nothing(target)
    named = {name: [f"{name}_{number}" for number in range(size)] for name, size in store.sizes.items()}
    if taken := sorted({one for names in named.values() for one in names} & set(store.obs.column_names)):
        raise RecipeError("features and metadata have columns of one name", taken[0], "Rename that metadata column")
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_table(store, named, partial)
            sync(partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def _write_table(store: EmbeddingStore, named: Mapping[str, Sequence[str]], path: Path) -> None:
    writer: pq.ParquetWriter | None = None
    try:
        for parts in zip(*(store.blocks(name) for name in named), strict=True):
            start, rows = parts[0][0], len(parts[0][1])
            table = store.obs.slice(start, rows)
            for names, (_, features) in zip(named.values(), parts, strict=True):
                for name, column in zip(names, features.T, strict=True):
                    table = table.append_column(name, pa.array(column))
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
    finally:
        if writer:
            writer.close()
