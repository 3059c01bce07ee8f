"""Raw files -> image store. Values are never rescaled; a file that cannot be read whole is left out, and said.

First every header is read, then the frames of equal shape, dtype and channels are laid out one after
another, then each shard is written by one task.
"""

import re
import shutil
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage import images
from storage.datasets import Progress
from storage.errors import DataError, MissingError
from storage.images import ImageFacts
from storage.manifest import Facts, committed, sha256_file
from storage.store import (
    KIND,
    ImageStore,
    Series,
    create_array,
    frame_layout,
    series_facts,
    write_ome_metadata,
    write_shard,
)
from storage.tasks import run_tasks

PLACE = ("frame", "z", "y", "x")
"""The columns that `prepare` adds to those of the files."""
Metadata = Callable[[str], Mapping[str, str | int]]
"""What a file's path (POSIX, relative to the source) says of it."""


@dataclass(frozen=True)
class Source:
    """A file whose header was read.  file: POSIX path relative to the source folder."""

    path: Path
    file: str
    facts: ImageFacts


@dataclass(frozen=True)
class Faulty:
    """A file that is left out, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Ingested:
    """What `ingest` did.  ignored: how many files of each suffix are not images."""

    store: ImageStore
    quarantined: tuple[Faulty, ...]
    ignored: dict[str, int]


def ingest(
    source: Path, target: Path, metadata: Metadata, *, threads: int = 2, progress: Progress = lambda done, total: None
) -> Ingested:
    """Write every image below `source` into a new image store at `target`.

    Raises MissingError: there is no such folder.  Raises DataError: it holds no image that can be read.
    Raises RecipeError: something stands at `target`.  Raises DiskError: the disk is full.
    """
    paths, ignored = _image_files(source)
    batches = [paths[start : start + 256] for start in range(0, len(paths), 256)]
    surveyed = [
        one for batch in run_tasks(partial(_survey, source), batches, threads, _half(progress, 0)) for one in batch
    ]
    sources = [one for one in surveyed if isinstance(one, Source)]
    faulty = [one for one in surveyed if isinstance(one, Faulty)]
    facts: Facts = {"source": source.name}
    with committed(target, KIND, facts) as store:
        groups = _groups(sources)
        rows: list[dict[str, Any]] = []
        series: list[Series] = []
        for members in groups:
            written = _write_series(store, str(len(series)), members, threads, progress, faulty)
            if written:
                series.append(written[0])
                rows += written[1]
        if not rows:
            raise _nothing(source, faulty, ignored)
        write_ome_metadata(store, tuple(series))
        pq.write_table(_files_table(rows, metadata), store / "files.parquet")
        facts["series"] = [series_facts(one) for one in series]
    return Ingested(ImageStore.open(target), tuple(faulty), ignored)


def _image_files(source: Path) -> tuple[list[Path], dict[str, int]]:
    if not source.is_dir():
        raise MissingError(f"there is no folder {source}", "no such directory", "Check the path")
    ignored: dict[str, int] = {}
    paths = []
    for path in source.rglob("*"):
        if not path.is_file() or path.name.startswith("."):
            continue
        if path.suffix.lower() in images.SUFFIXES:
            paths.append(path)
        else:
            ignored[path.suffix.lower()] = ignored.get(path.suffix.lower(), 0) + 1
    paths.sort(key=lambda path: _natural(path.relative_to(source).as_posix()))
    if not paths:
        raise _nothing(source, [], ignored)
    return paths, ignored


def _natural(name: str) -> tuple[list[tuple[int, int | str]], str]:
    """t75 before t100: numbers in names sort as numbers; t075 and t75 by their letters."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts], name


def _survey(source: Path, paths: list[Path]) -> list[Source | Faulty]:
    found: list[Source | Faulty] = []
    for path in paths:
        file = path.relative_to(source).as_posix()
        try:
            found.append(Source(path, file, images.survey(path)))
        except DataError as error:
            found.append(Faulty(file, f"{error.wrong}: {error.found}"))
    return found


def _groups(sources: Iterable[Source]) -> list[list[Source]]:
    """Files whose frames can share one array, in the order in which their kind was first met."""
    groups: dict[tuple[object, ...], list[Source]] = {}
    for one in sources:
        kind = (one.facts.shape[1:], one.facts.dtype, one.facts.channels, one.facts.pixel_um)
        groups.setdefault(kind, []).append(one)
    return list(groups.values())


def _write_series(
    store: Path, name: str, members: list[Source], threads: int, progress: Progress, faulty: list[Faulty]
) -> tuple[Series, list[dict[str, Any]]] | None:
    """Write one image; begin again without them if files turn out not to decode."""
    while members:
        facts = members[0].facts
        frames = sum(one.facts.shape[0] for one in members)
        series = Series(name, (frames, *facts.shape[1:]), facts.dtype, facts.channels, facts.pixel_um)
        chunk, shard = frame_layout(series.shape, series.dtype)
        array = store / name / "0"
        create_array(array, series.shape, series.dtype, chunk, shard, tuple("tczyx"))
        starts = _place(members)
        tasks = [(start, min(start + shard[0], frames)) for start in range(0, frames, shard[0])]
        write = partial(_write_frames, array, members, starts)
        results = run_tasks(write, tasks, threads, _half(progress, 1))
        bad = {one.file: one for _, failures in results for one in failures}
        if not bad:
            return series, _rows(name, members, starts, {k: v for found, _ in results for k, v in found.items()})
        faulty += bad.values()
        members = [one for one in members if one.file not in bad]
        shutil.rmtree(store / name)
    return None


def _place(members: list[Source]) -> list[int]:
    """The index of each file's first frame, and the number of all frames."""
    return np.cumsum([0] + [one.facts.shape[0] for one in members]).tolist()


Range = tuple[float, float, str]
"""Smallest value, largest value, SHA-256 of the file."""


def _write_frames(
    array: Path, members: list[Source], starts: list[int], task: tuple[int, int]
) -> tuple[dict[str, Range], list[Faulty]]:
    """Fill and write the shard of frames start..stop; the ranges of the files that begin in it."""
    start, stop = task
    found: dict[str, Range] = {}
    failures: list[Faulty] = []
    block = np.zeros((stop - start, *members[0].facts.shape[1:]), members[0].facts.dtype)
    for index in range(bisect_right(starts, start) - 1, bisect_left(starts, stop)):
        one, first, last = members[index], starts[index], starts[index + 1]
        try:
            frames = images.read(one.path)
            if (frames.shape, frames.dtype.name) != (one.facts.shape, one.facts.dtype):
                raise DataError("the file changed meanwhile", f"{frames.dtype} {frames.shape}", "Ingest it again")
        except DataError as error:
            failures.append(Faulty(one.file, f"{error.wrong}: {error.found}"))
            continue
        low, high = max(first, start), min(last, stop)
        block[low - start : high - start] = frames[low - first : high - first]
        if first >= start:
            found[one.file] = (frames.min().item(), frames.max().item(), sha256_file(one.path))
    if not failures:
        write_shard(array, start, block)
    return found, failures


def _rows(series: str, members: list[Source], starts: list[int], found: dict[str, Range]) -> list[dict[str, Any]]:
    rows = []
    for first, one in zip(starts, members, strict=False):
        low, high, digest = found[one.file]
        rows.append(
            {
                "file": one.file,
                "series": series,
                "first_frame": first,
                "frames": one.facts.shape[0],
                "shape": list(one.facts.stored_shape),
                "dtype": one.facts.dtype,
                "min": low,
                "max": high,
                "sha256": digest,
            }
        )
    return rows


def _files_table(rows: list[dict[str, Any]], metadata: Metadata) -> pa.Table:
    """The rows with what the names say; a column that some files lack is null there."""
    described = [dict(metadata(row["file"])) for row in rows]
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    for key in dict.fromkeys(key for row in described for key in row):
        if key in columns or key in PLACE:
            raise DataError("a metadata column has a reserved name", key, "Rename it")
        columns[key] = [row.get(key) for row in described]
    return pa.table(columns)


def _half(progress: Progress, half: int) -> Progress:
    """Reading headers is the first half of the bar, writing the second."""
    return lambda done, total: progress(done + half * total, 2 * total)


def _nothing(source: Path, faulty: list[Faulty], ignored: dict[str, int]) -> DataError:
    found = [f"{count} file(s) named *{suffix}" for suffix, count in sorted(ignored.items())]
    found += [f"{one.file} ({one.reason})" for one in faulty[:3]]
    return DataError(
        f"nothing could be ingested from {source}",
        "; ".join(found) or "the folder is empty",
        f"Give a folder that holds whole files of these kinds: {', '.join(sorted(images.SUFFIXES))}",
    )
