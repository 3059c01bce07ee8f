"""Embeddings as AnnData has them on the disk, for scanpy and its kin: a Zarr group of format 2, any version reads it.

Written by its specification (anndata.readthedocs.io, "On-disk format"); the library itself is not needed.

    TARGET/X           N D float32, the first features of the store
    TARGET/obsm/NAME   N D float32, the others
    TARGET/obs         the metadata: texts as categories, numbers as they are
    TARGET/var         the names of the D features
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import zarr
from numpy.typing import NDArray

from storage.durable import staged
from storage.embeddings import EmbeddingStore

MAPPINGS = ("layers", "obsm", "obsp", "uns", "varm", "varp")
"""Groups that every AnnData has, mostly empty."""


def export_anndata(store: EmbeddingStore, target: Path) -> None:
    """Write metadata and features to a new folder, a shard in memory at a time.

    Raises RecipeError: something stands at `target`.
    """
    with staged(target) as partial:
        root = zarr.open_group(partial, mode="w", zarr_format=2)
        _encode(root, "anndata", "0.1.0")
        for name in MAPPINGS:
            _encode(root.create_group(name), "dict", "0.1.0")
        first, *others = store.sizes
        _features(store, first, root, "X")
        for name in others:
            _features(store, name, root, f"obsm/{name}")
        rows = np.arange(store.obs.num_rows).astype(str)
        _table(root.create_group("obs"), store.obs, rows)
        names = np.array([f"{first}_{number}" for number in range(store.sizes[first])])
        _table(root.create_group("var"), pa.table({}), names)
        zarr.consolidate_metadata(partial, zarr_format=2)


def _encode(of: Any, kind: str, version: str) -> None:
    of.attrs.update({"encoding-type": kind, "encoding-version": version})


def _features(store: EmbeddingStore, name: str, root: zarr.Group, place: str) -> None:
    shape = (store.obs.num_rows, store.sizes[name])
    array = root.create_array(place, shape=shape, chunks=(min(store.rows, shape[0]), shape[1]), dtype="float32")
    _encode(array, "array", "0.2.0")
    for start, block in store.blocks(name):
        array[start : start + len(block)] = block


def _table(group: zarr.Group, table: pa.Table, index: NDArray[np.str_]) -> None:
    """A data frame, whose index is text."""
    _encode(group, "dataframe", "0.2.0")
    names = [name.replace("/", "_") for name in table.column_names]  # a group would be made of it
    group.attrs.update({"_index": "_index", "column-order": names})
    _texts(group, "_index", index.tolist())
    for name, column in zip(names, table.columns, strict=True):
        _column(group, name, column.combine_chunks())


def _column(group: zarr.Group, name: str, column: Any) -> None:
    whole, truth = pa.types.is_integer(column.type), pa.types.is_boolean(column.type)
    if (whole or truth) and column.null_count:
        own = group.create_group(name)
        _encode(own, "nullable-integer" if whole else "nullable-boolean", "0.1.0")
        _values(own, "values", column.fill_null(0 if whole else False).to_numpy(zero_copy_only=False))
        _values(own, "mask", column.is_null().to_numpy(zero_copy_only=False))
    elif whole or truth or pa.types.is_floating(column.type):
        _values(group, name, column.to_numpy(zero_copy_only=False))
    else:
        _categories(group.create_group(name), column)


def _categories(group: zarr.Group, column: Any) -> None:
    """Texts as numbers of the sorted texts there are; -1 is unknown."""
    _encode(group, "categorical", "0.2.0")
    group.attrs["ordered"] = False
    known = column.is_valid().to_numpy(zero_copy_only=False)
    found = np.array(["" if one is None else str(one) for one in column.to_pylist()], np.str_)
    names = np.unique(found[known])
    _values(group, "codes", np.where(known, np.searchsorted(names, found), -1).astype(np.int32))
    _texts(group, "categories", names.tolist())


def _values(group: zarr.Group, name: str, values: NDArray[Any]) -> None:
    _encode(group.create_array(name, data=values), "array", "0.2.0")


def _texts(group: zarr.Group, name: str, texts: list[str]) -> None:
    array = group.create_array(name, shape=(len(texts),), chunks=(max(1, len(texts)),), dtype=str)
    if texts:
        array[:] = np.array(texts, dtype=object)
    _encode(array, "string-array", "0.2.0")
