"""What was made in memory, as a store: samples as a patch or an image store, features as an embedding store."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage import embeddings, patches, store
from storage.codecs import DEFAULT
from storage.embeddings import EmbeddingArrays, EmbeddingStore, Features
from storage.manifest import Facts, committed
from storage.ome import write_metadata
from storage.patches import PatchArrays, Patches, PatchStore
from storage.store import ImageStore, Series, array_name, create_array, frame_layout, series_facts, write_shard


def write_patches(
    target: Path, images: Patches, obs: pa.Table, facts: Facts, labels: Mapping[str, Patches] | None = None
) -> PatchStore:
    """Write samples N C H W or N C D H W, and a row of metadata for each, as a new patch store.

    facts: "channels", "value_range" and "pixel_um" as `PatchStore` has them, "source" (a digest of what they were made
    of), "recipe" (how), and whatever else is to be remembered.  labels: label images N H W that come along, by name.
    Raises RecipeError: something stands at `target`.
    """
    labels = labels or {}
    dtypes = {name: one.dtype.name for name, one in labels.items()}
    arrays = PatchArrays(images.shape, images.dtype.name, dtypes, {"name": DEFAULT.name})
    with committed(target, patches.KIND, {"labels": list(labels)} | facts) as partial:
        arrays.create(partial)
        for start, stop in arrays.shards:
            part = {name: one[start:stop] for name, one in labels.items()}
            arrays.write(partial, start, images[start:stop], part)
        pq.write_table(obs, partial / "obs.parquet")
    return PatchStore.open(target)


def write_embeddings(target: Path, features: Mapping[str, Features], obs: pa.Table, facts: Facts) -> EmbeddingStore:
    """Write features N D of each name, and a row of metadata for each of the N, as a new embedding store.

    facts: whatever is to be remembered.
    Raises RecipeError: something stands at `target`.
    """
    sizes = {name: values.shape[1] for name, values in features.items()}
    arrays = EmbeddingArrays(obs.num_rows, sizes, obs.num_rows)
    with committed(target, embeddings.KIND, {"features": sizes, "rows": arrays.rows} | facts) as partial:
        arrays.create(partial)
        arrays.write(partial, 0, features)
        pq.write_table(obs, partial / "obs.parquet")
    return EmbeddingStore.open(target)


def write_images(target: Path, images: Patches, obs: pa.Table, facts: Facts) -> ImageStore:
    """Write flat images N C H W, and a row of metadata for each, as a new image store: any viewer of OME-Zarr opens it.

    obs: its column "file" names the images.  facts: "channels" and "pixel_um" as `PatchStore` has them, and whatever
    else is to be remembered.
    Raises RecipeError: something stands at `target`.
    """
    count, channels, height, width = images.shape
    edges = (None, *facts["pixel_um"][-2:])
    series = Series("0", (count, channels, 1, height, width), images.dtype.name, tuple(facts["channels"]), edges)
    chunk, shard = frame_layout(series.shape, series.dtype)
    known = {"source": "made", "series": [series_facts(series)]} | facts
    with committed(target, store.KIND, known) as partial:
        array = partial / array_name(series.name)
        create_array(array, series.shape, series.dtype, chunk, shard, ("t", "c", "z", "y", "x"))
        for corner in product(*(range(0, size, step) for size, step in zip(series.shape, shard, strict=True))):
            box = tuple(slice(low, low + step) for low, step in zip(corner, shard, strict=True))
            write_shard(array, corner, images[:, :, None][box])
        write_metadata(partial, [series])
        own: dict[str, Any] = {"series": [series.name] * count, "first_frame": range(count), "frames": [1] * count}
        own["labels"] = pa.array([[]] * count, pa.list_(pa.string()))
        pq.write_table(_with(obs, own), partial / "images.parquet")
        pq.write_table(_files(images, obs.column("file").to_pylist()), partial / "files.parquet")
    return ImageStore.open(target)


def _with(table: pa.Table, columns: Mapping[str, Any]) -> pa.Table:
    for name, values in columns.items():
        table = table.append_column(name, values if isinstance(values, pa.Array) else pa.array(list(values)))
    return table


def _files(images: Patches, names: list[str]) -> pa.Table:
    """A row for each image, as of a file."""
    count, values = len(images), images.reshape(len(images), -1)
    low, high = values.min(1), values.max(1)
    nothing = {name: pa.array([None] * count, kind) for name, kind in _UNTOLD.items()}
    return pa.table(
        {
            "file": names,
            "image": range(count),
            **nothing,
            "shape": [list(images.shape[2:])] * count,
            "dtype": [images.dtype.name] * count,
            "min": low.astype(float),
            "max": high.astype(float),
            "nan": [0] * count,
            "constant": low == high,
            "saturated": [False] * count,
            "sha256": [""] * count,
        }
    )


_UNTOLD = {
    "channel": pa.string(),
    "z": pa.int64(),
    "t": pa.int64(),
    "labels": pa.string(),
    "duplicate_of": pa.string(),
}
"""Columns of files.parquet of which there is nothing to say."""
