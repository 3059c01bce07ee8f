"""Rows -> the bytes of a CSV file."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any


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
