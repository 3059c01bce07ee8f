"""Profiles from wherever they are: CSV, Parquet, an embedding store, or a data set that is a table."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from distgan.metrics.profiles import Profiles
from storage.datasets import Progress, dataset_names, load_dataset
from storage.embeddings import EmbeddingStore
from storage.errors import DataError, MissingError, RecipeError

Named = Iterator[tuple[str, Profiles]]
"""Kinds of features, one after another; each is read when it is asked for."""


def read_profiles(
    target: str, cache: Path, progress: Progress, metadata: Sequence[str], wanted: Sequence[str], ignored: Sequence[str]
) -> Named:
    """The features of a target, by name.

    metadata: columns that are kept as such where they are there.  wanted, ignored: patterns of columns of a table, or
    (wanted) of kinds of features of an embedding store.
    Raises MissingError: there is no such target.  Raises RecipeError: it has no such features.
    Raises DataError: it is damaged, or not a table.
    """
    path = Path(target)
    if path.is_dir():
        yield from _of_store(EmbeddingStore.open(path), metadata, wanted)
        return
    module = load_dataset(target) if target in dataset_names() else None
    if module is not None and hasattr(module, "profiles"):
        table = module.profiles(module.fetch(cache, progress))
    else:
        table = _read_table(path)
    yield path.stem, _of_table(table, target, metadata, wanted, ignored)


def _of_store(store: EmbeddingStore, metadata: Sequence[str], wanted: Sequence[str]) -> Named:
    names = [name for name in store.sizes if any(fnmatchcase(name, one) for one in wanted)]
    if not names:
        raise RecipeError(
            f"{store.path} has no features {', '.join(wanted)}",
            f"it has {', '.join(store.sizes)}",
            "Name some of these",
        )
    columns = {name: _texts(store.obs.column(name)) for name in metadata if name in store.obs.column_names}
    for name in names:
        yield name, Profiles(store.read(name), columns)


def _read_table(path: Path) -> pa.Table:
    if not path.is_file():
        raise MissingError(
            f"there are no profiles at {path}",
            "no such file or folder",
            "Name a CSV or Parquet file, or an embedding store (distgan embed)",
        )
    try:
        if path.suffix == ".parquet":
            return pq.read_table(path)
        return pa_csv.read_csv(path)
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
        raise DataError(f"{path} is not a table", str(error).splitlines()[0], "Give CSV, or Parquet") from None


def _of_table(
    table: pa.Table, target: str, metadata: Sequence[str], wanted: Sequence[str], ignored: Sequence[str]
) -> Profiles:
    numbers = [one.name for one in table.schema if pa.types.is_floating(one.type) or pa.types.is_integer(one.type)]
    names = [
        name
        for name in numbers
        if name not in metadata
        and any(fnmatchcase(name, one) for one in wanted)
        and not any(fnmatchcase(name, one) for one in ignored)
    ]
    if not names:
        raise RecipeError(
            f"{target} has no features {', '.join(wanted)}",
            f"its columns are {', '.join(table.column_names[:20])}",
            "Name columns of numbers",
        )
    values = np.stack([table.column(name).to_numpy().astype(np.float64) for name in names], axis=1)
    columns = {name: _texts(table.column(name)) for name in metadata if name in table.column_names}
    return Profiles(values, columns, tuple(names))


def _texts(column: pa.ChunkedArray) -> np.ndarray[tuple[int, ...], np.dtype[np.str_]]:
    """Values as text; what is unknown is ""."""
    return np.asarray(["" if value is None else str(value) for value in column.to_pylist()], np.str_)
