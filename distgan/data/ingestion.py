"""`distgan ingest`: what is wanted becomes a layout, and what was done is told to people and to programs."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from distgan.monitoring.terminal import progress_bar, say, table
from storage.datasets import load_dataset
from storage.errors import RecipeError
from storage.ingest import Ingested, ingest
from storage.layout import Layout, from_pattern
from storage.samples import ingest_samples

Result = dict[str, Any]
REPORTED = {
    "nan": "have values that are not finite",
    "constant": "are of one value",
    "saturated": "have more than 1 % of their values at the top of the range",
    "duplicate_of": "are duplicates of earlier ones",
}


def layout_of(source: Path, dataset: str, pattern: str, csv: Path | None, channels: Sequence[str]) -> Layout:
    """How `source` is read: as a known data set, or as a pattern of file names says.

    Raises RecipeError: both are given, or a table without a pattern, or one of them cannot be used.
    """
    if dataset and (pattern or csv):
        raise RecipeError("a data set reads its own file names", "--dataset with --pattern or --table", "Give one")
    if csv and not pattern:
        raise RecipeError(
            "a table is joined with names", f"--table {csv} without --pattern", "Give a --pattern as well"
        )
    layout = load_dataset(dataset).layout(source) if dataset else from_pattern(pattern, csv) if pattern else Layout()
    return replace(layout, channels=tuple(channels)) if channels else layout


def run_ingest(source: Path, target: Path, layout: Layout, workers: int) -> Result:
    """Ingest images into an image store, or sample arrays into a patch store; the object that --json prints."""
    is_array = any((source / name).is_file() for name in ("zarr.json", ".zarray"))
    if layout.samples or is_array or (source.is_file() and source.suffix in (".npy", ".npz")):
        return _run_samples(source, target, layout)
    with progress_bar(f"ingesting {source}") as progress:
        done = ingest(source, target, layout, workers=workers, progress=progress)
    _tell(done, target)
    files = done.store.files.select(["file", "shape", "dtype", "min", "max", *REPORTED]).to_pylist()
    quarantined = [vars(one) for one in done.quarantined]
    return {"ingested": [_with_exact_range(row) for row in files], "quarantined": quarantined}


def _run_samples(source: Path, target: Path, layout: Layout) -> Result:
    with progress_bar(f"ingesting {source}") as progress:
        store = ingest_samples(source, target, layout, progress=progress)
    say(f"{store.shape[0]:,} samples of {' x '.join(map(str, store.shape[1:]))} {store.dtype}: {target}")
    return {"ingested": [_with_exact_range(store.manifest.facts["samples"])], "quarantined": []}


def _with_exact_range(row: Result) -> Result:
    """A column has one type: 255.0 of an integer image is 255 again, and no number is not None."""
    if row["dtype"] == "bool" or "int" in row["dtype"]:
        return row | {key: None if row[key] is None else int(row[key]) for key in ("min", "max")}
    assert all(row[key] is None or math.isfinite(row[key]) for key in ("min", "max"))
    return row


def _tell(done: Ingested, target: Path) -> None:
    count = done.store.files.num_rows
    say(f"{count:,} files in {done.store.images.num_rows:,} images, {len(done.store.series):,} array(s): {target}")
    if done.quarantined:
        say(f"{len(done.quarantined):,} left out:\n{table([vars(one) for one in done.quarantined])}")
    for name, number in done.reported.items():
        if number:
            say(f"{number:,} of the files {REPORTED[name]}")
    if done.unmatched:
        say(f"{done.unmatched:,} image file(s) do not match and were passed over")
    if done.untabled:
        say(f"{done.untabled:,} file(s) have no row in the table; its columns are null there")
    for suffix, number in sorted(done.ignored.items()):
        say(f"{number:,} file(s) *{suffix} are no images and were passed over")
