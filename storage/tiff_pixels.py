"""The pixels of an image of a TIFF file, read strip by strip or tile by tile: only those that meet a box."""

import itertools
import math
import struct
from dataclasses import dataclass
from mmap import mmap
from typing import Any, TypeAlias

import numpy as np
import tifffile
from numpy.typing import NDArray

from storage.image_facts import BadFile, Box, Frames, ImageFacts

_JPEG = frozenset({6, 7, 33007, 34892})
_JPEG_2000 = frozenset({33003, 33004, 33005, 34712})
_PNG = 34933
"""Compressions by which a strip or tile is a file of its own, with a size of its own."""
Page: TypeAlias = tifffile.TiffPage | tifffile.TiffFrame


@dataclass(frozen=True)
class TiffImage:
    """An image as it lies in its file, with the axes `places`, then the five of a page.

    A page is, to tifffile: separate samples, depth, length, width, samples of a pixel.
    keyframe: a page as all are.  pages: all of them, unless the pixels lie in one piece.
    places: how many pages along each axis over pages.  names: what each axis is, of T C Z Y X; "" if it has length 1.
    offset: of the pixels if all lie in one piece as they are, else None.
    """

    facts: ImageFacts
    keyframe: tifffile.TiffPage
    pages: tuple[Page, ...]
    places: tuple[int, ...]
    names: tuple[str, ...]
    offset: int | None

    @property
    def _stored(self) -> np.dtype[Any]:
        """The dtype with the byte order of the file."""
        return self.keyframe.dtype.newbyteorder(self.keyframe.parent.byteorder)

    def read(self, data: mmap, box: Box) -> Frames:
        """The part in `box`, T C Z Y X.

        data: the file, mapped into memory.
        Raises BadFile: a strip or tile does not decode to what the header says.
        """
        named = dict(zip("TCZYX", box, strict=True))
        window = tuple(named[name] if name else slice(0, 1) for name in self.names)
        if self.offset is not None:
            pixels = np.ndarray((*self.places, *self.keyframe.shaped), self._stored, data, self.offset)[window]
        else:
            pixels = np.empty([part.stop - part.start for part in window], self.keyframe.dtype)
            self._fill(data, window, pixels)
        kept = [name for name in self.names if name]
        pixels = pixels.reshape([part.stop - part.start for part, name in zip(window, self.names, strict=True) if name])
        pixels = pixels.transpose([kept.index(name) for name in "TCZYX" if name in kept])
        return np.array(pixels.reshape([part.stop - part.start for part in box]), self.facts.dtype, order="C")

    def _fill(self, data: mmap, window: tuple[slice, ...], pixels: NDArray[Any]) -> None:
        over, inside = window[:-5], window[-5:]
        segments = None if self.keyframe.is_final else _segments(self.keyframe, inside)
        for place in itertools.product(*(range(part.start, part.stop) for part in over)):
            page = self.pages[int(np.ravel_multi_index(place, self.places)) if place else 0]
            target = pixels[tuple(index - part.start for index, part in zip(place, over, strict=True))]
            if segments is None and _in_one_piece(page):
                target[...] = np.ndarray(self.keyframe.shaped, self._stored, data, page.dataoffsets[0])[inside]
                continue
            for segment in segments or _segments(self.keyframe, inside):
                decoded = _decode(data, self.keyframe, page, segment)
                target[segment.target(inside)] = decoded[segment.source(inside)]


@dataclass(frozen=True)
class _Segment:
    """A strip or tile.  start, stop: its place in the page: separate sample, depth, length, width."""

    index: int
    start: tuple[int, ...]
    stop: tuple[int, ...]

    def target(self, window: tuple[slice, ...]) -> tuple[slice, ...]:
        """Where in the window its pixels go."""
        return tuple(
            slice(max(start, part.start) - part.start, min(stop, part.stop) - part.start)
            for start, stop, part in zip(self.start, self.stop, window, strict=False)
        )

    def source(self, window: tuple[slice, ...]) -> tuple[slice | int, ...]:
        """Which of its pixels: depth, length, width, samples of a pixel."""
        inner = [
            slice(max(start, part.start) - start, min(stop, part.stop) - start)
            for start, stop, part in zip(self.start[1:], self.stop[1:], window[1:], strict=False)
        ]
        return (*inner, window[-1])

    def meets(self, window: tuple[slice, ...]) -> bool:
        return all(part.start < part.stop for part in self.target(window))


def _segments(page: tifffile.TiffPage, window: tuple[slice, ...]) -> list[_Segment]:
    """The strips or tiles of a page that meet the window."""
    found = []
    for index in range(math.prod(page.chunked)):
        _, start, shape = page.decode(None, index)
        stop = (start[0] + 1, *(first + size for first, size in zip(start[1:4], shape[:3], strict=True)))
        segment = _Segment(index, start[:4], stop)
        if segment.meets(window):
            found.append(segment)
    return found


def _decode(data: mmap, keyframe: tifffile.TiffPage, page: Page, segment: _Segment) -> NDArray[Any]:
    """Pixels of a strip or tile: depth, length, width, samples of a pixel."""
    offset = page.dataoffsets[segment.index]
    coded = data[offset : offset + page.databytecounts[segment.index]]
    length, width = _declared_size(coded, keyframe.compression)
    pixels = math.prod(stop - start for start, stop in zip(segment.start, segment.stop, strict=True))
    if length * width > 4 * pixels:
        raise BadFile(
            "declares_too_much", f"a strip or tile of {length:,} x {width:,} pixels in the place of {pixels:,}"
        )
    decoded, _, _ = keyframe.decode(coded, segment.index, jpegtables=page.jpegtables, jpegheader=keyframe.jpegheader)
    if decoded.dtype.itemsize > keyframe.dtype.itemsize:
        raise BadFile("undecodable", f"{decoded.dtype} pixels where the header says {keyframe.dtype}")
    return decoded


def _declared_size(coded: bytes, compression: int) -> tuple[int, int]:
    """Length and width by the strip's or tile's own header, which decoders believe; 0, 0 if it has none we know.

    Raises BadFile: it is a JPEG without its end. libjpeg makes up what a JPEG lacks.
    """
    if compression in _JPEG:
        if not coded.rstrip(b"\0").endswith(b"\xff\xd9"):
            raise BadFile("truncated", "a JPEG strip or tile without its end")
        _, length, width, _ = tifffile.tifffile.jpeg_shape(coded)
        return length, width
    if compression in _JPEG_2000:
        start = coded.find(b"\xff\x4f\xff\x51") + 8  # ISO 15444-1, table A.9
        right, bottom, left, top = struct.unpack_from(">4I", coded, start)
        return bottom - top, right - left
    if compression == _PNG:
        width, length = struct.unpack_from(">2I", coded, 16)
        return length, width
    return 0, 0


def _in_one_piece(page: Page) -> bool:
    ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
    return ends[:-1] == list(page.dataoffsets[1:])
