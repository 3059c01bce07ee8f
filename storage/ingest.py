"""Raw files -> image store. Values are never rescaled; a file that cannot be read whole is left out, and said.

First every header is read and the files are put together to images (`storage.assemble`), then the images get
their places in arrays (`storage.arrange`), then each shard is written by one task (`storage.fill`). Files that
only then turn out to be bad are taken out, and what lay behind them moves up.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from storage import images, store
from storage.arrange import Arranged, arrange
from storage.assemble import Faulty, Image, Piece, Source, assemble, natural
from storage.datasets import Progress
from storage.durable import require_nothing
from storage.errors import DataError, MissingError
from storage.executors import Executor, threads
from storage.fill import Found, fill, merged
from storage.images import BadFile
from storage.journal import Work, resumable
from storage.layout import Described, Layout
from storage.manifest import Facts
from storage.ome import write_metadata
from storage.store import KIND, ImageStore, create_array, frame_layout, series_facts
from storage.tables import files_table, images_table, reports

FORMAT = 2
"""Of the image store: an ingest that another version began is begun anew."""
BATCH = 256
"""Files whose headers are read by one task."""


@dataclass(frozen=True)
class Ingested:
    """What `ingest` did.

    quarantined: files left out, and why.  ignored: how many files of each suffix are not images.  unmatched: how many
    files the layout leaves out.  untabled: how many files have no row in the layout's table.  reported: how many of
    the files have values that are not finite (nan), are constant, saturated, or a duplicate_of an earlier one.
    """

    store: ImageStore
    quarantined: tuple[Faulty, ...]
    ignored: Mapping[str, int]
    unmatched: int
    untabled: int
    reported: Mapping[str, int]


def ingest(
    source: Path,
    target: Path,
    layout: Layout = Layout(),  # noqa: B008 (immutable)
    *,
    workers: int = 2,
    progress: Progress = lambda done, total: None,
) -> Ingested:
    """Write every image below `source` into a new image store at `target`.

    A killed ingest goes on where it was when it is run again.
    Raises MissingError: there is no such folder.  Raises DataError: it holds no image that can be read.
    Raises RecipeError: something stands at `target`.  Raises DiskError: the disk is full.
    """
    require_nothing(target)
    found, ignored = _image_files(source)
    wanted = {file: said for file in found if (said := layout.describe(file)) is not None}
    unmatched = len(found) - len(wanted)
    run = threads(workers)
    surveyed = _survey_all(run, source, wanted, _half(progress, 0))
    sources = [one for one in surveyed if isinstance(one, Source)]
    faulty = [one for one in surveyed if isinstance(one, Faulty)]
    whole, misfits = assemble(sources, layout)
    faulty += misfits
    facts: Facts = {"source": source.name}
    with resumable(target, KIND, facts, _key(source, wanted, layout)) as work:
        kept, arranged, late = _write(work, whole, run, _half(progress, 1))
        faulty += late
        if not kept:
            raise _nothing(source, faulty, ignored, unmatched)
        write_metadata(work.path, [one.series for one in arranged])
        pq.write_table(images_table(arranged, layout), work.path / "images.parquet")
        pq.write_table(files_table(arranged, _results(work, arranged)), work.path / "files.parquet")
        facts["series"] = [series_facts(one.series) for one in arranged]
    done = ImageStore.open(target)
    untabled = sum(not layout.table & said.keys() for said in wanted.values()) if layout.table else 0
    faulty.sort(key=lambda one: natural(one.file))
    return Ingested(done, tuple(faulty), ignored, unmatched, untabled, reports(done.files))


# the files


def _image_files(source: Path) -> tuple[list[str], dict[str, int]]:
    """POSIX paths below `source` of what is named like an image, in natural order; how many of each suffix are not."""
    if not source.is_dir():
        raise MissingError(f"there is no folder {source}", "no such directory", "Check the path")
    ignored: Counter[str] = Counter()
    files = []
    for path in source.rglob("*"):
        inside = path.relative_to(source)
        if path.is_dir() or any(part.startswith(".") for part in inside.parts):
            continue
        if path.suffix.lower() in images.SUFFIXES:
            files.append(inside.as_posix())
        else:
            ignored[path.suffix.lower()] += 1
    if not files:
        raise _nothing(source, [], ignored, 0)
    return sorted(files, key=natural), dict(ignored)


def _survey_all(
    run: Executor, source: Path, wanted: Mapping[str, Described], progress: Progress
) -> list[Source | Faulty]:
    listed = list(wanted.items())
    batches = [listed[start : start + BATCH] for start in range(0, len(listed), BATCH)]
    counted = _counted(progress, len(batches))
    return [one for batch in run(partial(_survey, source), batches, counted) for one in batch]


def _survey(source: Path, batch: Sequence[tuple[str, Described]]) -> list[Source | Faulty]:
    found: list[Source | Faulty] = []
    for file, said in batch:
        try:
            surveyed = images.survey(source / file)
        except BadFile as error:
            found.append(Faulty(file, error.reason, error.found))
            continue
        for index, facts in enumerate(surveyed):
            found.append(Source(source / file, f"{file}#{index}" if index else file, facts, said))
    return found


def _key(source: Path, wanted: Mapping[str, Described], layout: Layout) -> str:
    """Names what is being made: files of a size and age, what is said of them, and how arrays are parted."""
    files = [(file, *_size_and_age(source / file), dict(said)) for file, said in wanted.items()]
    plan = [FORMAT, store.CHUNK_BYTES, store.SHARD_BYTES, str(source), layout.channels, layout.pixel_um, files]
    return hashlib.sha256(json.dumps(plan).encode()).hexdigest()


def _size_and_age(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:  # it is in quarantine
        return (0, 0)
    return found.st_size, found.st_mtime_ns


# the arrays


def _write(
    work: Work, whole: list[Image], run: Executor, progress: Progress
) -> tuple[list[Image], list[Arranged], list[Faulty]]:
    """Write the arrays of all images whose files can be read; again without them if some cannot."""
    while True:
        bad = [Faulty(**one) for result in work.done.values() for one in result["faulty"]]
        kept, left_out = _without(whole, bad)
        arranged = arrange(kept)
        shards = [shard for one in arranged for shard in one.shards()]
        to_do = [shard for shard in shards if shard.name not in work.done]
        _sweep(work.path, {work.done[shard.name]["object"] for shard in shards if shard.name in work.done})
        _create_arrays(work.path, arranged)
        counted = _counted(progress, len(shards), len(shards) - len(to_do))

        def done(index: int, result: tuple[str, dict[str, Found], list[Faulty]]) -> None:
            written, found, faulty = result
            told = {"files": found, "faulty": [asdict(one) for one in faulty], "object": written}
            work.finish(to_do[index].name, [written] if written else [], told)  # noqa: B023 (called within this round)
            counted(index, result)  # noqa: B023

        if not any(faulty for *_, faulty in run(partial(fill, work.path), to_do, done)):
            return kept, arranged, left_out


def _without(whole: list[Image], bad: Iterable[Faulty]) -> tuple[list[Image], list[Faulty]]:
    """The images that have no bad file, or only a bad label image, which they lose; and all files that go."""
    reasons = {one.file: one for one in bad}
    kept, left_out = [], []
    for image in whole:
        spoilt = {name for name, pieces in image.labels.items() if _bad(pieces, reasons)}
        if _bad(image.pieces, reasons):
            left_out += _together(image.sources, reasons)
            continue
        for name in spoilt:
            left_out += _together([piece.source for piece in image.labels[name]], reasons)
        kept.append(replace(image, labels={name: image.labels[name] for name in image.labels.keys() - spoilt}))
    return kept, left_out


def _bad(pieces: Iterable[Piece], reasons: Mapping[str, Faulty]) -> bool:
    return any(piece.source.file in reasons for piece in pieces)


def _together(sources: Sequence[Source], reasons: Mapping[str, Faulty]) -> list[Faulty]:
    """The files that go because one of them is bad, each with its own reason or that of the first."""
    first = next(one.file for one in sources if one.file in reasons)
    found = f"{first} of the same image is left out"
    return [reasons.get(one.file, Faulty(one.file, "incomplete", found)) for one in sources]


def _create_arrays(path: Path, arranged: Iterable[Arranged]) -> None:
    for one in arranged:
        for array, (shape, dtype, _) in one.arrays.items():
            create_array(path / array, shape, dtype, *frame_layout(shape, dtype), tuple("tczyx"))


def _sweep(path: Path, objects: set[str]) -> None:
    """Remove all but `objects`. When an array has become shorter, zarr keeps what lay in a shard beyond its end."""
    for folder, _, files in os.walk(path, topdown=False):
        for name in files:
            if Path(folder, name).relative_to(path).as_posix() not in objects:
                Path(folder, name).unlink()
        if Path(folder) != path and not any(Path(folder).iterdir()):
            Path(folder).rmdir()


def _results(work: Work, arranged: Iterable[Arranged]) -> dict[str, Found]:
    """What all shards together say of each file."""
    found: dict[str, Found] = {}
    for shard in (shard for one in arranged for shard in one.shards()):
        for file, told in work.done[shard.name]["files"].items():
            found[file] = merged(found[file], told) if file in found else told
    return found


# the progress


def _half(progress: Progress, half: int) -> Progress:
    """Reading headers is the first half of the bar, writing the second."""
    return lambda done, total: progress(done + half * total, 2 * total)


class _counted:
    def __init__(self, progress: Progress, total: int, done: int = 0) -> None:
        self.progress, self.total, self.done = progress, total, done

    def __call__(self, index: int, result: Any) -> None:
        self.done += 1
        self.progress(self.done, self.total)


def _nothing(source: Path, faulty: list[Faulty], ignored: Mapping[str, int], unmatched: int) -> DataError:
    found = [f"{count} file(s) named *{suffix}" for suffix, count in sorted(ignored.items())]
    found += [f"{unmatched} image file(s) that the layout leaves out"] if unmatched else []
    found += [f"{one.file} ({one.reason}: {one.found})" for one in faulty[:3]]
    return DataError(
        f"nothing could be ingested from {source}",
        "; ".join(found) or "the folder is empty",
        f"Give a folder that holds whole files of these kinds: {', '.join(sorted(images.SUFFIXES))}",
    )
