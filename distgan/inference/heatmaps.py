"""How likely a class is at every pixel of whole images: a store of heat maps, which lie on the images pixel by pixel.

A pixel has the probability of the window whose middle is nearest, so the middles have what the windows have. Windows
are laid so that the last row and column are in one, whatever the stride.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from distgan.inference.detector import Detector, Floats
from distgan.inference.windows import starts
from storage import store as image_store
from storage.datasets import Progress
from storage.errors import DataError, RecipeError
from storage.journal import Work, resumable
from storage.manifest import Facts, read_manifest
from storage.ome import write_metadata
from storage.source import Listing, Source
from storage.store import ImageStore, Series, array_name, create_array, frame_layout, series_facts, write_shard

_OURS = ("series", "first_frame", "frames", "labels")
FORMAT = 1
"""Of what is written; another number makes what a killed call has begun worthless."""
CHUNKS = 8
"""Chunks of a shard; a shard is what a killed call loses."""
Integers = NDArray[np.int64]
Box = tuple[slice, slice, slice, slice]
"""T Z Y X, each with a start and a stop."""


@dataclass(frozen=True)
class Frames:
    """The frames to look at, in the order of their arrays.

    image: row of the listing of each.  series: index of its array.  frame: its place along T there.  time: the same
    within its image.
    """

    image: Integers
    series: Integers
    frame: Integers
    time: Integers

    @classmethod
    def of(cls, listing: Listing, chosen: Integers) -> "Frames":
        """All frames of the chosen images, rows of the listing."""
        counts = listing.frames[chosen]
        image = np.repeat(chosen, counts)
        time = np.arange(len(image)) - np.repeat(np.cumsum(counts) - counts, counts)
        frame, series = listing.first_frame[image] + time, listing.series[image]
        order = np.lexsort((frame, series))
        return cls(image[order], series[order], frame[order], time[order])

    def of_series(self, series: int) -> Integers:
        """Rows of the frames of one array."""
        return np.flatnonzero(self.series == series)


@dataclass(frozen=True)
class Part:
    """A shard of the heat maps.  name: of their array.  series: index of that of the images.  box: in the heat maps.

    frames: of the images' array, one for each of the shard's.
    """

    name: str
    series: int
    box: Box
    frames: tuple[int, ...]


def heatmaps(
    detector: Detector, source: Source, listing: Listing, frames: Frames, target: Path, progress: Progress
) -> ImageStore:
    """Write the heat maps of these frames as an image store, T 1 Z Y X float32 in [0, 1], or find them there.

    Its images are those of the source, in the same order and with the same metadata. A call that was killed is gone on
    with by the same call.  progress: in shards.
    Raises RecipeError: something else stands at `target`.  Raises DataError: the images are not such as the model
    has been trained on.
    """
    series = _series(detector, source, frames)
    facts: Facts = {
        "series": [series_facts(one) for one in series.values()],
        "source": source.digest,
        "model": detector.digest,
        "class": detector.classifier.classes[detector.positive],
        "way": detector.way,
        "window": detector.size,
        "stride": detector.stride,
        "frames": hashlib.sha256(frames.image.tobytes() + frames.frame.tobytes()).hexdigest(),
    }
    if target.exists():
        _require_same(target, facts)
        return ImageStore.open(target)
    images = _images(listing, frames, series)
    parts = [part for index, one in series.items() for part in _parts(one, index, frames)]
    key = hashlib.sha256(json.dumps([FORMAT, facts]).encode()).hexdigest()
    with resumable(target, image_store.KIND, facts, key) as work:
        write_metadata(work.path, series.values())
        for one in series.values():
            chunk, shard = _layout(one)
            create_array(work.path / one.name / "0", one.shape, "float32", chunk, shard, ("t", "c", "z", "y", "x"))
        _write_all(detector, source, series, parts, work, progress)
        pq.write_table(images, work.path / "images.parquet")
        pq.write_table(_files(images, series, parts, work), work.path / "files.parquet")
    return ImageStore.open(target)


def _series(detector: Detector, source: Source, frames: Frames) -> dict[int, Series]:
    """What is written for each array of the source of which frames are looked at."""
    card, positive = detector.card, detector.classifier.classes[detector.positive]
    found = {}
    for index in np.unique(frames.series).tolist():
        one = source.series[index]
        if (one.dtype, list(one.channels)) != (card["dtype"], card["channels"]):
            raise DataError(
                f"{source.path} has not the images that the model was trained on",
                f"{one.dtype} ({', '.join(one.channels)}) instead of {card['dtype']} ({', '.join(card['channels'])})",
                'Prepare whole images (cut = "whole") as its patches were prepared, and detect in those',
            )
        _, _, *space = one.shape
        if min(space[1:]) < detector.size:
            raise DataError(
                f"images of {source.path} are smaller than a window",
                f"{space[1]} x {space[2]} pixels, and a window is {detector.size} x {detector.size}",
                "Choose others with --subset",
            )
        shape = (len(frames.of_series(index)), 1, space[0], space[1], space[2])
        found[index] = Series(one.name or "0", shape, "float32", (positive,), one.pixel_um)
    return found


def _layout(series: Series) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Chunk and shard: shards as large as chunks, or CHUNKS of them along T where whole frames are in one."""
    chunk, _ = frame_layout(series.shape, "float32")
    whole = chunk[2:] == series.shape[2:]
    return chunk, (min(CHUNKS if whole else 1, math.ceil(series.shape[0] / chunk[0])) * chunk[0], *chunk[1:])


def _parts(series: Series, index: int, frames: Frames) -> Iterator[Part]:
    _, shard = _layout(series)
    of_images = frames.frame[frames.of_series(index)]
    edges = [(extent, step) for axis, (extent, step) in enumerate(zip(series.shape, shard, strict=True)) if axis != 1]
    slices = [[slice(low, min(low + step, extent)) for low in range(0, extent, step)] for extent, step in edges]
    for t, z, y, x in itertools.product(*slices):
        yield Part(series.name, index, (t, z, y, x), tuple(of_images[t].tolist()))


def _write_all(
    detector: Detector, source: Source, series: dict[int, Series], parts: Sequence[Part], work: Work, progress: Progress
) -> None:
    """Write the shards that an earlier attempt has not."""
    for number, part in enumerate(parts):
        if str(number) not in work.done:
            found = _heatmap(detector, source, series[part.series], part)
            corner = tuple(one.start for one in part.box)
            path = write_shard(work.path / array_name(part.name), (corner[0], 0, *corner[1:]), found[:, None])
            extremes = [
                [low.item(), high.item()] for low, high in zip(found.min((1, 2, 3)), found.max((1, 2, 3)), strict=True)
            ]
            work.finish(str(number), [f"{array_name(part.name)}/{path}"], extremes)
        progress(number + 1, len(parts))


def _heatmap(detector: Detector, source: Source, series: Series, part: Part) -> Floats:
    """T Z Y X."""
    _, z, *plane = part.box
    nearest = [_nearest(extent, detector)[pixels] for extent, pixels in zip(series.shape[3:], plane, strict=True)]
    first = [starts(extent, detector.size, detector.stride) for extent in series.shape[3:]]
    y, x = (slice(int(at[of[0]]), int(at[of[-1]]) + detector.size) for at, of in zip(first, nearest, strict=True))
    images = np.concatenate([source.box(part.series, (t, z, y, x)) for t in _runs(part.frames)])
    planes = images.swapaxes(1, 2).reshape(-1, images.shape[1], *images.shape[3:])
    found = detector.probabilities(planes)[:, nearest[0] - nearest[0][0]][:, :, nearest[1] - nearest[1][0]]
    return found.reshape(len(part.frames), -1, *found.shape[1:])


def _nearest(extent: int, detector: Detector) -> Integers:
    """Of each pixel along an axis the window whose middle is nearest; of two the later one."""
    middle = starts(extent, detector.size, detector.stride) + detector.size // 2
    return np.searchsorted((middle[1:] + middle[:-1] + 1) // 2, np.arange(extent), side="right")


def _runs(frames: Sequence[int]) -> Iterator[slice]:
    """Frames that follow one another are read together."""
    for _, run in itertools.groupby(enumerate(frames), key=lambda one: one[1] - one[0]):
        numbers = [frame for _, frame in run]
        yield slice(numbers[0], numbers[-1] + 1)


def _images(listing: Listing, frames: Frames, series: dict[int, Series]) -> pa.Table:
    """One row per image that is looked at, as `storage.store.ImageStore` says."""
    image, first, counts = np.unique(frames.image, return_index=True, return_counts=True)
    begin = {index: frames.of_series(index)[0] for index in series}
    of = frames.series[first].tolist()
    columns: dict[str, Any] = {
        "file": [listing.names[row] for row in image.tolist()],
        "series": [series[index].name for index in of],
        "first_frame": [int(row - begin[index]) for row, index in zip(first, of, strict=True)],
        "frames": counts,
        "labels": pa.array([[]] * len(image), pa.list_(pa.string())),
    }
    known = listing.metadata.take(pa.array(image))
    return pa.table(columns | {name: known.column(name) for name in known.column_names if name not in _OURS})


def _files(images: pa.Table, series: dict[int, Series], parts: Sequence[Part], work: Work) -> pa.Table:
    """One row per image, too: a heat map comes from no file."""
    shapes = {one.name: one.shape for one in series.values()}
    low = {name: np.full(shape[0], np.inf) for name, shape in shapes.items()}
    high = {name: np.full(shape[0], -np.inf) for name, shape in shapes.items()}
    for number, part in enumerate(parts):
        extremes = np.asarray(work.done[str(number)])
        low[part.name][part.box[0]] = np.minimum(low[part.name][part.box[0]], extremes[:, 0])
        high[part.name][part.box[0]] = np.maximum(high[part.name][part.box[0]], extremes[:, 1])
    rows = []
    for number, one in enumerate(images.select(["file", "series", "first_frame", "frames"]).to_pylist()):
        own = slice(one["first_frame"], one["first_frame"] + one["frames"])
        least, most = float(low[one["series"]][own].min()), float(high[one["series"]][own].max())
        shape = [one["frames"], *shapes[one["series"]][1:]]
        rows.append({"file": one["file"], "image": number, "shape": shape, "min": least, "max": most})
    none = {
        "channel": pa.string(),
        "z": pa.int64(),
        "t": pa.int64(),
        "labels": pa.string(),
        "duplicate_of": pa.string(),
    }
    table = pa.table({name: [row[name] for row in rows] for name in ("file", "image", "shape", "min", "max")})
    flat = pa.array([row["min"] == row["max"] for row in rows])
    fixed = {"dtype": "float32", "nan": 0, "saturated": False, "sha256": ""}
    for name, column in (
        *((name, pa.nulls(len(rows), kind)) for name, kind in none.items()),
        *((name, pa.array([value] * len(rows))) for name, value in fixed.items()),
        ("constant", flat),
    ):
        table = table.append_column(name, column)
    return table


def _require_same(target: Path, facts: Facts) -> None:
    """Raise RecipeError if the heat maps at `target` are others than those that are wanted."""
    there = read_manifest(target, image_store.KIND).facts
    wanted = json.loads(json.dumps(facts))
    if other := sorted(name for name in wanted if there.get(name) != wanted[name]):
        raise RecipeError(
            f"other heat maps stand at {target}",
            f"they differ in {', '.join(other)}",
            "Give another --out, or remove them first",
        )
