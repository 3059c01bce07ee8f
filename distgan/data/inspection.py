"""What is in a store: facts for programs, which `report` prints for people, and a picture.

What manifest and tables hold is told of the whole store. Pixels are looked at in frames from all over it, which take
BUDGET_BYTES together whatever its size: of a frame larger than its part of that, the middle.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure
from numpy.typing import NDArray

from distgan.data.frames import Frame, Place, frames_of_images, frames_of_patches, place_of, spread
from distgan.plots import pictures
from storage import manifest, patches
from storage import store as image_store
from storage.assemble import natural
from storage.errors import DataError
from storage.manifest import Manifest
from storage.patches import PatchStore
from storage.store import ImageStore, Series, open_array

FEW = 24
"""So many arrays are described, and the values of a column that has no more are counted."""
VALUES = 1_000_000
"""Of so many, all over the frames, are percentiles taken and histograms drawn; extremes are those of all."""
UNTOLD = frozenset(("file", "series", "first_frame", "frames", "labels", "pixels", "dhash", "source_row"))
"""Columns that name or place single samples; their values tell a person nothing."""


def inspect_store(path: Path, figure: Path | None) -> dict[str, Any]:
    """The facts of an image store or a patch store, as JSON values; a picture of it goes to `figure`.

    Raises MissingError, DataError: there is no such store, or it is unfinished or damaged.  Raises RecipeError: no
    picture is written with the suffix of `figure`.
    """
    if figure is not None:
        pictures.check_suffix(figure)
    kind = manifest.kind_of(path)
    wells: set[Place] = set()
    if kind == patches.KIND:
        samples = PatchStore.open(path)
        facts, seen, all_frames = _patch_facts(samples), frames_of_patches(samples), samples.shape[0]
    elif kind == image_store.KIND:
        images = ImageStore.open(path)
        facts, seen, wells = _image_facts(images), frames_of_images(images), set(_places(images))
        all_frames = sum(one.shape[0] for one in images.series)
    else:
        raise DataError(f"{path} is no store", f"a {kind}", "Give an image store or a patch store")
    values = _values(seen)
    if figure is not None:
        pictures.save(_picture(path.resolve().name, seen, values, all_frames, wells), figure)
    looked_at = {"frames": len(seen), "of": all_frames, "whole": all(one.is_whole for one in seen)}
    return facts | {"looked_at": looked_at, "statistics": [_statistics(*key, seen, values[key]) for key in values]}


# facts


def _patch_facts(store: PatchStore) -> dict[str, Any]:
    facts = store.manifest.facts
    return {
        "kind": patches.KIND,
        "samples": store.shape[0],
        "shape": list(store.shape),
        "dtype": store.dtype,
        "channels": list(store.channels),
        "labels": list(store.labels),
        "pixel_um": list(store.pixel_um),
        "value_range": list(store.value_range),
        "bytes": sum(size for size, _ in store.manifest.objects.values()),
        "arrays": _arrays(store.path, store.manifest, ["images", *(f"labels/{name}" for name in store.labels)]),
        "columns": _columns(store.obs),
        "recipe": facts["recipe"],
        "source": facts["source"],
        "digest": store.digest,
    }


def _image_facts(store: ImageStore) -> dict[str, Any]:
    names = [f"{one.name}/{part}" for one in store.series for part in ("0", *(f"labels/{n}/0" for n in one.labels))]
    places = _places(store)
    files = store.files
    return {
        "kind": image_store.KIND,
        "files": files.num_rows,
        "images": store.images.num_rows,
        "bytes": sum(size for size, _ in store.manifest.objects.values()),
        "kinds": _kinds(store.series),
        "plates": [
            {"plate": plate, "wells": len({one for one in places if one[0] == plate}), "fields": fields}
            for plate, fields in Counter(plate for plate, _, _ in places).items()
        ],
        "array_count": len(names),
        "arrays": _arrays(store.path, store.manifest, names[:FEW]),
        "columns": _columns(store.images),
        "files_with": {
            "values that are not finite": _count(pc.greater(files["nan"], 0)),
            "one value only": _count(files["constant"]),
            "more than 1 % of values at the top": _count(files["saturated"]),
            "the pixels of an earlier file": files.num_rows - files["duplicate_of"].null_count,
        },
        "source": store.manifest.facts["source"],
        "digest": store.manifest.digest,
    }


def _places(store: ImageStore) -> list[Place]:
    """Of every field of a screen its well."""
    return [place for one in store.series if (place := place_of(one.name))]


def _kinds(series: Iterable[Series]) -> list[dict[str, Any]]:
    """Arrays that differ in nothing but their length are of one kind; those of most frames first."""
    kinds: dict[Any, dict[str, Any]] = {}
    for one in series:
        key = one.frame_shape, one.dtype, one.channels, one.pixel_um, one.labels
        row = kinds.setdefault(key, {"arrays": 0, "frames": 0})
        row["arrays"] += 1
        row["frames"] += one.shape[0]
        row |= {"shape_czyx": list(one.frame_shape), "dtype": one.dtype, "channels": list(one.channels)}
        row |= {"pixel_um": list(one.pixel_um), "labels": list(one.labels)}
    return sorted(kinds.values(), key=lambda row: -row["frames"])


def _arrays(path: Path, content: Manifest, names: Sequence[str]) -> list[dict[str, Any]]:
    """Of each array its shape, its chunks, and what it takes on the disk."""
    sizes: dict[str, list[int]] = {name: [] for name in names}
    for key, (size, _) in content.objects.items():
        name, _, _ = key.rpartition("/c/")  # of a chunk or a shard
        if name in sizes:
            sizes[name].append(size)
    opened = {name: open_array(path / name) for name in names}
    return [
        {
            "array": name,
            "shape": list(array.shape),
            "dtype": array.dtype.name,
            "chunks": list(array.chunks),
            "objects": len(sizes[name]),
            "bytes": sum(sizes[name]),
            "ratio": round(array.nbytes / max(sum(sizes[name]), 1), 2),
        }
        for name, array in opened.items()
    ]


def _columns(table: pa.Table) -> list[dict[str, Any]]:
    """Of each column of metadata: how many values, and how often each if they are few; of numbers the range."""
    found = []
    for name in table.column_names:
        if name in UNTOLD:
            continue
        counts = {one["values"]: one["counts"] for one in pc.value_counts(table[name]).to_pylist()}
        missing = sum(counts.pop(value) for value in list(counts) if value is None or value != value)
        values = sorted(counts, key=lambda value: natural(value) if isinstance(value, str) else value)
        is_number = bool(values) and isinstance(values[0], int | float)
        groups = len(values) <= FEW and len(values) < sum(counts.values())
        found.append(
            {
                "column": name,
                "distinct": len(values),
                "missing": missing,
                "range": [_number(values[0]), _number(values[-1])] if is_number and not groups else [],
                "counts": {str(value): counts[value] for value in values} if groups else {},
            }
        )
    return found


def _count(flags: pa.ChunkedArray) -> int:
    return int(pc.sum(flags).as_py() or 0)


# pixels


def _values(seen: Iterable[Frame]) -> dict[tuple[str, str], Any]:
    """Of each channel and dtype about VALUES finite values."""
    parts = defaultdict(list)
    for one in seen:
        for name, image in zip(one.channels, one.image, strict=True):
            parts[name, image.dtype.name].append(image.reshape(-1))
    found = {}
    for key, images in parts.items():
        step = max(1, sum(image.size for image in images) // VALUES) | 1  # odd, lest it falls into step with columns
        found[key] = pictures.finite(np.concatenate([image[::step] for image in images]))
    return found


def _statistics(channel: str, dtype: str, seen: Iterable[Frame], values: Any) -> dict[str, Any]:
    """Extremes, percentiles, mean, and the share of values at the largest."""
    images = [
        pictures.finite(one.image[one.channels.index(channel)])
        for one in seen
        if channel in one.channels and one.image.dtype == dtype
    ]
    told: dict[str, Any] = {"channel": channel, "dtype": dtype, "frames": len(images)}
    if not values.size:
        return told | dict.fromkeys(("min", "p1", "median", "mean", "p99", "max", "at_max"))
    low, high = min(one.min() for one in images if one.size), max(one.max() for one in images if one.size)
    p1, median, p99 = np.percentile(values, (1, 50, 99), method="inverted_cdf")  # values that occur
    with np.errstate(over="ignore"):
        mean = values.mean(dtype=np.float64)
    numbers = {"min": low, "p1": p1, "median": median, "mean": mean, "p99": p99, "max": high}
    at_max = {"at_max": sum((one == high).sum() for one in images) / sum(one.size for one in images)}
    return told | {name: _number(value) for name, value in (numbers | at_max).items()}


def _number(value: Any) -> int | float | None:
    if isinstance(value, int | np.integer):
        return int(value)
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _picture(
    title: str, seen: Sequence[Frame], values: Mapping[tuple[str, str], Any], all_frames: int, wells: set[Place]
) -> Figure:
    """Wells at their places on the plate; frames of one kind as a sheet; of many kinds each with its name."""
    how = "" if all(one.is_whole for one in seen) else ", the middle of each"
    how += ", maximum along z" if any(one.image.shape[1] > 1 for one in seen) else ""
    told = f"{title}: {{}} of {all_frames:,} frames{how}"
    first = seen[0]
    if len({(one.image.shape, one.image.dtype, one.channels, tuple(one.labels)) for one in seen}) > 1:
        captions = (f"{one.name}\n{one.image.dtype} {' x '.join(map(str, one.whole))}" for one in seen)
        images = [(caption, _flat(one), one.channels) for caption, one in zip(captions, seen, strict=True)]
        return pictures.gallery(images, told.format(len(seen)))
    if all(one.place for one in seen):
        shown = {one.place: _flat(one) for one in seen if one.place}
        there = {well for well in wells if well[0] in {plate for plate, _, _ in shown}}
        told = f"{title}: {len(shown):,} of {len(wells):,} wells{how}"
        return pictures.plates(shown, there, first.channels, told)
    lines = 1 if len(first.channels) > 1 or first.labels else pictures.LINES
    chosen = [seen[row] for row in spread(len(seen), lines * pictures.COLUMNS)]
    return pictures.sheet(
        np.stack([_flat(one) for one in chosen]),
        first.channels,
        {name: np.stack([one.labels[name].max(axis=0) for one in chosen]) for name in first.labels},
        {channel: found for (channel, _), found in values.items()},
        told.format(len(chosen)),
        [one.name for one in chosen],
        first.pixel_um,
    )


def _flat(one: Frame) -> NDArray[Any]:
    """C Y X: the maximum along Z."""
    return one.image.max(axis=1)
