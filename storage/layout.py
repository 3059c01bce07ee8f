"""What the files of a folder are: which of them make one image, and what their names and a table say of them."""

import csv
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from storage.errors import DataError, MissingError, RecipeError

Value = str | int | float
Described = Mapping[str, Value]
"""What is known of a file. Four keys are about its place in an image: `channel` (name), `z`, `t` (numbers), and
`labels` (the file is a label image of that name). Files whose other keys agree make one image."""
PLACES = ("channel", "z", "t", "labels")
Row = dict[str, str]
"""A row of a CSV file: column -> text."""


@dataclass(frozen=True)
class Samples:
    """A file of sample arrays: one NPY or NPZ file, or a Zarr array, whose first axis is the sample.

    file: POSIX path below the folder.  array: its name in an NPZ file.  axes: letters of N C Z Y X, as stored.
    table: CSV file with one row per sample, in order ("" if none).
    """

    file: str
    axes: str
    array: str = ""
    table: str = ""


@dataclass(frozen=True)
class Layout:
    """How a folder is read.

    describe: what the POSIX path of a file, relative to the folder, says; None leaves the file out.
    channels: names, in order; by default what the files say.  pixel_um: edge of a voxel in z, y, x in
    micrometres, where the files do not say.  samples: set when the folder holds sample arrays, not images.
    numbers: columns of text that become integers if every value of theirs is plain digits.  table: columns that
    come from a table; a file that has none of them has no row in it.
    """

    describe: Callable[[str], Described | None] = lambda file: {}
    channels: tuple[str, ...] = ()
    pixel_um: tuple[float | None, float | None, float | None] = (None, None, None)
    samples: Samples | None = None
    numbers: frozenset[str] = frozenset()
    table: frozenset[str] = frozenset()


def from_pattern(pattern: str, table: Path | None = None) -> Layout:
    """Read metadata from file names, `{plate}/{well}_{field}_{channel}.tif`, and from the rows of a CSV file.

    `{name}` stands for one or more characters other than "/", as few as will do; `{z}` and `{t}` for a number, which
    may have its letter before it (t007). A pattern of so many parts is matched with as many last parts of a path;
    files that it does not match are left out. The table joins on every column that it shares with the pattern, or on
    `file` (the path); 7 and 007 are the same there.

    Raises RecipeError: the pattern or the table cannot be used.  Raises MissingError: there is no such table.
    """
    names = _names(pattern)
    match = partial(_match, _expression(pattern), pattern.count("/") + 1)
    if table is None:
        return Layout(match, numbers=frozenset(names) - set(PLACES))
    header, rows = _read_csv(table)
    keys = [name for name in header if name in names or name == "file"]
    if not keys:
        raise RecipeError(
            f"{table} shares no column with the pattern {pattern!r}",
            f"its columns are {', '.join(header)}",
            f"Name one of them file, {' or '.join(names)}",
        )
    added = [name for name in header if name not in keys]
    lookup = _keyed(table, rows, keys)
    typed = {name: _typed([row[name] for row in rows]) for name in added if name not in PLACES}
    known = {
        key: {name: (typed[name](row[name]) if name in typed else row[name]) for name in added if row[name] != ""}
        for key, row in lookup.items()
    }

    def describe(file: str) -> Described | None:
        found = match(file)
        if found is None:
            return None
        texts = {name: str(value) for name, value in found.items()} | {"file": file}
        return {**found, **_placed(known.get(tuple(_plain(texts[name]) for name in keys), {}), str(table))}

    return Layout(describe, numbers=frozenset(names) - set(PLACES), table=frozenset(added))


def as_integers(values: list[Value | None]) -> list[Value | None]:
    """The same as integers, if every value that is there is text of plain digits.

    >>> as_integers(["007", None, "12"])
    [7, None, 12]
    >>> as_integers(["007", "A"])
    ['007', 'A']
    """
    if all(value is None or (isinstance(value, str) and _is_digits(value)) for value in values):
        return [None if value is None else int(value) for value in values]
    return values


_FIELD = re.compile(r"\{([^{}]*)\}")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def _names(pattern: str) -> list[str]:
    names = _FIELD.findall(pattern)
    rest = _FIELD.sub("", pattern)
    wrong = ""
    if "{" in rest or "}" in rest:
        wrong = "has a brace without its other half"
    elif not names:
        wrong = "names no field"
    elif len(set(names)) < len(names):
        wrong = "names a field twice"
    elif not all(name.isidentifier() for name in names) or "file" in names:
        wrong = "has a field whose name cannot be that of a column"
    if wrong:
        raise RecipeError(f"the pattern {wrong}", repr(pattern), "Write it like {plate}/{well}_{field}_{channel}.tif")
    return names


def _expression(pattern: str) -> re.Pattern[str]:
    parts = []
    for index, part in enumerate(_FIELD.split(pattern)):
        if index % 2 == 0:
            parts.append(re.escape(part))
        elif part in ("z", "t"):
            parts.append(f"[{part}{part.upper()}]?(?P<{part}>[0-9]+)")
        else:
            parts.append(f"(?P<{part}>[^/]+?)")
    return re.compile("".join(parts), re.DOTALL)


def _match(expression: re.Pattern[str], parts: int, file: str) -> dict[str, Value] | None:
    if file.count("/") + 1 < parts:
        return None
    found = expression.fullmatch("/".join(file.split("/")[-parts:]))
    return _placed(found.groupdict(), file) if found else None


def _placed(found: Mapping[str, Value], where: str) -> dict[str, Value]:
    """`z` and `t` as numbers."""
    placed = dict(found)
    for name in ("z", "t"):
        if name in found:
            text = str(found[name])
            if not _is_digits(text):
                raise RecipeError(f"{name} is not a number in {where}", repr(text), "Give that column another name")
            placed[name] = int(text)
    return placed


def _read_csv(path: Path) -> tuple[list[str], list[Row]]:
    """The header and the rows, each of as many cells as the header has."""
    if not path.is_file():
        raise MissingError(f"there is no table {path}", "no such file", "Check the path")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *lines = [line for line in csv.reader(file, strict=True) if line] or [[]]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no CSV file in UTF-8", str(error), "Save it as one") from None
    if not header or "" in header or len(set(header)) < len(header):
        found = ", ".join(repr(name) for name in header) or "nothing"
        raise RecipeError(f"the columns of {path} need names, each its own", found, "Name them in the first line")
    for number, line in enumerate(lines, 1):
        if len(line) != len(header):
            found = f"{len(line)} cells in row {number} and {len(header)} names"
            raise DataError(f"{path} has rows of another length than its header", found, "Correct the table")
    return header, [dict(zip(header, line, strict=True)) for line in lines]


def _keyed(table: Path, rows: list[Row], keys: list[str]) -> dict[tuple[Value, ...], Row]:
    found: dict[tuple[Value, ...], Row] = {}
    for row in rows:
        key = tuple(_plain(row[name]) for name in keys)
        if key in found:
            twice = ", ".join(f"{name} = {row[name]}" for name in keys)
            raise RecipeError(f"{table} has two rows for one file", twice, "Remove one of them, or add a column")
        found[key] = row
    return found


def _typed(texts: list[str]) -> Callable[[str], Value]:
    """The narrowest of int, float and text that every cell of a column is; empty cells are any."""
    known = [text for text in texts if text]
    for kind, form in ((int, _WHOLE), (float, _DECIMAL)):
        if all(form.fullmatch(text) and abs(kind(text)) < 2**63 for text in known):
            return kind
    return str


def _plain(text: str) -> Value:
    """007 and 7 are one key."""
    return int(text) if _is_digits(text) else text


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19
