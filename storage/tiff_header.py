"""The header of a TIFF file, read before and beside tifffile: how many pages there are, and what OME-XML and ImageJ
say of them. It keeps tifffile from what never ends, and catches what it passes over.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import tifffile

from storage.image_facts import BadFile, Limits

PixelUm = tuple[float | None, float | None, float | None]
_UM = {"µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "\\u00B5m": 1.0, "nm": 1e-3, "mm": 1e3}
"""Micrometres in a unit; the two first are the micro sign and the letter mu."""
_SUBIFDS = 330


def count_pages(path: Path, limits: Limits) -> int:
    """Pages in the chain of image file directories (TIFF 6.0, section 2), thumbnails too, SubIFDs not.

    Raises BadFile: the chain is broken, a ring, or too long.
    """
    with path.open("rb") as stream:
        order, big = _kind(stream.read(4))
        count_format, entry_size, offset_format = ("Q", 20, "Q") if big else ("H", 12, "I")
        count_format, offset_format = order + count_format, order + offset_format
        offset_size = struct.calcsize(offset_format)
        stream.seek(8 if big else 4)
        seen: set[int] = set()
        subpages = 0
        found = stream.read(offset_size)
        while len(found) == offset_size and (offset := struct.unpack(offset_format, found)[0]):
            if offset in seen:
                raise BadFile("undecodable", f"the chain of its pages comes back to page {len(seen)}")
            seen.add(offset)
            stream.seek(offset)
            found = stream.read(struct.calcsize(count_format))
            entries = struct.unpack(count_format, found)[0] if len(found) == struct.calcsize(count_format) else 0
            if not 0 < entries <= 4096:
                raise BadFile("truncated", f"page {len(seen)} has no directory")
            subpages += _subpages(stream.read(entries * entry_size), order, entry_size)
            found = stream.read(offset_size)
            if len(seen) > limits.pages or subpages > limits.subpages:
                raise BadFile("declares_too_much", f"more than {len(seen) - 1:,} pages and {subpages:,} subpages")
    if len(found) < offset_size:
        raise BadFile("truncated", f"the chain of its pages breaks off after page {len(seen)}")
    if not seen:
        raise BadFile("empty", "a TIFF file of no pages")
    return len(seen)


def _kind(start: bytes) -> tuple[str, bool]:
    """Byte order, and whether it is a BigTIFF, from the first four bytes."""
    for mark, order in ((b"II", "<"), (b"MM", ">")):
        for version, big in ((42, False), (43, True)):
            if start == mark + struct.pack(f"{order}H", version):
                return order, big
    raise BadFile("not_an_image", "it does not begin as a TIFF file does")


def _subpages(entries: bytes, order: str, entry_size: int) -> int:
    """How many SubIFDs a directory names. Its entries are sorted by their codes."""
    counted = struct.iter_unpack(f"{order}HHI4x" if entry_size == 12 else f"{order}HHQ8x", _whole(entries, entry_size))
    return sum(count for code, _, count in counted if code == _SUBIFDS)


def _whole(entries: bytes, entry_size: int) -> bytes:
    return entries[: len(entries) // entry_size * entry_size]


@dataclass(frozen=True)
class Described:
    """What the metadata say of an image.  voxels: how many values it has, over all axes.  channels: () if not named."""

    voxels: int
    pixel_um: PixelUm = (None, None, None)
    channels: tuple[str, ...] = ()


def describe_ome(xml: str, pages: int, limits: Limits) -> tuple[Described, ...]:
    """The images that OME-XML describes, in order.

    pages: of the file, which must be able to hold them.
    Raises BadFile: the XML cannot be read, defines entities, or places planes in other files.
    """
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise BadFile("declares_too_much", "OME-XML with a document type of its own")
    try:
        root = ElementTree.fromstring(xml)  # noqa: S314 - without entities it can only be as large as it is
    except ElementTree.ParseError as error:
        raise BadFile("undecodable", f"OME-XML: {error}") from None
    own = root.get("UUID")
    for uuid in _below(root, "UUID"):
        if uuid.text != own:
            raise BadFile("unsupported", f"an image spread over several files, one of them {uuid.get('FileName')!r}")
    return tuple(
        _described(pixels, pages, limits) for image in _below(root, "Image") for pixels in _below(image, "Pixels")
    )


def _below(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    """The elements of that name, in whichever version of the OME schema."""
    return (one for one in element.iter() if one.tag == name or one.tag.endswith("}" + name))


def _described(pixels: ElementTree.Element, pages: int, limits: Limits) -> Described:
    t, c, z, y, x = (int(pixels.get(f"Size{axis}", 0)) for axis in "TCZYX")
    placed = sum(_placed(part, pages) for part in _below(pixels, "TiffData"))
    if max(t * c * z, placed) > limits.pages:
        raise BadFile("declares_too_much", f"OME-XML of {t * c * z:,} planes that places {placed:,}")
    if placed > t * c * z:
        raise BadFile("truncated", f"OME-XML of {t * c * z:,} planes that places {placed:,}")
    z_um, y_um, x_um = (_ome_um(pixels, axis) for axis in "ZYX")
    channels = tuple(channel.get("Name", "") for channel in _below(pixels, "Channel"))
    return Described(t * c * z * y * x, (z_um, y_um, x_um), channels)


def _placed(part: ElementTree.Element, pages: int) -> int:
    """How many planes a TiffData element places; all pages if it does not say."""
    counts = (part.get("PlaneCount"), part.get("NumPlanes"), "1" if part.get("IFD") else None)
    return int(next((count for count in counts if count), "0")) or pages


def _ome_um(pixels: ElementTree.Element, axis: str) -> float | None:
    scale = _UM.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    return _positive(float(pixels.get(f"PhysicalSize{axis}", 0)) * scale) if scale else None


def describe_imagej(file: tifffile.TiffFile) -> Described:
    """The one image of an ImageJ file; it has at least that many voxels."""
    metadata, page = file.imagej_metadata or {}, file.pages[0]
    # A plane of an RGB image may have been counted once or for each of its samples.
    voxels = int(metadata.get("images", 1)) * page.imagelength * page.imagewidth
    if metadata.get("unit") not in _UM:
        return Described(voxels)
    scale = _UM[metadata["unit"]]
    y, x = (_edge(page.tags.get(f"{axis}Resolution"), scale) for axis in "YX")
    return Described(voxels, (_positive(float(metadata.get("spacing", 0)) * scale), y, x))


def _edge(resolution: tifffile.TiffTag | None, scale: float) -> float | None:
    """A resolution is a fraction, pixels per so many units."""
    pixels, units = resolution.value if resolution else (0, 0)
    return _positive(units / pixels * scale) if pixels else None


def _positive(size: float) -> float | None:
    return size if 0 < size < math.inf else None
