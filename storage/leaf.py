"""The leaf of `prepare`: what one task does, in whichever process it runs. It opens everything by path."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.cuts import Cut, Places
from storage.durable import disk_errors
from storage.errors import DataError, RecipeError
from storage.leakage import difference_hashes, pixel_hashes
from storage.operations import Stack
from storage.operations.segmentation import objects
from storage.patches import PatchArrays
from storage.pipeline import Pipeline
from storage.source import Source

Sums = dict[int, tuple[NDArray[np.float64], int]]
"""Group -> sum of the planes of its frames, C Y X, and how many they are."""


@dataclass(frozen=True)
class Job:
    """All that the tasks of one `prepare` share.

    groups: of a measured operation, by its index, the group of every image of the source.
    """

    source: Source
    before: Pipeline
    after: Pipeline
    cut: Cut
    groups: Mapping[int, NDArray[np.int64]]

    def operated(self, stack: Stack, image: int, stop: int | None = None) -> Stack:
        """A frame of that image after the operations on whole frames, or those before `stop`."""
        return self.before(stack, {step: int(of_image[image]) for step, of_image in self.groups.items()}, stop)

    def sample(self, stack: Stack, plan: Places, row: int) -> Stack:
        """What is cut out of an operated frame, after the operations on patches; Z is 1 in two dimensions."""
        label = plan.things[plan.thing[row]]["object"] if self.cut.kind == "objects" else None
        corner = (int(plan.z[row]), int(plan.y[row]), int(plan.x[row]))
        return self.after(_cut_out(stack, corner, self.cut, label), {})


@dataclass(frozen=True)
class Unit:
    """Frames that are read together.  images: row of the images table of each."""

    series: int
    frames: tuple[int, ...]
    images: tuple[int, ...]


def units(series: NDArray[np.int64], frame: NDArray[np.int64], image: NDArray[np.int64], at_once: int) -> list[Unit]:
    """A list of frames, cut where another array or another `at_once` frames of it begin."""
    ends = np.flatnonzero((np.diff(series) != 0) | (np.diff(frame // at_once) != 0)) + 1
    parts = np.split(np.arange(len(frame)), ends)
    return [Unit(int(series[part[0]]), tuple(frame[part].tolist()), tuple(image[part].tolist())) for part in parts]


def sums(job: Job, step: int, group: NDArray[np.int64], batch: Sequence[Unit]) -> Sums:
    """Of each group the sum of its planes, as they are before that operation.  group: of every image."""
    found: Sums = {}
    for unit in batch:
        for stack, image in zip(_read(job, unit), unit.images, strict=True):
            value = job.operated(stack, image, stop=step).image
            total, count = found.get(int(group[image]), (0, 0))
            found[int(group[image])] = (total + value.sum(axis=1, dtype=np.float64), count + value.shape[1])
    return found


def objects_of(job: Job, unit: Unit) -> list[Mapping[str, NDArray[Any]]]:
    """The objects of every frame of the unit, in the operated label image that the cut names."""
    found: list[Mapping[str, NDArray[Any]]] = []
    for stack, image in zip(_read(job, unit), unit.images, strict=True):
        labels = job.operated(stack, image).labels
        if missing := [name for name in (job.cut.objects, *job.cut.matched) if name not in labels]:
            raise RecipeError(
                f"there is no label image {missing[0]!r} to find objects in",
                f"there are {', '.join(labels) or 'none'}",
                "Ingest it with the images, or make it by an operation such as segment_nuclei",
            )
        found.append(objects(labels[job.cut.objects]))
    return found


def _read(job: Job, unit: Unit) -> list[Stack]:
    low = min(unit.frames)
    stacks = job.source.frames(unit.series, low, max(unit.frames) + 1)
    return [stacks[frame - low] for frame in unit.frames]


@dataclass(frozen=True)
class Written:
    """One shard.  objects: its files, below the store.  low, high: its range.  pixels, dhash: hashes per sample."""

    objects: Sequence[str]
    low: float
    high: float
    pixels: Sequence[int]
    dhash: Sequence[int]


def write_shard(job: Job, arrays: PatchArrays, store: Path, task: tuple[int, Places]) -> Written:
    """Cut, change and write the samples of one shard.  task: its first row in the store, and its samples.

    Raises DataError: they are not all of one shape and dtype, or hold values that are no numbers.
    Raises DiskError: they could not be written.
    """
    start, rows = task
    sample = arrays.shape[1:]
    images = np.empty((len(rows), *sample), arrays.dtype)
    labels = {name: np.empty((len(rows), *sample[1:]), dtype) for name, dtype in arrays.labels.items()}
    for members in _read_together(job, rows):
        first, last = int(rows.frame[members[0]]), int(rows.frame[members[-1]])
        stacks = job.source.frames(int(rows.series[members[0]]), first, last + 1)
        at, operated = -1, stacks[0]
        for row in members.tolist():
            if rows.frame[row] != at:
                at = int(rows.frame[row])
                operated = job.operated(stacks[at - first], int(rows.image[row]))
            one = job.sample(operated, rows, row)
            images[row] = _fitting(without_z(one.image, job.cut), images)
            for name, values in labels.items():
                values[row] = _fitting(without_z(one.labels[name], job.cut), values)
    low, high = images.min().item(), images.max().item()
    if not np.isfinite([low, high]).all():
        raise _no_numbers(job, rows, images)
    with disk_errors(store):
        objects = arrays.write(store, start, images, labels)
    return Written(objects, low, high, pixel_hashes(images).tolist(), difference_hashes(images).tolist())


def _no_numbers(job: Job, rows: Places, images: NDArray[Any]) -> DataError:
    finite = np.isfinite(images).reshape(len(images), -1)
    row = int(np.flatnonzero(~finite.all(axis=1))[0])
    where = f"frame {rows.frame[row]} of array {job.source.series[rows.series[row]].name!r}"
    return DataError(
        "patches hold values that are no numbers",
        f"{(~finite[row]).sum()} of {finite.shape[1]} values of a patch, cut from {where}",
        "The column nan of files.parquet names the files that have some: leave them out with prepare.subset",
    )


def _fitting(values: NDArray[Any], into: NDArray[Any]) -> NDArray[Any]:
    if values.shape != into.shape[1:] or values.dtype != into.dtype:
        raise DataError(
            "the samples are not all of one kind",
            f"one is {values.dtype} {values.shape}, and the first was {into.dtype} {into.shape[1:]}",
            "End prepare.patch.operations with pad, centre_crop or resize",
        )
    return values


def _read_together(job: Job, rows: Places) -> list[NDArray[np.int64]]:
    """The rows in the order of the images, split where another chunk of them begins."""
    order = np.lexsort((rows.frame, rows.series))
    per_read = {one: job.source.per_read(one) for one in set(rows.series.tolist())}
    chunk = rows.frame // np.asarray([per_read[one] for one in rows.series.tolist()])
    ends = np.flatnonzero((np.diff(chunk[order]) != 0) | (np.diff(rows.series[order]) != 0)) + 1
    return np.split(order, ends)


def without_z(values: NDArray[Any], cut: Cut) -> NDArray[Any]:
    """As a patch store keeps it: two-dimensional patches have no axis Z."""
    return values[..., 0, :, :] if cut.dimensions == 2 else values


def _cut_out(stack: Stack, corner: tuple[int, int, int], cut: Cut, label: int | None) -> Stack:
    """The part of a frame that begins at the corner; zeros where it reaches beyond."""
    size = ((1, *cut.size)[-3], cut.size[-2], cut.size[-1])
    labels = {name: _window(values, corner, size) for name, values in stack.labels.items()}
    if label is not None:
        own = {cut.objects, *cut.matched}
        labels = {name: (one == label).astype(np.uint8) if name in own else one for name, one in labels.items()}
    return replace(stack, image=_window(stack.image, corner, size), labels=labels)


def _window(values: NDArray[Any], corner: tuple[int, int, int], size: tuple[int, int, int]) -> NDArray[Any]:
    """A box of ... Z Y X."""
    spans = [
        (max(0, at), max(0, min(there, at + wanted)))
        for at, wanted, there in zip(corner, size, values.shape[-3:], strict=True)
    ]
    z, y, x = (slice(low, high) for low, high in spans)
    inside = values[..., z, y, x]
    if inside.shape[-3:] == size:
        return inside
    out = np.zeros((*values.shape[:-3], *size), values.dtype)
    z, y, x = (slice(low - at, high - at) for (low, high), at in zip(spans, corner, strict=True))
    out[..., z, y, x] = inside
    return out
