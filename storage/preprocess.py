"""Image store -> patch store. Each task reads its own part of the images and writes one shard.

First it is decided where every sample comes from (`storage.cuts`); for that, objects are found and illumination is
measured, one task per few frames. Then one task per shard cuts, changes and writes (`storage.leaf`).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from storage import leaf, patches
from storage.codecs import codec
from storage.cuts import Cut, Frames, Integers, Places, places, resolved, shuffled
from storage.datasets import Progress
from storage.durable import require_nothing
from storage.errors import DataError, RecipeError
from storage.executors import Executor, threads
from storage.journal import Work, resumable
from storage.leaf import Job, Unit, Written, without_z
from storage.manifest import Facts
from storage.mining import Neighbours, candidates, mine
from storage.operations import Stack
from storage.operations.filters import illumination_field
from storage.patches import PatchArrays, PatchStore
from storage.pipeline import Pipeline
from storage.source import Listing, Source, open_source
from storage.split import column_values, matching
from storage.store import Series

FORMAT = 2
"""Of what is written; another number makes what a killed run has begun worthless."""
FRAMES_PER_TASK = 8
SUMS = 32
"""Tasks that measure illumination: as many sums are held, and one for each group."""


@dataclass(frozen=True)
class Preparation:
    """How patches are made.

    cut: what is cut out.  operations: tables of {name, and that operation's own keys}, in order, on whole
    frames.  after: the same, on what was cut out.  subset: columns of the images and the values wanted.
    times, slices: first and last that are wanted, counted from 0.  codec: {name, and its own keys}.
    """

    cut: Cut
    operations: tuple[Mapping[str, Any], ...] = ()
    after: tuple[Mapping[str, Any], ...] = ()
    subset: Mapping[str, Sequence[Any]] | None = None
    times: tuple[int, int] | None = None
    slices: tuple[int, int] | None = None
    seed: int = 0
    codec: Mapping[str, Any] = field(default_factory=lambda: {"name": "zstd"})
    neighbours: Neighbours | None = None


def prepare(
    source: Path,
    target: Path,
    how: Preparation,
    *,
    executor: Executor | None = None,
    progress: Progress = lambda done, total: None,
) -> PatchStore:
    """Cut patches out of the images of a store into a new patch store at `target`.

    A call that was killed is gone on with by the same call. The result does not depend on the executor.
    Raises RecipeError: an unknown operation, a patch larger than the images, or something stands at `target`.
    Raises DataError: the store holds images of several kinds, or they give patches of several kinds.
    """
    source, target = source.absolute(), target.absolute()  # tasks may run in other folders
    require_nothing(target)
    codec(**how.codec)
    run = executor or threads(2)
    before, after = Pipeline.of(how.operations), Pipeline.of(how.after, patches=True)
    opened, listing = open_source(source)
    chosen = np.flatnonzero(matching(listing.metadata, how.subset or {}))
    _require_one_kind(opened, listing, chosen)
    image, frame = _wanted_frames(listing, chosen, how.times)
    series = listing.series[image]
    per_read = opened.per_read(int(series[0]))
    units = leaf.units(series, frame, image, min(FRAMES_PER_TASK, per_read))

    steps = _Steps(progress, measuring=len(before.unmeasured()), finding=how.cut.kind == "objects")
    job = _measured(Job(opened, before, after, how.cut, {}), listing.metadata, (series, frame, image), run, steps)
    first = job.operated(opened.frames(int(series[0]), int(frame[0]), int(frame[0]) + 1)[0], int(image[0]))
    _, *size = first.image.shape
    slices, time = _slices(how.slices, size[0]), frame - listing.first_frame[image]
    frames = Frames(image, series, frame, (size[0], size[1], size[2]), slices, time)
    job = replace(job, cut=resolved(how.cut, frames))
    plan = places(frames, job.cut, listing.metadata, _found_objects(job, units, run, steps), how.seed)
    arrays, example = _arrays(job, plan, how)
    plan = shuffled(plan, arrays.layout[1], per_read, how.seed)
    obs = _obs(listing, plan)
    if how.neighbours:
        candidates(example.channels, obs, how.neighbours)

    facts: Facts = {
        "recipe": asdict(how),
        "source": opened.digest,
        "channels": example.channels,
        "pixel_um": example.pixel_um[-how.cut.dimensions :],
        "labels": sorted(arrays.labels),
    }
    with resumable(target, patches.KIND, facts, _key(facts, arrays, plan)) as work:
        arrays.create(work.path)
        written = _write_all(job, arrays, plan, work, run, steps)
        facts["value_range"] = _value_range(arrays.dtype, written, binary=bool(listing.binary[chosen].all()))
        for name in ("pixels", "dhash"):
            obs = obs.append_column(name, pa.array([value for one in written for value in getattr(one, name)]))
        if how.neighbours:
            facts["neighbours"] = mine(work.path, example.channels, obs, how.neighbours)
        pq.write_table(obs, work.path / "obs.parquet")
    return PatchStore.open(target)


def _key(facts: Facts, arrays: PatchArrays, plan: Places) -> str:
    """Names all that decides what the shards hold."""
    found = hashlib.sha256(json.dumps([FORMAT, facts, arrays.layout, plan.things], sort_keys=True).encode())
    for name, column in vars(plan).items():
        if name != "things":
            found.update(column.tobytes())
    return found.hexdigest()


def _require_one_kind(source: Source, listing: Listing, chosen: Integers) -> None:
    """Patches are cut from images of one shape, dtype, channel list, pixel size and set of label images."""
    first_of: dict[tuple[object, ...], int] = {}
    for row in chosen.tolist():
        one = source.series[listing.series[row]]
        first_of.setdefault((one.frame_shape, one.dtype, one.channels, one.pixel_um, one.labels), row)
    if len(first_of) > 1:
        first, second = list(first_of.values())[:2]
        told = (f"{listing.names[row]} is {_told(source.series[listing.series[row]])}" for row in (first, second))
        raise DataError(
            f"{source.path} holds images of {len(first_of)} kinds, and patches are cut from one",
            " but ".join(told),
            "Choose one kind with prepare.subset, or ingest them into stores of their own",
        )


def _told(one: Series) -> str:
    labels = f" with {', '.join(one.labels)}" if one.labels else ""
    return f"C Z Y X = {' x '.join(map(str, one.frame_shape))} {one.dtype} ({', '.join(one.channels)}){labels}"


def _wanted_frames(listing: Listing, chosen: Integers, times: tuple[int, int] | None) -> tuple[Integers, Integers]:
    """Row of the listing, and index in its array, of every frame."""
    firsts, counts = listing.first_frame[chosen], listing.frames[chosen]
    low, high = times or (0, int(counts.max()) - 1)
    kept = [np.arange(min(low, n), min(high + 1, n)) + first for first, n in zip(firsts, counts, strict=True)]
    image = np.repeat(chosen, [len(one) for one in kept])
    if not len(image):
        raise RecipeError(
            "no image has the times wanted",
            f"{low} to {high}, and the longest has {counts.max()}",
            "Set prepare.times to first and last, counted from 0",
        )
    return image, np.concatenate(kept)


def _slices(wanted: tuple[int, int] | None, planes: int) -> tuple[int, int]:
    low, high = wanted or (0, planes - 1)
    if not 0 <= low <= high < planes:
        raise RecipeError(
            "the images have not the slices wanted",
            f"{low} to {high}, and there are {planes} after the operations",
            "Set prepare.slices to first and last, counted from 0",
        )
    return low, high


def _measured(job: Job, images: pa.Table, frames: tuple[Integers, ...], run: Executor, steps: "_Steps") -> Job:
    """Measure what operations must know of a group of images.  frames: the array, the place in it, the image of each.

    A task sums many frames, so that few sums are held; sums of whole numbers are exact in whatever order.
    """
    series, frame, image = frames
    for step, by, smoothing_px in job.before.unmeasured():
        names = [str(value) for value in column_values(images, by)] if by else [""] * images.num_rows
        groups = sorted({names[row] for row in np.unique(image).tolist()})
        group = np.asarray([groups.index(name) if name in groups else -1 for name in names])
        order = np.lexsort((frame, series, group[image]))
        units = leaf.units(series[order], frame[order], image[order], FRAMES_PER_TASK)
        size = -(-len(units) // SUMS)
        batches = [units[start : start + size] for start in range(0, len(units), size)]
        total: list[Any] = [0] * len(groups)
        count = total.copy()
        for sums in run(partial(leaf.sums, job, step, group), batches, steps.part(len(batches)).one):
            for one, (value, planes) in sums.items():
                total[one] = total[one] + value
                count[one] += planes
        means = (value / planes for value, planes in zip(total, count, strict=True))
        fields = [illumination_field(mean, smoothing_px=smoothing_px) for mean in means]
        job = replace(job, before=job.before.measured(step, fields), groups={**job.groups, step: group})
    return job


def _found_objects(job: Job, units: list[Unit], run: Executor, steps: "_Steps") -> list[Mapping[str, NDArray[Any]]]:
    """The objects of every frame, if the cut asks for them."""
    if job.cut.kind != "objects":
        return []
    found = run(partial(leaf.objects_of, job), units, steps.part(len(units)).one)
    return [objects for of_unit in found for objects in of_unit]


def _arrays(job: Job, plan: Places, how: Preparation) -> tuple[PatchArrays, Stack]:
    """What the store will hold, as the first sample tells."""
    frame = int(plan.frame[0])
    stack = job.source.frames(int(plan.series[0]), frame, frame + 1)[0]
    example = job.sample(job.operated(stack, int(plan.image[0])), plan, 0)
    dtype = example.image.dtype.name
    if dtype not in patches.DTYPES:
        raise RecipeError(
            f"patches of {dtype} are not kept",
            f"the images are {stack.image.dtype}",
            "End with an operation that gives uint8, such as display_range",
        )
    labels = {name: values.dtype.name for name, values in example.labels.items()}
    return PatchArrays((len(plan), *without_z(example.image, how.cut).shape), dtype, labels, how.codec), example


def _write_all(
    job: Job, arrays: PatchArrays, plan: Places, work: Work, run: Executor, steps: "_Steps"
) -> list[Written]:
    """Write the shards that an earlier attempt has not; of all of them what was found."""
    tasks = [task for task in arrays.shards if str(task[0]) not in work.done]
    part = steps.part(len(plan))
    part.add(len(plan) - sum(stop - start for start, stop in tasks))

    def finished(index: int, written: Written) -> None:
        start, stop = tasks[index]
        work.finish(str(start), written.objects, asdict(written))
        part.add(stop - start)

    items = [(start, plan.rows(slice(start, stop))) for start, stop in tasks]
    run(partial(leaf.write_shard, job, arrays, work.path), items, finished)
    return [Written(**work.done[str(start)]) for start, _ in arrays.shards]


def _value_range(dtype: str, written: list[Written], *, binary: bool) -> list[float]:
    """The values that mean black and white: of bytes all there are, of masks 0 and 1, else what is there."""
    low, high = min(one.low for one in written), max(one.high for one in written)
    if dtype == "uint8":
        return [0, 1] if high <= 1 and binary else [0, 255]
    return [low, high if high > low else low + 1]


def _obs(listing: Listing, plan: Places) -> pa.Table:
    """Where each sample came from, and everything known of that image."""
    table = listing.metadata.take(pa.array(plan.image))
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(key for thing in plan.things for key in thing):
        columns[name] = [plan.things[one].get(name) for one in plan.thing.tolist()]
    known = set(table.column_names)  # a sample of a patch store knows the frame and the place it was cut from
    if "frame" not in known:
        columns["frame"] = plan.frame - listing.first_frame[plan.image]
    for axis, corner in (("z", plan.z), ("y", plan.y), ("x", plan.x)):
        columns[axis] = corner + (table.column(axis).to_numpy() if axis in known else 0)
    table = table.drop_columns([name for name in (*columns, "pixels", "dhash") if name in known])
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return table


class _Steps:
    """One progress bar for the passes over the images, of equal length each."""

    def __init__(self, progress: Progress, measuring: int, finding: bool) -> None:
        self.passes = measuring + finding + 1
        self.progress, self.begun = progress, 0

    def part(self, total: int) -> "_Part":
        """The next pass, which has so many items."""
        self.begun += 1
        return _Part(self, total)


class _Part:
    """One pass."""

    def __init__(self, steps: _Steps, total: int) -> None:
        self.steps, self.total, self.done, self.before = steps, total, 0, (steps.begun - 1) * total

    def add(self, count: int) -> None:
        """So many more items are done."""
        self.done += count
        self.steps.progress(self.before + self.done, self.steps.passes * self.total)

    def one(self, index: int, result: object) -> None:
        """One more item is done, whichever."""
        self.add(1)
