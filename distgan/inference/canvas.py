"""Tissue as an image store: one image with its label images, written tile by tile, and read as a plane again."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from storage.errors import RecipeError
from storage.manifest import Facts, committed
from storage.ome import write_metadata
from storage.store import KIND, ImageStore, Series, array_name, create_array, read_box, series_facts, write_shard

Windows = Callable[[slice, slice], dict[str, NDArray[Any]]]
Write = Callable[[slice, slice, NDArray[Any], NDArray[np.bool_]], None]
"""(rows, columns, image C H W, labels L H W) -> a tile is on the disk."""


@contextmanager
def canvas(target: Path, series: Series, tile: tuple[int, int], facts: Facts) -> Iterator[Write]:
    """A new image store of one image, committed when the block ends well; the block writes every tile once.

    tile: height and width; tiles begin at their multiples.  facts: whatever is to be remembered.
    Raises RecipeError: something stands at `target`.
    """
    _, channels, _, height, width = series.shape
    chunk = min(tile[0], 1024), min(tile[1], 1024)
    lowest, highest = np.inf, -np.inf
    facts = {"source": "made", "series": [series_facts(series)]} | facts
    with committed(target, KIND, facts) as partial:
        for labels in ("", *series.labels):
            count, dtype = (1, "uint8") if labels else (channels, series.dtype)
            create_array(
                partial / array_name(series.name, labels),
                (1, count, 1, height, width),
                dtype,
                (1, 1, 1, *chunk),
                (1, count, 1, *tile),
                ("t", "c", "z", "y", "x"),
            )

        def write(rows: slice, columns: slice, image: NDArray[Any], labels: NDArray[np.bool_]) -> None:
            nonlocal lowest, highest
            corner = (0, 0, 0, rows.start, columns.start)
            write_shard(partial / array_name(series.name), corner, image[None, :, None])
            for name, one in zip(series.labels, labels, strict=True):
                write_shard(partial / array_name(series.name, name), corner, one[None, None, None].astype(np.uint8))
            lowest, highest = min(lowest, image.min()), max(highest, image.max())

        yield write
        write_metadata(partial, [series])
        pq.write_table(_images(series), partial / "images.parquet")
        pq.write_table(_files(series, float(lowest), float(highest)), partial / "files.parquet")


def plane_of(store: ImageStore, structures: tuple[str, ...]) -> tuple[Windows, tuple[int, int]]:
    """Windows of the label images of the store's only frame, mirrored beyond its border, and its height and width.

    Raises RecipeError: it has more than one plane, or not these label images.
    """
    series = store.series[0]
    height, width = series.shape[3:]
    if len(store.series) > 1 or series.shape[0] * series.shape[2] > 1:
        raise RecipeError(
            f"{store.path} is not one plane",
            f"{len(store.series)} image(s), the first of T C Z Y X = {series.shape}",
            "Give what `distgan sample --size` or `distgan edit` wrote",
        )
    if missing := [name for name in structures if name not in series.labels]:
        raise RecipeError(
            f"{store.path} has no label image {missing[0]!r}",
            f"it has {', '.join(series.labels) or 'none'}",
            "Give a store with the label images that the model was trained with",
        )
    arrays = {name: store.array(series, name) for name in structures}

    def windows(rows: slice, columns: slice) -> dict[str, NDArray[Any]]:
        y, x = mirrored(rows, height), mirrored(columns, width)
        box = (slice(0, 1), slice(0, 1), slice(0, 1), slice(y.min(), y.max() + 1), slice(x.min(), x.max() + 1))
        places = np.ix_(y - y.min(), x - x.min())
        return {name: read_box(array, box)[0, 0, 0][places] for name, array in arrays.items()}

    return windows, (height, width)


def mirrored(places: slice, edge: int) -> NDArray[np.int64]:
    """Indices of an axis, as in a mirror beyond its ends."""
    found = np.arange(places.start, places.stop) % (2 * edge)
    return np.where(found < edge, found, 2 * edge - 1 - found)


def _images(series: Series) -> pa.Table:
    table: Mapping[str, Any] = {
        "file": ["made"],
        "series": [series.name],
        "first_frame": [0],
        "frames": [1],
        "labels": pa.array([list(series.labels)], pa.list_(pa.string())),
    }
    return pa.table(table)


def _files(series: Series, low: float, high: float) -> pa.Table:
    """One row for the image, as of a file, and one for each of its label images."""
    names: list[str | None] = [None, *series.labels]
    count = len(names)
    columns: Mapping[str, Any] = {
        "file": [f"labels/{name}" if name else "made" for name in names],
        "image": [0] * count,
        "channel": pa.array([None] * count, pa.string()),
        "z": pa.array([None] * count, pa.int64()),
        "t": pa.array([None] * count, pa.int64()),
        "labels": pa.array(names, pa.string()),
        "shape": [list(series.shape[3:])] * count,
        "dtype": ["uint8" if name else series.dtype for name in names],
        "min": [0.0 if name else low for name in names],
        "max": [1.0 if name else high for name in names],
        "nan": [0] * count,
        "constant": [not name and low == high for name in names],
        "saturated": [False] * count,
        "duplicate_of": pa.array([None] * count, pa.string()),
        "sha256": [""] * count,
    }
    return pa.table(columns)
