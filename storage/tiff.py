"""TIFF files of every kind that tifffile and imagecodecs decode, read strip by strip or tile by tile.

tifffile fills what it does not find with zeros, or leaves it out, and only logs that. So here every page is looked up
before any is decoded, what OME-XML, ImageJ and tifffile's own metadata promise is compared with what is there, and
every error in the log counts.
"""

import functools
import logging
import math
import mmap
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import tifffile

from storage.image_facts import BadFile, Box, Frames, ImageFacts, Limits, channel_names, sample_names
from storage.tiff_header import Described, count_pages, describe_imagej, describe_ome
from storage.tiff_pixels import Page, TiffImage

_MEANING = {"S": "C", "I": "Z", "Q": "Z"}
"""Samples of a pixel are channels; pages that nobody named are planes."""


def survey(path: Path, limits: Limits) -> tuple[ImageFacts, ...]:
    """The images of the file, from its directories.

    Raises BadFile.
    """
    return tuple(image.facts for image in _images(path, limits))


def read(path: Path, facts: ImageFacts, box: Box, limits: Limits) -> Frames:
    """The pixels in `box`, T C Z Y X.

    Raises BadFile.
    """
    images = _images(path, limits)
    if facts.image >= len(images) or images[facts.image].facts != facts:
        raise BadFile("changed", "other images than before")
    with _Log(), path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return images[facts.image].read(data, box)


def _images(path: Path, limits: Limits) -> tuple[TiffImage, ...]:
    status = path.stat()
    return _open(path, status.st_size, status.st_mtime_ns, limits)


@functools.lru_cache(maxsize=4)
def _open(path: Path, size: int, changed_ns: int, limits: Limits) -> tuple[TiffImage, ...]:
    """The images of a file of that size and time. Cached, for a stack is surveyed once and read plane by plane."""
    pages = count_pages(path, limits)
    with _Log(), _Tiff(path, limits) as file:
        described = _described(file, pages, limits)
        series = file.series
        if not series:
            raise BadFile("empty", f"{pages} page(s) without pixels")
        if described and len(described) != len(series):
            raise BadFile("truncated", f"{len(series)} image(s) where the metadata describe {len(described)}")
        declared = sum(math.prod(one.shape) * one.dtype.itemsize for one in series)
        limits.check(declared, size)
        told = described or (Described(0),) * len(series)
        kept = [one for one in zip(series, told, strict=True) if not one[0].keyframe.is_reduced]
        images = [_image(one, text, size) for one, text in kept or zip(series, told, strict=True)]
        return tuple(replace(one, facts=replace(one.facts, image=i)) for i, one in enumerate(images))


class _Tiff(tifffile.TiffFile):  # type: ignore[misc]  # tifffile is not type checked
    """A TIFF file whose metadata, if any, hold; a Micro-Manager or NDTiff file is read without its siblings."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.limits = limits
        super().__init__(path, is_mmstack=False, is_ndtiff=False)

    def _series_generic(self) -> Any:
        """Pages of several kinds. tifffile comes here, too, when the metadata do not agree with the pages."""
        for kind in ("ome", "imagej", "shaped"):
            if getattr(self, f"is_{kind}"):
                raise BadFile("truncated", f"pages other than its metadata ({kind}) describe")
        if len(self.pages) > self.limits.mixed_pages:
            raise BadFile("declares_too_much", f"{len(self.pages):,} pages of several kinds")
        return super()._series_generic()


def _described(file: tifffile.TiffFile, pages: int, limits: Limits) -> tuple[Described, ...]:
    """What the metadata say of each image; () if there are none."""
    if file.is_ome:
        return describe_ome(file.pages[0].description, pages, limits)
    return (describe_imagej(file),) if file.is_imagej else ()


def _image(series: tifffile.TiffPageSeries, told: Described, size: int) -> TiffImage:
    """Check that the pixels of a series are all there, and say where.

    size: of the file in bytes.
    """
    page = series.keyframe
    if page.dtype is None or page.dtype.kind not in "buif" or series.transform is not None:
        raise BadFile("unsupported", f"pixels of {page.bitspersample} bits and sample format {page.sampleformat}")
    if page.compression == 1 and page.predictor != 1:
        raise BadFile("unsupported", "differences of pixels that are not compressed, which readers take differently")
    voxels = math.prod(series.shape)
    if not voxels:
        raise BadFile("empty", f"an image of shape {series.shape}")
    _check_described(series, told)
    places, names = _axes(series)
    offset = series.dataoffset if page.is_final else None
    pages = () if offset is not None else tuple(series)
    for one in pages or (page,):
        _check_page(one, page, size)
    if offset is not None and offset + voxels * series.dtype.itemsize > size:
        raise BadFile("truncated", f"{size:,} bytes for {voxels:,} values of {series.dtype}")
    if not page.is_final:
        _check_decoder(page)
    sizes = dict(zip(names, (*places, *page.shaped), strict=True))
    t, c, z, y, x = (sizes.get(axis, 1) for axis in "TCZYX")
    channels = sample_names(c) if "S" in series.axes else channel_names(c)
    if len(set(told.channels)) == c and all(told.channels):
        channels = told.channels
    dtype = series.dtype.name
    facts = ImageFacts(
        (t, c, z, y, x), series.shape, "uint8" if dtype == "bool" else dtype, dtype, channels, told.pixel_um
    )
    return TiffImage(facts, page, pages, places, names, offset)


def _check_described(series: tifffile.TiffPageSeries, told: Described) -> None:
    """Raise BadFile: the metadata describe more, or other, values than the pages have."""
    voxels, described = math.prod(series.shape), told.voxels
    if series.kind == "shaped":
        text = series.keyframe.shaped_description
        described = math.prod(tifffile.tifffile.shaped_description_metadata(text)["shape"])
    if described > voxels or (described < voxels and series.kind in ("ome", "shaped")):
        raise BadFile("truncated", f"{voxels:,} values where the metadata describe {described:,}")


def _check_decoder(page: tifffile.TiffPage) -> None:
    """Raise BadFile: nothing decodes such strips or tiles. tifffile makes the decoder while the file is open."""
    try:
        page.decode(None, 0)
    except (ValueError, NotImplementedError) as error:
        raise BadFile("unsupported", str(error)) from None


def _axes(series: tifffile.TiffPageSeries) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The sizes of the axes over pages, and the names of these and of the five of a page."""
    axes, shape, page = series.get_axes(False), series.get_shape(False), series.keyframe.shaped
    long = [(_MEANING.get(axis, axis), size) for axis, size in zip(axes, shape, strict=True) if size > 1]
    inside = sum(size > 1 for size in page)
    over, within = long[: len(long) - inside], iter(long[len(long) - inside :])
    names = [name for name, _ in over] + [next(within)[0] if size > 1 else "" for size in page]
    found = [name for name in names if name]
    sizes = [size for _, size in over]
    if (
        not set(found) <= set("TCZYX")
        or len(set(found)) != len(found)
        or [size for _, size in long[len(sizes) :]] != [size for size in page if size > 1]
        or math.prod(sizes) != len(series)
    ):
        raise BadFile("unsupported", f"axes {series.axes} of shape {series.shape}")
    if page[0] > 4:
        raise BadFile(
            "unsupported", f"axes {series.axes} of shape {series.shape}: planes saved as samples of one pixel"
        )
    return tuple(sizes), tuple(names)


def _check_page(page: Page | None, keyframe: tifffile.TiffPage, size: int) -> None:
    """Raise BadFile: a page, strip or tile is missing, or lies outside a file of `size` bytes."""
    if page is None:
        raise BadFile("truncated", "a page is missing")
    offsets, counts = page.dataoffsets, page.databytecounts
    if not len(offsets) == len(counts) == math.prod(keyframe.chunked):
        raise BadFile("truncated", f"page {page.index} has {len(offsets)} of {math.prod(keyframe.chunked)} pieces")
    if min(counts) <= 0 or min(offsets) < 8:
        raise BadFile("truncated", f"page {page.index} has a piece of no bytes")
    if max(map(sum, zip(offsets, counts, strict=True))) > size:
        raise BadFile("truncated", f"page {page.index} ends after the {size:,} bytes of the file")
    if keyframe.is_final and sum(counts) < keyframe.nbytes:
        raise BadFile("truncated", f"page {page.index} stores {sum(counts):,} of {keyframe.nbytes:,} bytes")


# tifffile's log


class _Log(logging.Filter):
    """While entered, keeps what tifffile logs in this thread; an error there is an error here."""

    _local = threading.local()

    def __enter__(self) -> None:
        self._local.errors = []

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        errors, self._local.errors = self._local.errors, None
        if errors and kind is None:
            raise BadFile("truncated", errors[0])

    def filter(self, record: logging.LogRecord) -> bool:
        errors = getattr(self._local, "errors", None)
        if errors is not None and record.levelno >= logging.ERROR:
            errors.append(record.getMessage())
        return errors is None


logging.getLogger("tifffile").addFilter(_Log())
