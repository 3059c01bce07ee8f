"""What a person sees while something long runs: bars on stderr, or lines now and then where it is no terminal."""

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from storage.datasets import Progress

LINE_EVERY_SECONDS = 10.0
ROWS = 24
"""Of a table in a report; more are counted."""
WIDEST = 160
"""Characters of a value in a report."""


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """A callback (done, total) that shows how far the work is, and how long it will still take."""
    if not sys.stderr.isatty():
        yield _Lines(title)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


class _Lines:
    """The same for a log file: a line every ten seconds, none for short work."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self.last >= LINE_EVERY_SECONDS:
            self.last = time.monotonic()
            say(f"{self.title}: {done:,} of {total:,}")


def say(text: str) -> None:
    """A line for people."""
    print(text, file=sys.stderr, flush=True)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with the keys of the first as headings; columns as wide as they must be."""
    if not rows:
        return "(none)"
    lines = [list(rows[0]), *([_printable(str(value)) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def report(facts: Mapping[str, Any]) -> str:
    """Facts as JSON values: a line each, lists of objects as tables of up to ROWS rows; what is not set is left out."""
    lines = []
    for key, value in facts.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{_printable(key)}:", *(f"  {line}" for line in report(value).splitlines())]
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines += [f"{_printable(key)}:", *(f"  {line}" for line in _rows(value))]
        elif value not in (None, "", [], {}):
            lines.append(_printable(f"{key}: {_brief(value)}"))
    return "\n".join(lines)


def _rows(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table, or a line for each if they are not of the same keys."""
    shown = [{name: _brief(one) for name, one in row.items()} for row in rows[:ROWS]]
    is_table = all(row.keys() == rows[0].keys() for row in rows)
    lines = table(shown).splitlines() if is_table else [_printable(_brief(row)) for row in rows[:ROWS]]
    return lines + ([f"... and {len(rows) - ROWS:,} more"] if len(rows) > ROWS else [])


def _brief(value: Any) -> str:
    """A JSON value on one line; counts are `name (count)`, and numbers have six digits."""
    if isinstance(value, Mapping):
        is_counts = all(isinstance(one, int) for one in value.values())
        text = ", ".join(f"{name} ({one:,})" if is_counts else f"{name}: {_brief(one)}" for name, one in value.items())
    elif isinstance(value, list):
        text = ", ".join(str(one) if isinstance(one, int) else _brief(one) for one in value)
    elif isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, int) and not isinstance(value, bool):
        text = f"{value:,}"
    else:
        text = "?" if value is None else str(value)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 4]} ..."


def _printable(text: str) -> str:
    """Names come from files; what would move the cursor is not printed."""
    return "".join(one if one.isprintable() else "?" for one in text)
