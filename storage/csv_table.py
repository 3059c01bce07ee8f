"""CSV: tables that come with a data set, plain or gzipped, with the columns that are needed; and rows as bytes."""

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from storage.errors import DataError, MissingError


def read_table(
    path: Path, columns: Iterable[str], *, delimiter: str = ",", numbers: Iterable[str] = ()
) -> list[dict[str, str]]:
    """The rows of a table, as text.  columns: those that must be there.  numbers: those of them that hold numbers.

    A file *.gz is unpacked.  Raises MissingError: there is no such file.  Raises DataError: it is no table with
    these columns.
    """
    if not path.is_file():
        raise MissingError(f"there is no table {path}", "no such file", "Fetch the data set, or bring it there")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            lines = file.read().decode("utf-8-sig").splitlines()
        rows = list(csv.DictReader(lines, delimiter=delimiter, strict=True))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise _other(path, str(error)) from None
    lacking = sorted(set(columns) - set(rows[0] if rows else ()))
    if lacking:
        raise _other(path, f"no column {', '.join(lacking)}")
    if any(None in row or None in row.values() for row in rows):
        raise _other(path, "rows of another length than the header")
    for name in numbers:
        for row in rows:
            if not _is_number(row[name]):
                raise _other(path, f"{row[name]!r} as {name}")
    return rows


def as_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> bytes:
    """All rows below a header; None is empty.  columns: by default those of the first row; without either, nothing."""
    names = list(columns or (rows[0] if rows else ()))
    if not names:
        return b""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _other(path: Path, found: str) -> DataError:
    return DataError(f"{path} is not the table that belongs here", found, "Copy it again from where it came")
