"""Files -> images: which files are the channels, planes and times of one image, and which are its label images."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import numpy as np

from storage.errors import DataError, RecipeError
from storage.images import ImageFacts
from storage.layout import PLACES, Described, Layout, Value
from storage.names import safe_name

AXES = {"t": 0, "channel": 1, "z": 2}
"""What a file can say of its place -> the axis of T C Z Y X."""
Pixels = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class Faulty:
    """A file that is left out, and why.  reason: a code.  found: a sentence."""

    file: str
    reason: str
    found: str


@dataclass(frozen=True)
class Source:
    """One image of a file whose header was read.

    path: of the file.  file: its POSIX path relative to the folder, with "#1" for its second image.
    described: what the layout says of it.
    """

    path: Path
    file: str
    facts: ImageFacts
    described: Described

    @property
    def labels(self) -> str:
        """The name of the label image it is a part of; "" for an image."""
        return str(self.described.get("labels", ""))

    @property
    def metadata(self) -> dict[str, Value]:
        """What is said of its image, not of its place in it."""
        return {key: value for key, value in self.described.items() if key not in PLACES}


@dataclass(frozen=True)
class Piece:
    """A source and where in its image it begins: the index along T C Z Y X."""

    source: Source
    corner: tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Image:
    """Files that make one image.  shape: T C Z Y X.  labels: name of a label image -> its pieces."""

    pieces: tuple[Piece, ...]
    labels: Mapping[str, tuple[Piece, ...]]
    shape: tuple[int, int, int, int, int]
    dtype: str
    channels: tuple[str, ...]
    pixel_um: Pixels
    metadata: Mapping[str, Value]

    @property
    def file(self) -> str:
        """The image's first file stands for it."""
        return self.pieces[0].source.file

    @property
    def sources(self) -> list[Source]:
        """Every file of the image and its label images."""
        return [piece.source for pieces in (self.pieces, *self.labels.values()) for piece in pieces]


class _Misfit(Exception):
    """Files that do not make one image; the reason's code, and what was found."""

    def __init__(self, reason: str, found: str) -> None:
        super().__init__(found)
        self.reason = reason
        self.found = found


def assemble(sources: Iterable[Source], layout: Layout) -> tuple[list[Image], list[Faulty]]:
    """Put the files together, in the order in which an image's first file comes.

    Files that make no whole image are left out together. A label image that does not fit is left out alone.
    Raises RecipeError: a file's channel is not one of the layout's.
    """
    groups: dict[tuple[object, ...], list[Source]] = {}
    order: dict[str, int] = {}
    for one in sources:
        order[one.file] = len(order)
        said = tuple(sorted((key, str(value)) for key, value in one.metadata.items()))
        groups.setdefault((said, one.facts.image), []).append(one)
    together: list[list[Source]] = []
    for members in groups.values():
        placed = any(key in one.described for one in members for key in PLACES)
        together += [members] if placed else [[one] for one in members]
    channels = _channels([one for members in together for one in members if not one.labels], layout)
    images, faulty = [], []
    for members in together:
        try:
            image, misfits = _image(members, channels, layout)
        except _Misfit as error:
            faulty += [Faulty(one.file, error.reason, error.found) for one in members]
        else:
            images.append(image)
            faulty += misfits
    images.sort(key=lambda image: order[image.file])
    return images, faulty


def natural(name: str) -> tuple[list[tuple[int, int | str]], str]:
    """t75 before t100: numbers in names sort as numbers; t075 and t75 by their letters."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts], name


def _channels(sources: Sequence[Source], layout: Layout) -> tuple[str, ...]:
    """The channels every image has whose files say which one they are."""
    said = {str(one.described["channel"]): one.file for one in sources if "channel" in one.described}
    unknown = sorted(set(said) - set(layout.channels)) if layout.channels else []
    if unknown:
        raise RecipeError(
            "a file is of a channel that was not named",
            f"{unknown[0]} ({said[unknown[0]]})",
            f"Name all of {', '.join(sorted(said))}",
        )
    return layout.channels or tuple(sorted(said))


def _image(members: list[Source], channels: tuple[str, ...], layout: Layout) -> tuple[Image, list[Faulty]]:
    found = [one for one in members if not one.labels]
    if not found:
        raise _Misfit("incomplete", "there is no image that this label image lies on")
    pieces, shape = _fit(found, channels)
    first = found[0].facts
    if "channel" in found[0].described:
        names = channels
    else:
        names = layout.channels or first.channels
        if len(names) != shape[1]:
            raise _Misfit("mismatch", f"{shape[1]} channel(s) where {', '.join(layout.channels)} were named")
    z, y, x = (known or given for known, given in zip(first.pixel_um, layout.pixel_um, strict=True))
    labels, faulty = _labels([one for one in members if one.labels], shape)
    return Image(pieces, labels, shape, first.dtype, names, (z, y, x), found[0].metadata), faulty


def _labels(
    sources: list[Source], shape: tuple[int, int, int, int, int]
) -> tuple[dict[str, tuple[Piece, ...]], list[Faulty]]:
    labels: dict[str, tuple[Piece, ...]] = {}
    faulty: list[Faulty] = []
    for name in sorted({one.labels for one in sources}):
        parts = [one for one in sources if one.labels == safe_name(name, "a label image")]
        try:
            pieces, size = _fit(parts, ())
            if size != (shape[0], 1, *shape[2:]):
                raise _Misfit("mismatch", f"it is {_sizes(size)} and its image {_sizes(shape)}")
            if np.dtype(parts[0].facts.dtype).kind not in "iu":
                raise _Misfit("mismatch", f"it is {parts[0].facts.dtype}, and label images are integers")
        except _Misfit as error:
            faulty += [Faulty(one.file, error.reason, error.found) for one in parts]
        else:
            labels[name] = pieces
    return labels, faulty


def _fit(sources: list[Source], channels: tuple[str, ...]) -> tuple[tuple[Piece, ...], tuple[int, int, int, int, int]]:
    """Where each file lies, and the T C Z Y X of all of them.

    Raises _Misfit: they differ in shape or type, or there is not exactly one for every place.
    """
    first = sources[0].facts
    for one in sources:
        if (one.facts.shape, one.facts.dtype) != (first.shape, first.dtype):
            kinds = [f"{source.facts.dtype} {_sizes(source.facts.shape)}" for source in (sources[0], one)]
            raise _Misfit("mismatch", f"{sources[0].file} is {kinds[0]} and {one.file} is {kinds[1]}")
    said = {key for one in sources for key in AXES if key in one.described}
    for key in sorted(said):
        if missing := [one.file for one in sources if key not in one.described]:
            raise _Misfit("mismatch", f"{missing[0]} does not say its {key}, and other files of its image do")
        if first.shape[AXES[key]] != 1:
            raise _Misfit("mismatch", f"the file of one {key} has {first.shape[AXES[key]]} of them")
    values: dict[str, list[Value]] = {key: _values(sources, key, channels) for key in AXES if key in said}
    places: dict[tuple[Value, ...], Source] = {}
    for one in sources:
        place = tuple(_value(one, key) for key in values)
        if place in places:
            raise _Misfit("duplicate_plane", f"{places[place].file} and {one.file} are both {_said(values, place)}")
        places[place] = one
    for place in product(*values.values()):
        if place not in places:
            raise _Misfit("incomplete", f"there is no {_said(values, place)}")
    shape = list(first.shape)
    for key, known in values.items():
        shape[AXES[key]] = len(known)
    pieces = []
    for place in product(*values.values()):
        corner = [0] * 5
        for key, value in zip(values, place, strict=True):
            corner[AXES[key]] = values[key].index(value)
        pieces.append(Piece(places[place], _five(corner)))
    return tuple(pieces), _five(shape)


def _values(sources: list[Source], key: str, channels: tuple[str, ...]) -> list[Value]:
    """What there is along an axis, in order. A gap between evenly spaced planes or times is a missing one."""
    found = {_value(one, key) for one in sources}
    if key == "channel":
        return list(channels) if channels else sorted(found, key=str)
    numbers = sorted(float(value) for value in found)
    steps = {round(after - before, 9) for before, after in pairwise(numbers)}
    if len(steps) > 1:
        listed = ", ".join(f"{number:g}" for number in numbers[:20])
        raise _Misfit("incomplete", f"the {key} of its files are not evenly spaced: {listed}")
    return list(numbers)


def _value(source: Source, key: str) -> Value:
    """A place along an axis: the name of a channel, the number of a plane or time."""
    said = source.described[key]
    if key == "channel":
        return str(said)
    try:
        return float(said)
    except ValueError:
        found = f"{said!r} ({source.file})"
        raise DataError(f"{key} is the number of a plane or time", found, "Give that column another name") from None


def _said(values: Mapping[str, object], place: tuple[Value, ...]) -> str:
    told = [
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in zip(values, place, strict=True)
    ]
    return ", ".join(told) or "the whole image"


def _five(sizes: Sequence[int]) -> tuple[int, int, int, int, int]:
    t, c, z, y, x = sizes
    return (t, c, z, y, x)


def _sizes(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
