"""Images -> arrays: images of one kind share an array along T; those of a screen stand in plate, well and field."""

import hashlib
import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, count, product

import numpy as np

from storage.assemble import Image, Piece, Source, natural
from storage.errors import DataError
from storage.layout import Value
from storage.store import Series, array_name, frame_layout, series_facts

Corner = tuple[int, ...]
"""Indices along T C Z Y X."""


@dataclass(frozen=True)
class Part:
    """A source that meets a shard, and where in the array it begins."""

    source: Source
    corner: Corner


@dataclass(frozen=True)
class Shard:
    """One task: one shard of one array, and the files it is made of.

    array: its path in the store.  corner, size: along T C Z Y X.  version: of all that lies in the array.
    """

    array: str
    corner: Corner
    size: tuple[int, ...]
    dtype: str
    parts: tuple[Part, ...]
    version: str

    @property
    def name(self) -> str:
        """Names the task: an array that other files lie in has other tasks."""
        return f"{self.array} {','.join(map(str, self.corner))} {self.version}"


@dataclass(frozen=True)
class Arranged:
    """An array and the images that lie in it along T.  firsts: the first frame of each, and the number of all.

    label_dtypes: name of a label image -> its dtype.
    """

    series: Series
    images: tuple[Image, ...]
    firsts: tuple[int, ...]
    label_dtypes: Mapping[str, str]

    @property
    def arrays(self) -> dict[str, tuple[tuple[int, ...], str, str]]:
        """Path in the store -> shape, dtype and name of the label image, "" for the images themselves."""
        t, _, *space = self.series.shape
        found = {array_name(self.series.name): (tuple(self.series.shape), self.series.dtype, "")}
        for name, dtype in self.label_dtypes.items():
            found[array_name(self.series.name, name)] = ((t, 1, *space), dtype, name)
        return found

    def shards(self) -> Iterator[Shard]:
        """Every shard of every array."""
        version = self._version()
        for array, (shape, dtype, labels) in self.arrays.items():
            _, shard = frame_layout(shape, dtype)
            starts = [range(0, size, step) for size, step in zip(shape, shard, strict=True)]
            for corner in product(*starts):
                size = tuple(min(step, end - low) for low, step, end in zip(corner, shard, shape, strict=True))
                yield Shard(array, corner, size, dtype, tuple(self._parts(labels, corner, size)), version)

    def _parts(self, labels: str, corner: Corner, size: tuple[int, ...]) -> Iterator[Part]:
        first, last = bisect_right(self.firsts, corner[0]) - 1, bisect_left(self.firsts, corner[0] + size[0])
        for image, frame in zip(self.images[first:last], self.firsts[first:last], strict=True):
            pieces: Sequence[Piece] = image.labels.get(labels, ()) if labels else image.pieces
            for piece in pieces:
                begin = (piece.corner[0] + frame, *piece.corner[1:])
                if all(
                    low < start + length and start < low + extent
                    for low, extent, start, length in zip(begin, piece.source.facts.shape, corner, size, strict=True)
                ):
                    yield Part(piece.source, begin)

    def _version(self) -> str:
        files = [[source.file, source.labels] for image in self.images for source in image.sources]
        return hashlib.sha256(json.dumps([series_facts(self.series), files]).encode()).hexdigest()[:16]


def arrange(images: Sequence[Image]) -> list[Arranged]:
    """Give every image a place in an array, in the order in which its kind comes first."""
    places = _places_in_screens(images)
    kinds: dict[object, list[Image]] = {}
    for index, image in enumerate(images):
        kind = places.get(index) or (image.shape[1:], image.dtype, image.channels, image.pixel_um)
        kinds.setdefault(kind, []).append(image)
    numbers = count()
    return [
        _arranged(kind if isinstance(kind, str) else str(next(numbers)), members) for kind, members in kinds.items()
    ]


def _arranged(name: str, members: list[Image]) -> Arranged:
    first = members[0]
    dtypes = {label: _common_dtype(label, members) for label in sorted({key for one in members for key in one.labels})}
    firsts = tuple(accumulate((one.shape[0] for one in members), initial=0))
    shape = (firsts[-1], *first.shape[1:])
    series = Series(name, shape, first.dtype, first.channels, first.pixel_um, tuple(dtypes))
    return Arranged(series, tuple(members), firsts, dtypes)


def _common_dtype(label: str, members: list[Image]) -> str:
    """The integers that hold the values of a label image in every file."""
    found = {one.labels[label][0].source.facts.dtype for one in members if label in one.labels}
    common = np.result_type(*(np.dtype(name) for name in found))
    if common.kind not in "iu":
        raise DataError(f"no integer holds the label images {label}", ", ".join(sorted(found)), "Save them as one type")
    return common.name


# screens

_WELL = re.compile(r"(?:well)?[-_ ]?([A-Z]{1,2})[-_ ]?0*([1-9][0-9]{0,2})", re.IGNORECASE)
_COLUMN = re.compile(r"0*([1-9][0-9]{0,2})")


def _places_in_screens(images: Sequence[Image]) -> dict[int, str]:
    """Index of an image -> PLATE/ROW/COLUMN/FIELD, for those whose metadata name a plate and a well."""
    wells: dict[tuple[str, str, str], list[int]] = {}
    for index, image in enumerate(images):
        well = _well(image.metadata)
        if "plate" in image.metadata and well:
            wells.setdefault((str(image.metadata["plate"]), *well), []).append(index)
    names: dict[str, str] = {}
    taken = {"OME", *map(str, range(len(images)))}
    for plate in sorted({plate for plate, *_ in wells}):
        names[plate] = _unused(plate, taken)
        taken.add(names[plate])
    places: dict[int, str] = {}
    for (plate, row, column), members in wells.items():
        members.sort(key=lambda index: (natural(_field(images[index].metadata)), natural(images[index].file)))
        places |= {index: f"{names[plate]}/{row}/{column}/{field}" for field, index in enumerate(members)}
    return places


def _well(metadata: Mapping[str, Value]) -> tuple[str, str] | None:
    """Row and column, like ("B", "02"): of a well B2, B02 or Well-B002, or of a row B or 2 and a column 2 or 02."""
    if "well" in metadata:
        match = _WELL.fullmatch(str(metadata["well"]))
        return (match[1].upper(), match[2].zfill(2)) if match else None
    row, column = str(metadata.get("row", "")), _COLUMN.fullmatch(str(metadata.get("column", "")))
    if _COLUMN.fullmatch(row) and int(row) <= 26:
        row = chr(ord("A") + int(row) - 1)
    known = column is not None and re.fullmatch("[A-Za-z]{1,2}", row) is not None
    return (row.upper(), column[1].zfill(2)) if known and column else None


def _field(metadata: Mapping[str, Value]) -> str:
    return str(metadata.get("field", metadata.get("site", 0)))


def _unused(plate: str, taken: set[str]) -> str:
    """The plate's name as a folder's; two plates never share one."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", plate)[:56].strip(".-_") or "plate"
    while name in taken:
        name = f"plate-{name}"
    return name
