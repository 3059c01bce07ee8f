"""The tables of an image store: one row per file, and one per image."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from storage.arrange import Arranged
from storage.assemble import Image, Piece
from storage.errors import DataError
from storage.fill import Found
from storage.layout import PLACES, Layout, Value, as_integers

PLACE = ("frame", "z", "y", "x")
"""The columns that `prepare` adds to those of the images."""
SATURATED = 0.01
"""Share of the values at the top of their range above which an image is called saturated."""
_OURS = ("file", "series", "first_frame", "frames", *PLACES, *PLACE)


def images_table(arranged: Sequence[Arranged], layout: Layout) -> pa.Table:
    """One row per image, as `storage.store.ImageStore` says; a column that some images lack is null there.

    Raises DataError: a column of the metadata has the name of one of ours.
    """
    rows = [(one, image, first) for one in arranged for image, first in zip(one.images, one.firsts, strict=False)]
    columns: dict[str, Any] = {
        "file": [image.file for _, image, _ in rows],
        "series": [one.series.name for one, _, _ in rows],
        "first_frame": [first for _, _, first in rows],
        "frames": [image.shape[0] for _, image, _ in rows],
        "labels": pa.array([sorted(image.labels) for _, image, _ in rows], pa.list_(pa.string())),
    }
    described = [image.metadata for _, image, _ in rows]
    for name in dict.fromkeys(name for one in described for name in one):
        if name in _OURS:
            raise DataError("a metadata column has a reserved name", name, "Rename it")
        columns[name] = _column([one.get(name) for one in described], name in layout.numbers)
    return pa.table(columns)


def files_table(arranged: Sequence[Arranged], found: Mapping[str, Found]) -> pa.Table:
    """One row per file, as `storage.store.ImageStore` says, in the order of the images.

    found: file -> what all shards together say of it.
    """
    rows: list[dict[str, Any]] = []
    earlier: dict[object, str] = {}
    for index, image in enumerate(image for one in arranged for image in one.images):
        rows += [{"image": index} | _row(piece, found[piece.source.file]) for piece in _pieces(image)]
    for row in rows:
        row["duplicate_of"] = _duplicate(row, found[row["file"]], earlier)
    names = ["file", *(name for name in rows[0] if name != "file")]
    columns = {name: [row[name] for row in rows] for name in names}
    exact = {"channel": pa.string(), "labels": pa.string(), "duplicate_of": pa.string(), "shape": pa.list_(pa.int64())}
    exact |= {name: _number_type(columns[name]) for name in ("z", "t", "min", "max")}
    return pa.table({name: pa.array(values, exact.get(name)) for name, values in columns.items()})


def reports(files: pa.Table) -> dict[str, int]:
    """How many files have something odd about them."""
    columns = {name: files.column(name).to_pylist() for name in ("nan", "constant", "saturated", "duplicate_of")}
    return {name: sum(bool(value) for value in values) for name, values in columns.items()}


def _pieces(image: Image) -> Iterable[Piece]:
    return (piece for pieces in (image.pieces, *image.labels.values()) for piece in pieces)


def _row(piece: Piece, found: Found) -> dict[str, Any]:
    facts, said = piece.source.facts, piece.source.described
    size = int(np.prod(facts.shape))
    binary = facts.stored_dtype == "bool" or found["top"] + found["bottom"] == size
    return {
        "file": piece.source.file,
        "channel": str(said["channel"]) if "channel" in said else None,
        "z": float(said["z"]) if "z" in said else None,
        "t": float(said["t"]) if "t" in said else None,
        "labels": piece.source.labels or None,
        "shape": list(facts.stored_shape),
        "dtype": facts.stored_dtype,
        "min": found["min"],
        "max": found["max"],
        "nan": found["nan"],
        "constant": found["nan"] == 0 and found["min"] == found["max"],
        "saturated": not (binary or piece.source.labels) and found["top"] > SATURATED * size,
        "sha256": found["sha256"],
    }


def _duplicate(row: Mapping[str, Any], found: Found, earlier: dict[object, str]) -> str | None:
    """The first file of equal bytes or pixels; images of one value are only called constant."""
    if row["constant"]:
        return None
    number = row["file"].rpartition("#")[2] if "#" in row["file"] else ""
    keys = ((row["sha256"], number), found["pixels"])
    first = next((earlier[key] for key in keys if key in earlier), None)
    for key in keys:
        earlier.setdefault(key, row["file"])
    return first


def _number_type(values: Sequence[Any]) -> pa.DataType:
    """int64 if every number is one; a table has one type per column."""
    whole = all(value is None or (float(value).is_integer() and abs(value) < 2**63) for value in values)
    return pa.int64() if whole else pa.float64()


def _column(values: list[Value | None], numbers: bool) -> pa.Array:
    if numbers:
        values = as_integers(values)
    kinds = {type(value) for value in values if value is not None}
    if str in kinds and len(kinds) > 1:
        values = [None if value is None else str(value) for value in values]
    return pa.array(values, pa.float64() if kinds == {int, float} else None)
