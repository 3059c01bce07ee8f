"""Where the samples of a patch store come from: one row of a table per sample, made before anything is written."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.errors import DataError, MissingError, RecipeError

Kind = Literal["one_random", "random", "tiled", "boxes", "objects", "whole"]
Integers = NDArray[np.int64]
OURS = frozenset(("frame", "z", "pixels", "dhash"))
"""Columns that every patch store has; those of a box are called box_x and so on."""
_EDGES = ("x", "y", "width", "height")


@dataclass(frozen=True)
class Cut:
    """How patches are cut out of a frame.

    kind: `random`: `count` of them anywhere in each plane, or in each volume if `dimensions` is 3;
    `one_random`: one; `tiled`: all that tile it; `boxes`: `count` random ones inside each box of a table;
    `objects`: one around each object of a label image; `whole`: the plane or volume itself.
    size: edges in pixels, H W or D H W.  boxes: CSV file with x, y, width, height in pixels, columns that the
    images have as well (they say to which a box belongs), and columns of its own; in two dimensions z and frame may
    say in which plane and time point of the image it is, else it is in all.  objects: name of the label image.
    matched: label images whose objects have the same numbers.  border: keep objects that touch it.
    """

    kind: Kind
    size: tuple[int, ...]
    dimensions: Literal[2, 3] = 2
    count: int = 1
    boxes: str = ""
    objects: str = ""
    matched: tuple[str, ...] = ()
    border: bool = False


@dataclass(frozen=True)
class Places:
    """Arrays of one entry per sample.

    image: row of the store's images table.  series: index of the array that holds it.  frame: index along T
    of that array.  z, y, x: the corner; it may lie outside, where zeros are.  thing: row of `things`, which
    describes the box or object a sample was cut around.
    """

    image: Integers
    series: Integers
    frame: Integers
    z: Integers
    y: Integers
    x: Integers
    thing: Integers
    things: Sequence[Mapping[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.frame)

    def rows(self, chosen: Integers | slice) -> "Places":
        """Some of the samples, with their own things alone."""
        columns = {name: column[chosen] for name, column in vars(self).items() if name != "things"}
        if not self.things:
            return replace(self, **columns)
        used, thing = np.unique(columns["thing"], return_inverse=True)
        return replace(self, **columns | {"thing": thing}, things=[self.things[one] for one in used.tolist()])


@dataclass(frozen=True)
class Frames:
    """The frames patches are cut from: arrays of one entry each, and their common size after the operations.

    size: Z Y X.  slices: first and last plane that is wanted.  time: index along T of the image itself; None if that
    is `frame`.
    """

    image: Integers
    series: Integers
    frame: Integers
    size: tuple[int, int, int]
    slices: tuple[int, int]
    time: Integers | None = None


def places(frames: Frames, cut: Cut, images: pa.Table, found: Sequence[Mapping[str, Any]], seed: int) -> Places:
    """Every sample, in the order of the frames.

    found: of each frame the objects in it (`storage.operations.segmentation.objects`), for cut `objects`.
    Raises RecipeError: the patches are larger than the frames, or nothing is left.
    """
    if cut.kind != "objects":
        _require_room(frames, cut)
    chosen = {"objects": _objects, "boxes": _boxes}.get(cut.kind, _planes)(frames, cut, images, found, seed)
    if not len(chosen):
        raise RecipeError("there is nothing to cut", f"{len(frames.frame)} frames and cut {cut.kind}", "Change the cut")
    return chosen


def resolved(cut: Cut, frames: Frames) -> Cut:
    """With the size that `whole` has in these frames."""
    if cut.kind != "whole":
        return cut
    first, last = frames.slices
    return replace(cut, size=(last - first + 1, *frames.size[1:])[-cut.dimensions :])


def _require_room(frames: Frames, cut: Cut) -> None:
    first, last = frames.slices
    room = (last - first + 1, *frames.size[1:])[-len(cut.size) :]
    if any(wanted > there for wanted, there in zip(cut.size, room, strict=True)):
        raise RecipeError(
            "the patch is larger than the images",
            f"{' x '.join(map(str, cut.size))} pixels, and the images are {' x '.join(map(str, room))}",
            f"Set prepare.patch.size to {list(room)} or less",
        )


def _planes(frames: Frames, cut: Cut, images: pa.Table, found: Sequence[Mapping[str, Any]], seed: int) -> Places:
    """One sample per plane, or as many as asked for."""
    planes = _starts(frames, cut)
    height, width = frames.size[1:]
    h, w = cut.size[-2:]
    tiles = (height // h) * (width // w) if cut.kind == "tiled" else 1
    each = cut.count if cut.kind == "random" else tiles
    index, z, k = (a.ravel() for a in np.meshgrid(np.arange(len(frames.frame)), planes, np.arange(each), indexing="ij"))
    if cut.kind in ("tiled", "whole"):
        y, x = (k // (width // w)) * h, (k % (width // w)) * w
    else:
        random = np.random.Generator(np.random.Philox(key=[seed, 0]))
        y = random.integers(0, height - h + 1, len(index))
        x = random.integers(0, width - w + 1, len(index))
        z = _depths(random, frames, cut, z)
    return _at(frames, index, z, y, x)


def _starts(frames: Frames, cut: Cut) -> Integers:
    """First planes of the samples, one set for all frames."""
    first, last = frames.slices
    if cut.dimensions == 2:
        return np.arange(first, last + 1)
    depth = cut.size[0] if cut.kind == "tiled" else last - first + 1
    return np.arange(first, last - depth + 2, depth)


def _depths(random: np.random.Generator, frames: Frames, cut: Cut, planes: Integers) -> Integers:
    """Where random samples begin along Z: volumes anywhere in the slices, planes where they are."""
    first, last = frames.slices
    return planes if cut.dimensions == 2 else random.integers(first, last - cut.size[0] + 2, len(planes))


def _boxes(frames: Frames, cut: Cut, images: pa.Table, found: Sequence[Mapping[str, Any]], seed: int) -> Places:
    """Random corners inside the boxes of each image; where a box is smaller than the patch, around its middle."""
    rows = read_boxes(Path(cut.boxes))
    shared = [name for name in rows[0] if name in images.column_names and name not in _EDGES]
    if not shared:
        raise RecipeError(
            f"{cut.boxes} does not say to which images its boxes belong",
            f"its columns are {', '.join(rows[0])}; the images have {', '.join(images.column_names)}",
            "Give it a column of the images' metadata",
        )
    placed = [name for name in ("frame", "z") if cut.dimensions == 2 and name in rows[0] and name not in shared]
    if taken := OURS & set(rows[0]) - set(shared) - set(placed):
        raise RecipeError(f"{cut.boxes} has columns with reserved names", ", ".join(sorted(taken)), "Rename them")
    of_image: dict[tuple[str, ...], list[int]] = {}
    for number, row in enumerate(rows):
        of_image.setdefault(tuple(str(row[name]) for name in shared), []).append(number)
    keys = list(zip(*([str(value) for value in images.column(name).to_pylist()] for name in shared), strict=True))
    planes = _starts(frames, cut)
    times = (frames.frame if frames.time is None else frames.time).tolist()
    index, z, thing = [], [], []
    for number, image in enumerate(frames.image.tolist()):
        for box in of_image.get(keys[image], ()):
            if "frame" in placed and rows[box]["frame"] != times[number]:
                continue
            here = planes[planes == rows[box]["z"]] if "z" in placed else planes
            wanted = len(here) * cut.count
            index += [number] * wanted
            thing += [box] * wanted
            z += np.repeat(here, cut.count).tolist()
    own = [{name: value for name, value in row.items() if name not in (*shared, *placed)} for row in rows]
    edge = {name: np.asarray([row[name] for row in rows], np.int64)[thing] for name in _EDGES}
    random = np.random.Generator(np.random.Philox(key=[seed, 0]))
    h, w = cut.size[-2:]
    y = _inside(random, edge["y"], edge["height"], h, frames.size[1])
    x = _inside(random, edge["x"], edge["width"], w, frames.size[2])
    things = [{f"box_{k}" if k in _EDGES else k: v for k, v in row.items()} for row in own]
    depth = _depths(random, frames, cut, np.asarray(z, np.int64))
    return replace(_at(frames, np.asarray(index, np.int64), depth, y, x, thing), things=things)


def _inside(random: np.random.Generator, first: Integers, extent: Integers, size: int, room: int) -> Integers:
    drawn = first + np.floor(random.random(len(first)) * (np.maximum(extent - size, 0) + 1)).astype(np.int64)
    centred = first + (extent - size) // 2
    return np.clip(np.where(extent >= size, drawn, centred), 0, room - size)


def read_boxes(path: Path) -> list[dict[str, Any]]:
    """The rows of a table of boxes: a CSV file, or the workbook that comes with the rosettes.

    Raises MissingError, DataError: there is no such file, or it lacks a column or has no number in it.
    """
    if not path.is_file():
        raise MissingError(f"there is no table of boxes at {path}", "no such file", "Check prepare.patch.boxes")
    if path.suffix == ".xlsx":
        from storage.datasets.rosettes import boxes

        return list(boxes(path).to_pylist())
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
        found = [row | {name: int(row[name]) for name in (*_EDGES, *({"frame", "z"} & row.keys()))} for row in rows]
        if not found or any(None in row or None in row.values() for row in rows):
            raise ValueError("no rows" if not found else "rows of another length than the header")
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        told = f"no column {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"{path} is no table of boxes", told, "Give it columns x, y, width and height, in whole pixels"
        ) from None
    return found


def _objects(frames: Frames, cut: Cut, images: pa.Table, found: Sequence[Mapping[str, Any]], seed: int) -> Places:
    """The middle of the patch is the middle of the object's bounding box."""
    first, last = frames.slices
    index, z, y, x, things = [], [], [], [], []
    for number, objects in enumerate(found):
        for one in range(len(objects["label"])):
            here = {name: np.asarray(column)[one].item() for name, column in objects.items()}
            if here["touches_border"] and not cut.border:
                continue
            middle = [(here[f"{axis}0"] + here[f"{axis}1"]) // 2 for axis in "zyx"]
            if not first <= middle[0] <= last:
                continue
            index.append(number)
            z.append(middle[0] - cut.size[0] // 2 if cut.dimensions == 3 else middle[0])
            y.append(middle[1] - cut.size[-2] // 2)
            x.append(middle[2] - cut.size[-1] // 2)
            things.append({"object": here["label"], "voxels": here["voxels"]})
    numbers, *corner = (np.asarray(values, np.int64) for values in (index, z, y, x))
    return replace(_at(frames, numbers, corner[0], corner[1], corner[2], range(len(things))), things=things)


def _at(
    frames: Frames,
    index: Integers,
    z: Integers,
    y: Integers,
    x: Integers,
    thing: Integers | Sequence[int] | None = None,
) -> Places:
    none = np.full(len(index), -1)
    things = none if thing is None else np.asarray(thing, np.int64)
    return Places(frames.image[index], frames.series[index], frames.frame[index], z, y, x, things)


def shuffled(plan: Places, shard: int, frames_per_read: int, seed: int) -> Places:
    """Deal what is read together to the shards at random, then permute the rows inside each shard."""
    random = np.random.Generator(np.random.Philox(key=[seed, 1]))
    _, read = np.unique(np.stack([plan.series, plan.frame // frames_per_read]), axis=1, return_inverse=True)
    rank = random.permutation(int(read.max()) + 1)
    order = np.argsort(rank[read], kind="stable")
    for start in range(0, len(order), shard):
        random.shuffle(order[start : start + shard])
    return plan.rows(order)
