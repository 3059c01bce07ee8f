"""What a person sees while something long runs: bars on stderr, or lines now and then where it is no terminal."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from distgan.monitoring.watch import MEANING
from storage.datasets import Progress

LINE_EVERY_SECONDS = 10.0
RAREST_LINE_SECONDS = 300.0
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


Show = Callable[[int, Mapping[str, float], int, str], None]
"""Told again and again: images seen, the latest metrics, images seen by the last checkpoint, and what is no step."""


@contextlib.contextmanager
def training_progress(name: str, images: int) -> Iterator[Show]:
    """Show how far a run is: one line on a terminal, or one now and then, ever more rarely, where it is none."""
    if not sys.stderr.isatty():
        yield _Training(images, _RareLines(name))
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    rest = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(10),
        TextColumn("{task.fields[now]}", markup=False, table_column=rest),
    )
    with Progress(*columns, console=Console(stderr=True), expand=True) as bars:
        task = bars.add_task(name, total=images, now="")
        yield _Training(images, lambda seen, now: bars.update(task, completed=seen, now=now))


class _Training:
    """Makes the line, and tells each finding of the watch once."""

    def __init__(self, images: int, show: Callable[[int, str], None]) -> None:
        self.images, self.show = images, show
        self.began: tuple[float, int] | None = None
        self.seen = -1
        self.seconds_left: float | None = None
        self.found: set[str] = set()

    def __call__(self, seen: int, metrics: Mapping[str, float], checkpoint: int, chore: str) -> None:
        if seen != self.seen:
            self.seen, self.seconds_left = seen, self._left(seen)
        self.show(seen, training_line(seen, self.images, metrics, checkpoint, self.seconds_left, chore))
        found = {name for name, value in metrics.items() if name.startswith("watch/") and value}
        for name in sorted(found - self.found):
            finding = name.removeprefix("watch/")
            say(f"{finding} at {seen:,} images: {MEANING[finding]}")
        self.found |= found

    def _left(self, seen: int) -> float | None:
        """By how long it took since the first images; what was done before a resume was not done now."""
        now = time.monotonic()
        if self.began is None or seen < self.began[1]:
            self.began = (now, seen) if seen else None
            return None
        then, first = self.began
        return (now - then) * (self.images - seen) / (seen - first) if seen > first else None


class _RareLines:
    """A line after ten seconds, and each pause a quarter longer than the one before, up to five minutes."""

    def __init__(self, name: str) -> None:
        self.name, self.pause, self.last = name, LINE_EVERY_SECONDS, time.monotonic()

    def __call__(self, seen: int, now: str) -> None:
        if time.monotonic() - self.last >= self.pause:
            self.last, self.pause = time.monotonic(), min(1.25 * self.pause, RAREST_LINE_SECONDS)
            say(f"{self.name}: {now}")


def training_line(
    seen: int, images: int, metrics: Mapping[str, float], checkpoint: int, seconds_left: float | None, chore: str = ""
) -> str:
    """How far a run is, for people.

    checkpoint: images seen by the last one, 0 if there is none.  seconds_left: None if nobody knows yet.  chore: what
    the workers are at if they take no steps.
    """
    parts = [f"{seen:,} of {images:,} images", *([chore] if chore else [])]
    if "images_per_second" in metrics:
        parts.append(f"{metrics['images_per_second']:,.0f} images/s")
    if seconds_left is not None:
        parts.append(f"{timedelta(seconds=round(seconds_left))} left")
    parts += [
        f"{name.removeprefix('loss/')} {value:.3g}" for name, value in metrics.items() if name.startswith("loss/")
    ]
    parts += [f"KID {metrics['kid']:.3g}"] if "kid" in metrics else []
    parts += [f"checkpoint at {checkpoint:,}"] if checkpoint else []
    parts += [f"{metrics['system/memory_mib']:,.0f} MiB"] if "system/memory_mib" in metrics else []
    if "system/gpu_memory_mib" in metrics:
        parts.append(f"GPU {metrics['system/gpu_memory_mib']:,.0f} MiB")
    if "system/gpu_use" in metrics:
        parts.append(f"GPU {metrics['system/gpu_use']:.0%} busy")
    return ", ".join(parts)


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
