"""Read image files as microscopes and people write them: TIFF of most kinds, JPEG and PNG.

Everything comes out as T C Z Y X with the values as they were in the file; booleans as 0 and 1.
"""

import contextlib
import logging
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from storage.errors import DataError

SUFFIXES = frozenset({".tif", ".tiff", ".jpg", ".jpeg", ".png"})
Frames = NDArray[Any]
"""T C Z Y X, any dtype."""


@dataclass(frozen=True)
class ImageFacts:
    """What a file's header promises.

    shape: T C Z Y X.  stored_shape: as the file itself has it.  pixel_um: edge of a voxel in z, y and x
    in micrometres; None where the file does not say.
    """

    shape: tuple[int, int, int, int, int]
    stored_shape: tuple[int, ...]
    dtype: str
    channels: tuple[str, ...]
    pixel_um: tuple[float | None, float | None, float | None] = (None, None, None)


def survey(path: Path) -> ImageFacts:
    """Read the header of an image file.

    Raises DataError: it is not an image of a known kind, or is damaged.
    """
    return _survey_tiff(path) if _is_tiff(path) else _survey_picture(path)


def read(path: Path) -> Frames:
    """Decode an image file whole, as T C Z Y X.

    Raises DataError: it is truncated or damaged, or does not hold what its header promises.
    """
    return _read_tiff(path) if _is_tiff(path) else _read_picture(path)


def _is_tiff(path: Path) -> bool:
    return path.suffix.lower() in (".tif", ".tiff")


# pictures: JPEG and PNG

_MODES = {
    "1": (1, "uint8"),
    "L": (1, "uint8"),
    "LA": (2, "uint8"),
    "P": (3, "uint8"),
    "RGB": (3, "uint8"),
    "RGBA": (4, "uint8"),
    "I;16": (1, "uint16"),
    "I": (1, "int32"),
    "F": (1, "float32"),
}
"""Pillow's name of a pixel -> samples and dtype; a palette is read as the colours it stands for."""


def _survey_picture(path: Path) -> ImageFacts:
    with _decoding(path), Image.open(path) as image:
        if image.mode not in _MODES:
            known = ", ".join(_MODES)
            raise DataError("the picture has an unknown kind of pixel", image.mode, f"Save it as one of {known}")
        samples, dtype = _MODES[image.mode]
        if dtype == "uint8" and "16" in str(image.tile):
            raise DataError("Pillow keeps only 8 of the 16 bits of such a picture", image.mode, "Save it as TIFF")
        stored = (image.height, image.width) + ((samples,) if samples > 1 else ())
        return ImageFacts((1, samples, 1, image.height, image.width), stored, dtype, _channel_names(samples))


def _read_picture(path: Path) -> Frames:
    with _decoding(path), Image.open(path) as image:
        pixels = _without_booleans(np.asarray(_plain(image)))
    planes = pixels if pixels.ndim == 3 else pixels[:, :, None]
    return np.ascontiguousarray(planes.transpose(2, 0, 1)[None, :, None])


def _plain(image: Image.Image) -> Image.Image:
    """Palette indices are colours in disguise; every other mode is kept as it is."""
    return image.convert("RGB") if image.mode == "P" else image


# TIFF


def _survey_tiff(path: Path) -> ImageFacts:
    with _decoding(path), tifffile.TiffFile(path) as file:
        series = _only_series(file)
        shape = _shape_tczyx(series.axes, series.shape)
        dtype = "uint8" if series.dtype == bool else np.dtype(series.dtype).name
        _check_declared_size(series, path)
        return ImageFacts(shape, tuple(series.shape), dtype, _channel_names(shape[1]), _pixel_um(file))


def _read_tiff(path: Path) -> Frames:
    with _decoding(path), tifffile.TiffFile(path) as file:
        series = _only_series(file)
        pixels = _without_booleans(series.asarray(maxworkers=1))
        kept = "".join(_meaning(axis) for axis in series.axes)
        order = [kept.index(axis) for axis in "TCZYX" if axis in kept]
        return np.ascontiguousarray(pixels.transpose(order).reshape(_shape_tczyx(series.axes, series.shape)))


def _only_series(file: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    """The image of a file, which may have a thumbnail; never one of several, nor what other files hold."""
    first, *others = [one for one in file.series if not one.keyframe.is_reduced] or file.series
    if others:
        shapes = [first.shape, *(one.shape for one in others)]
        raise DataError("the file holds several images", f"shapes {shapes}", "Save each in a file of its own")
    if first.is_multifile:
        raise DataError("the image is spread over several files", file.filename, "Save it in one file")
    return first


def _meaning(axis: str) -> str:
    """Samples of a pixel are channels; pages that nobody named are planes."""
    return {"S": "C", "I": "Z", "Q": "Z"}.get(axis, axis)


def _shape_tczyx(axes: str, shape: tuple[int, ...]) -> tuple[int, int, int, int, int]:
    meanings = [_meaning(axis) for axis in axes]
    if not set(meanings) <= set("TCZYX") or len(set(meanings)) != len(meanings) or not {"Y", "X"} <= set(meanings):
        raise DataError(
            "the axes of the file are not ones of an image", f"{axes} of shape {shape}", "Save it with axes TCZYX"
        )
    if "S" in axes and shape[axes.index("S")] not in (3, 4):
        raise DataError(
            "the planes of the file look like samples of one pixel",
            f"axes {axes} of shape {shape}",
            "Save it with named axes, for example as OME-TIFF",
        )
    sizes = dict(zip(meanings, shape, strict=True))
    return (sizes.get("T", 1), sizes.get("C", 1), sizes.get("Z", 1), sizes["Y"], sizes["X"])


def _check_declared_size(series: tifffile.TiffPageSeries, path: Path) -> None:
    """A header that declares more than the file can hold is a truncation, or an attack."""
    pages = series.keyframe
    if pages.compression == 1 and pages.dataoffsets:
        packed = math.prod(series.shape) * pages.bitspersample // 8
        if packed > path.stat().st_size:
            raise DataError(
                "the file is truncated",
                f"{path.stat().st_size} bytes, though its header declares {packed} bytes of pixels",
                "Copy it again from where it came",
            )


def _pixel_um(file: tifffile.TiffFile) -> tuple[float | None, float | None, float | None]:
    """Edges of a voxel in z, y, x from OME-XML or ImageJ metadata."""
    if file.is_ome and file.ome_metadata:
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
        pixels = (pixels[0] if isinstance(pixels, list) else pixels)["Pixels"]
        z, y, x = (_ome_um(pixels, axis) for axis in "ZYX")
        return (z, y, x)
    if file.is_imagej and file.imagej_metadata:
        spacing = file.imagej_metadata.get("spacing")
        unit = file.imagej_metadata.get("unit")
        if unit in ("micron", "um", "\\u00B5m", "µm"):
            y, x = (_edge(file.pages[0].tags.get(f"{axis}Resolution")) for axis in "YX")
            return (float(spacing) if spacing else None, y, x)
    return (None, None, None)


def _edge(resolution: tifffile.TiffTag | None) -> float | None:
    """A resolution is a fraction, pixels per so many units."""
    pixels, units = resolution.value if resolution else (0, 0)
    return units / pixels if pixels else None


def _ome_um(pixels: dict[str, Any], axis: str) -> float | None:
    value, unit = pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")
    scale = {"µm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3}.get(unit)
    return float(value) * scale if value and scale else None


# both


def _channel_names(count: int) -> tuple[str, ...]:
    return ("red", "green", "blue") if count == 3 else tuple(f"channel{i}" for i in range(count))


def _without_booleans(pixels: Frames) -> Frames:
    return pixels.astype(np.uint8) if pixels.dtype == bool else pixels


@contextlib.contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises, or only logs, into a DataError."""
    with _complaints() as complaints:
        try:
            yield
        except DataError:
            raise
        except MemoryError as error:
            raise _undecodable(path, f"it declares more pixels than fit in memory ({error})") from None
        except Exception as error:
            raise _undecodable(path, f"{type(error).__name__}: {error}") from error
    if complaints:
        # tifffile returns the first plane of a truncated stack and only logs that the rest is gone.
        raise _undecodable(path, complaints[0])


def _undecodable(path: Path, found: str) -> DataError:
    reason = found.replace(str(path), path.name)
    return DataError("the file cannot be decoded whole", reason, "Copy it again from where it came")


class _Collector(logging.Handler):
    """Hands each record to the thread that caused it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.local = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        if (found := getattr(self.local, "found", None)) is not None:
            found.append(record.getMessage())


_COLLECTOR = _Collector()
logging.getLogger("tifffile").addHandler(_COLLECTOR)


@contextlib.contextmanager
def _complaints() -> Iterator[list[str]]:
    found: list[str] = []
    _COLLECTOR.local.found = found
    try:
        yield found
    finally:
        _COLLECTOR.local.found = None
