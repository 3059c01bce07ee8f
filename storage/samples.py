"""Sample arrays (NPY, NPZ, Zarr) -> patch store, straight away: they are patches already.

Values are kept as they are. Rows are permuted once, so that any run of them is a mixture of all.
"""

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from storage import patches
from storage.codecs import DEFAULT
from storage.datasets import Progress
from storage.errors import DataError, MissingError, RecipeError
from storage.executors import threads
from storage.journal import Work, resumable
from storage.layout import Layout, Samples
from storage.leakage import difference_hashes, pixel_hashes
from storage.manifest import Facts, sha256_file
from storage.patches import DTYPES, PatchArrays, PatchStore
from storage.unpack import files_of, unpack

FORMAT = 1
"""Of what is written; another number makes what a killed run has begun worthless."""
AXES = "NCZYX"
MOST_CHANNELS = 4
"""An axis is taken for channels without being told only if it is not longer."""
OURS = ("source_row", "pixels", "dhash")
"""The columns that are added to those of the table."""
_SCRATCH = ".unpacked"


@dataclass(frozen=True)
class Written:
    """One shard.  objects: its files.  low, high: its range.  lost: values that are no numbers; then no file."""

    objects: list[str]
    low: float
    high: float
    lost: int
    pixels: list[int]
    dhash: list[int]


def ingest_samples(
    source: Path,
    target: Path,
    layout: Layout,
    *,
    progress: Progress = lambda done, total: None,
    seed: int = 0,
) -> PatchStore:
    """Write an array of samples, and the table that comes with it, as a patch store at `target`.

    source: the folder that `layout.samples` speaks of, or (`layout.samples` is None) an NPY file, an NPZ file or a
    Zarr array itself; then N Y X, N C Y X and N Y X C are told apart if only one of them can be meant.
    uint8, uint16 and float32 are kept, bool becomes uint8. The columns of the table, and `source_row` (row in the
    source), are in obs.parquet.  facts["samples"] of the manifest has file, shape, dtype, min and max as stored.
    A call that was killed is gone on with by the same call.

    Raises MissingError: no such file.  Raises RecipeError: the axes or channels do not fit, or something stands at
    `target`.  Raises DataError: the array or the table is damaged, of another dtype, or has NaN or infinite values.
    """
    samples = layout.samples or Samples("", "")
    path, table = source / samples.file, source / samples.table if samples.table else None
    facts: Facts = {
        "recipe": {"samples": asdict(samples), "seed": seed},
        "source": _digest(path, table),
        "labels": [],
    }
    key = hashlib.sha256(json.dumps([FORMAT, facts, layout.channels, layout.pixel_um]).encode()).hexdigest()
    with resumable(target, patches.KIND, facts, key) as work:
        stored = unpack(path, samples.array, work.path / _SCRATCH)
        images = _arranged(stored, samples.axes or _guess(path, stored.shape), path)
        obs = _table(table, len(images)) if table else pa.table({"source_row": np.arange(len(images))})
        facts["channels"] = _channels(layout.channels, images.shape[1], path)
        facts["pixel_um"] = layout.pixel_um[-(images.ndim - 2) :]
        order = np.random.Generator(np.random.Philox(seed)).permutation(len(images))

        written = _write_all(images, order, work, progress)
        low, high = _range(path, written)
        facts["value_range"] = _black_and_white(stored.dtype, low, high)
        facts["samples"] = {"file": samples.file or source.name, "shape": stored.shape, "dtype": stored.dtype.name}
        facts["samples"] |= {"min": low, "max": high}
        obs = obs.take(pa.array(order))
        for name in ("pixels", "dhash"):
            obs = obs.append_column(name, pa.array([value for one in written for value in getattr(one, name)]))
        pq.write_table(obs, work.path / "obs.parquet")
        (work.path / _SCRATCH).unlink(missing_ok=True)
    return PatchStore.open(target)


def _digest(path: Path, table: Path | None) -> str:
    """Names the content of the source, wherever it stands."""
    for file in (path, table):
        if file and not file.exists():
            raise MissingError(f"there is nothing at {file}", "no such file", "Check the path")
    found = {file.relative_to(path).as_posix(): sha256_file(file) for file in files_of(path)}
    return hashlib.sha256(json.dumps([found, sha256_file(table) if table else ""]).encode()).hexdigest()


def _guess(path: Path, shape: tuple[int, ...]) -> str:
    """The axes of an array of which nothing else is known."""
    if len(shape) == 3:
        return "NYX"
    fitting = [axes for axes, size in zip(("NCYX", "NYXC"), shape[1::2], strict=False) if size <= MOST_CHANNELS]
    if len(shape) == 4 and len(fitting) == 1:
        return fitting[0]
    raise RecipeError(
        f"the axes of {path} are not clear",
        f"its shape is {shape}, and channels are guessed only where one axis, the second or the last of four, "
        f"is at most {MOST_CHANNELS} long",
        "Name a data set whose layout says the axes",
    )


def _arranged(array: NDArray[Any], axes: str, path: Path) -> NDArray[Any]:
    """A view of the array as N C Y X or N C Z Y X."""
    if array.dtype != np.bool_ and array.dtype.newbyteorder("=").name not in DTYPES:
        raise DataError(
            f"samples of {array.dtype} are not kept",
            f"{path} has them, and patch stores hold {', '.join(DTYPES)}",
            "Convert it: float32 keeps 24 bits of every number, and a microscope gives at most 16",
        )
    if sorted(axes) != sorted(set(axes)) or not set("NYX") <= set(axes) <= set(AXES) or len(axes) != array.ndim:
        raise RecipeError(
            f"{axes!r} cannot be the axes of {path}",
            f"its shape is {array.shape}",
            f"Give one letter of {' '.join(AXES)} per axis, N, Y and X among them",
        )
    view = array.transpose([axes.index(one) for one in AXES if one in axes])
    return view if "C" in axes else view[:, None]


def _channels(names: tuple[str, ...], count: int, path: Path) -> tuple[str, ...]:
    if names and len(names) != count:
        raise RecipeError(
            f"the channels of {path} are not those named",
            f"{count}, and {len(names)} names: {', '.join(names)}",
            "Give one name per channel",
        )
    return names or tuple(f"channel{number}" for number in range(count))


def _table(path: Path, count: int) -> pa.Table:
    """The metadata, one row per sample of the source; dates stay the text they are."""
    try:
        table = pa_csv.read_csv(path)
        dates = {field.name: pa.string() for field in table.schema if pa.types.is_temporal(field.type)}
        if dates:
            table = pa_csv.read_csv(path, convert_options=pa_csv.ConvertOptions(column_types=dates))
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise _unfit(path, str(error)) from None
    twice = [name for name, times in Counter([*table.column_names, *OURS]).items() if times > 1]
    if twice:
        raise _unfit(path, f"the column {', '.join(twice)}, which is there twice or has a name of ours")
    if table.num_rows != count:
        raise _unfit(path, f"{table.num_rows} rows for {count} samples")
    if "index" in table.column_names and table.column("index").to_pylist() != list(range(count)):
        raise _unfit(path, "a column index that does not run from 0 in steps of 1")
    return table.append_column("source_row", pa.array(np.arange(count)))


def _unfit(path: Path, found: str) -> DataError:
    return DataError(f"{path} is not the table of these samples", found, "Give one row per sample, in their order")


def _write_all(images: NDArray[Any], order: NDArray[np.int64], work: Work, progress: Progress) -> list[Written]:
    """Write the shards that an earlier attempt has not; of all of them what was found."""
    dtype = "uint8" if images.dtype == np.bool_ else images.dtype.newbyteorder("=").name
    arrays = PatchArrays(images.shape, dtype, {}, {"name": DEFAULT.name})
    arrays.create(work.path)
    tasks = [task for task in arrays.shards if str(task[0]) not in work.done]

    def finished(index: int, written: Written) -> None:
        work.finish(str(tasks[index][0]), written.objects, asdict(written))
        progress(sum(stop - start for start, stop in arrays.shards if str(start) in work.done), len(images))

    threads(2)(partial(_write_shard, arrays, images, order, work.path), tasks, finished)
    return [Written(**work.done[str(start)]) for start, _ in arrays.shards]


def _write_shard(
    arrays: PatchArrays, images: NDArray[Any], order: NDArray[np.int64], store: Path, task: tuple[int, int]
) -> Written:
    start, stop = task
    rows = np.ascontiguousarray(images[order[start:stop]], dtype=arrays.dtype)
    lost = int(rows.size - np.isfinite(rows).sum()) if rows.dtype.kind == "f" else 0
    if lost:
        return Written([], 0, 0, lost, [], [])
    objects = list(arrays.write(store, start, rows, {}))
    low, high = rows.min().item(), rows.max().item()
    chunk, _ = arrays.layout
    parts = [rows[first : first + chunk] for first in range(0, len(rows), chunk)]  # hashes take memory
    pixels, dhash = (np.concatenate([hashes(part) for part in parts]) for hashes in (pixel_hashes, difference_hashes))
    return Written(objects, low, high, lost, pixels.tolist(), dhash.tolist())


def _range(path: Path, written: list[Written]) -> tuple[float, float]:
    """Smallest and largest value.  Raises DataError: some values are no numbers."""
    lost = sum(one.lost for one in written)
    if lost:
        raise DataError(
            f"{path} has values that are no numbers",
            f"{lost:,} are NaN or infinite",
            "Leave those samples out, or mend them",
        )
    return min(one.low for one in written), max(one.high for one in written)


def _black_and_white(dtype: np.dtype[Any], low: float, high: float) -> list[float]:
    """The values that mean black and white: of masks 0 and 1, of bytes all there are, else what is there."""
    if dtype == np.bool_:
        return [0, 1]
    return [0, 255] if dtype == np.uint8 else [low, high if high > low else low + 1]
