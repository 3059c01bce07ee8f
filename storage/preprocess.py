"""Image store -> patch store. Each Dask task reads its own part of the images and writes one shard.

The images are dealt to the shards by a seeded permutation of whole chunks, and the rows of a shard are
permuted: reading stays sequential, and any run of rows is already a mixture.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import ndimage

from storage import patches
from storage.datasets import Progress
from storage.errors import DataError, RecipeError
from storage.manifest import Facts, committed
from storage.patches import PatchStore
from storage.split import matching
from storage.store import (
    CHUNK_BYTES,
    SHARD_BYTES,
    ImageStore,
    Series,
    create_array,
    frame_layout,
    open_array,
    read_rows,
    rows_per,
    write_shard,
)
from storage.tasks import run_tasks

Frame = NDArray[Any]
"""C Z Y X."""


def median(frame: Frame, *, size_zyx: Sequence[int]) -> Frame:
    """Median over a box of `size_zyx` voxels, channel by channel; takes camera noise away."""
    return np.stack([ndimage.median_filter(channel, size=tuple(size_zyx)) for channel in frame])


def display_range(frame: Frame, *, low: float, high: float) -> Frame:
    """Map the values low..high to 0..255 and cut what is outside; the result is uint8."""
    scaled = (frame.astype(np.float32) - low) * (255.0 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


OPERATIONS: Mapping[str, Callable[..., Frame]] = {"median": median, "display_range": display_range}
"""What `prepare.operations` may name; each maps a frame C Z Y X to one of the same shape."""


@dataclass(frozen=True)
class Preparation:
    """How patches are made.

    operations: tables of {name, and that operation's own keys}, in order.  size: side of a patch in
    pixels.  cut: "one_random" patch per plane, or all that tile it ("tiled").  subset: columns of the
    files and the values wanted.
    """

    size: int
    cut: Literal["one_random", "tiled"]
    operations: tuple[Mapping[str, Any], ...] = ()
    subset: Mapping[str, Sequence[Any]] | None = None
    seed: int = 0


@dataclass(frozen=True)
class _Plan:
    """Where each sample comes from: arrays of one entry per sample, in the order of the store's rows.

    files: row of the store's files table.
    """

    frame: NDArray[np.int64]
    file: NDArray[np.int64]
    z: NDArray[np.int64]
    y: NDArray[np.int64]
    x: NDArray[np.int64]

    def rows(self, start: int, stop: int) -> "_Plan":
        return _Plan(*(column[start:stop] for column in vars(self).values()))

    def __len__(self) -> int:
        return len(self.frame)


def prepare(
    source: Path,
    target: Path,
    how: Preparation,
    *,
    threads: int = 2,
    progress: Progress = lambda done, total: None,
) -> PatchStore:
    """Cut patches out of the images of a store into a new patch store at `target`.

    Raises RecipeError: an unknown operation, a patch larger than the images, or something stands at
    `target`.  Raises DataError: the store holds images of several shapes.
    """
    operate = _pipeline(how.operations)
    store = ImageStore.open(source)
    chosen = np.flatnonzero(matching(store.files, how.subset or {}))
    series = _one_series(store, chosen)
    plan = _plan(store, series, chosen, how)
    dtype = operate(np.zeros((series.shape[1], 1, 3, 3), series.dtype)).dtype.name
    if dtype not in ("uint8", "uint16"):
        raise RecipeError(
            f"patches of {dtype} are not kept", f"the images are {series.dtype}", "End with operation display_range"
        )
    sample_shape = (series.shape[1], how.size, how.size)
    item_bytes = int(np.prod(sample_shape)) * np.dtype(dtype).itemsize
    chunk = min(rows_per(item_bytes, CHUNK_BYTES), len(plan))
    shard = chunk * min(rows_per(item_bytes * chunk, SHARD_BYTES), -(-len(plan) // chunk))
    plan = _shuffled(plan, shard, frame_layout(series.shape, series.dtype)[0][0], how.seed)
    facts: Facts = {
        "recipe": asdict(how),
        "source": store.manifest.digest,
        "channels": series.channels,
        "pixel_um": series.pixel_um[1:],
    }
    with committed(target, patches.KIND, facts) as folder:
        shape = (len(plan), *sample_shape)
        create_array(
            folder / "images", shape, dtype, (chunk, *sample_shape), (shard, *sample_shape), ("sample", "c", "y", "x")
        )
        write = partial(_write_patches, source / series.name / "0", folder / "images", plan, how.size, operate)
        tasks = [(start, min(start + shard, len(plan))) for start in range(0, len(plan), shard)]
        steps = _Steps(len(plan), progress)
        ranges = run_tasks(lambda task: write(task, steps), tasks, threads, lambda done, total: None)
        lowest, highest = min(low for low, _ in ranges), max(high for _, high in ranges)
        facts["value_range"] = [0, 255] if dtype == "uint8" else [lowest, max(highest, lowest + 1)]
        pq.write_table(_obs(store, plan), folder / "obs.parquet")
    return PatchStore.open(target)


def _pipeline(operations: Sequence[Mapping[str, Any]]) -> Callable[[Frame], Frame]:
    """One function of a frame; every name, key and value is tried before anything is read."""
    steps: list[Callable[[Frame], Frame]] = []
    for table in operations:
        keys = {key: value for key, value in table.items() if key != "name"}
        name = str(table.get("name"))
        if name not in OPERATIONS:
            known = ", ".join(sorted(OPERATIONS))
            raise RecipeError(f"there is no operation {name!r}", f"the known ones are {known}", "Use one of these")
        function = OPERATIONS[name]
        try:
            function(np.zeros((1, 1, 3, 3), np.uint8), **keys)
        except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
            wanted = ", ".join(list(inspect.signature(function).parameters)[1:])
            raise RecipeError(
                f"operation {name} cannot be given {keys}", str(error), f"Its keys are {wanted}"
            ) from None
        steps.append(partial(function, **keys))

    def operate(frame: Frame) -> Frame:
        for step in steps:
            frame = step(frame)
        return frame

    return operate


def _one_series(store: ImageStore, chosen: NDArray[np.int64]) -> Series:
    """The one kind of image that the chosen files have."""
    names = store.files.column("series").to_pylist()
    first_of: dict[str, int] = {}
    for row in chosen.tolist():
        first_of.setdefault(names[row], row)
    if len(first_of) > 1:
        files = store.files.column("file").to_pylist()
        (a, row_a), (b, row_b) = list(first_of.items())[:2]
        shapes = {one.name: (one.frame_shape, one.dtype, one.channels) for one in store.series}
        raise DataError(
            f"{store.path} holds images of {len(first_of)} kinds, and patches are cut from one",
            f"{files[row_a]} is {_kind(*shapes[a])} but {files[row_b]} is {_kind(*shapes[b])}",
            "Choose one kind with prepare.subset, or ingest them into stores of their own",
        )
    return next(one for one in store.series if one.name in first_of)


def _kind(shape: tuple[int, ...], dtype: str, channels: tuple[str, ...]) -> str:
    return f"C Z Y X = {' x '.join(map(str, shape))} {dtype} ({', '.join(channels)})"


def _plan(store: ImageStore, series: Series, chosen: NDArray[np.int64], how: Preparation) -> _Plan:
    """Every sample, in the order of the files."""
    _, planes, height, width = series.frame_shape
    if how.size > min(height, width):
        raise RecipeError(
            "the patch is larger than the images",
            f"{how.size} pixels, and the images are {height} x {width}",
            f"Set prepare.patch.size to {min(height, width)} or less",
        )
    firsts = store.files.column("first_frame").to_numpy()[chosen]
    counts = store.files.column("frames").to_numpy()[chosen]
    files = np.repeat(chosen, counts)
    frames = np.concatenate([np.arange(first, first + n) for first, n in zip(firsts, counts, strict=True)])
    per_plane = 1 if how.cut == "one_random" else (height // how.size) * (width // how.size)
    frame, z, k = (a.ravel() for a in np.meshgrid(frames, np.arange(planes), np.arange(per_plane), indexing="ij"))
    file = np.repeat(files, planes * per_plane)
    if how.cut == "tiled":
        y, x = (k // (width // how.size)) * how.size, (k % (width // how.size)) * how.size
    else:
        random = np.random.Generator(np.random.Philox(key=[how.seed, 0]))
        y = random.integers(0, height - how.size + 1, len(frame))
        x = random.integers(0, width - how.size + 1, len(frame))
    return _Plan(frame, file, z, y, x)


def _shuffled(plan: _Plan, shard: int, frames_per_chunk: int, seed: int) -> _Plan:
    """Deal chunks of the images at random, then permute the rows inside each shard."""
    random = np.random.Generator(np.random.Philox(key=[seed, 1]))
    chunk_of = plan.frame // frames_per_chunk
    rank = random.permutation(int(chunk_of.max()) + 1)
    order = np.argsort(rank[chunk_of], kind="stable")
    for start in range(0, len(order), shard):
        random.shuffle(order[start : start + shard])
    return _Plan(*(column[order] for column in vars(plan).values()))


class _Steps:
    """Progress in samples, from many threads."""

    def __init__(self, total: int, progress: Progress) -> None:
        self.total, self.progress, self.done = total, progress, 0

    def add(self, count: int) -> None:
        self.done += count
        self.progress(min(self.done, self.total), self.total)


def _write_patches(
    source: Path,
    target: Path,
    plan: _Plan,
    size: int,
    operate: Callable[[Frame], Frame],
    task: tuple[int, int],
    steps: _Steps,
) -> tuple[float, float]:
    """Fill and write one shard; the smallest and largest value in it."""
    rows = plan.rows(*task)
    images = open_array(source)
    per_read = images.chunks[0]
    block: NDArray[Any] | None = None
    chunk_of = rows.frame // per_read
    order = np.argsort(rows.frame, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(chunk_of[order])) + 1):
        start = int(chunk_of[members[0]]) * per_read
        frames = read_rows(images, start, start + per_read)
        last, operated = -1, frames[0]
        for row in members.tolist():
            if rows.frame[row] != last:
                last = int(rows.frame[row])
                operated = operate(frames[last - start])
            y, x = int(rows.y[row]), int(rows.x[row])
            patch = operated[:, rows.z[row], y : y + size, x : x + size]
            if block is None:
                block = np.empty((len(rows), *patch.shape), patch.dtype)
            block[row] = patch
        steps.add(len(members))
    assert block is not None
    write_shard(target, task[0], block)
    return block.min().item(), block.max().item()


def _obs(store: ImageStore, plan: _Plan) -> pa.Table:
    """Where each sample came from, and everything known of that file."""
    inner = ("series", "first_frame", "frames", "shape", "dtype", "min", "max", "sha256")
    described = store.files.drop_columns(list(inner)).take(pa.array(plan.file))
    firsts = store.files.column("first_frame").to_numpy()[plan.file]
    for name, values in (("frame", plan.frame - firsts), ("z", plan.z), ("y", plan.y), ("x", plan.x)):
        described = described.append_column(name, pa.array(values))
    return described
