"""JPEG and PNG files. A palette is read as the colours it stands for; every other value is as in the file."""

import math
import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from storage.image_facts import BadFile, Box, Frames, ImageFacts, Limits, sample_names

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_PNG_SAMPLES = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""Colour type of PNG (grey, RGB, palette, grey and alpha, RGBA) -> samples of a pixel."""
_JPEG_SAMPLES = {"L": 1, "RGB": 3}


def survey(path: Path, limits: Limits) -> tuple[ImageFacts, ...]:
    """The one picture of the file, from its header.

    Raises BadFile.
    """
    facts = _survey_png(path) if _is_png(path) else _survey_jpeg(path)
    declared = math.prod(facts.shape) * np.dtype(facts.dtype).itemsize
    if not declared:
        raise BadFile("empty", f"a picture of {facts.stored_shape}")
    if declared > limits.picture_bytes:
        raise BadFile("declares_too_much", f"{declared:,} bytes of pixels in one picture")
    limits.check(declared, path.stat().st_size)
    return (facts,)


def read(path: Path, facts: ImageFacts, box: Box, limits: Limits) -> Frames:
    """The pixels in `box`, T C Z Y X. The picture is decoded whole.

    Raises BadFile.
    """
    if survey(path, limits) != (facts,):
        raise BadFile("changed", "another header than before")
    pixels = _decode_png(path) if _is_png(path) else _decode_jpeg(path)
    if pixels.shape != facts.stored_shape:
        raise BadFile("undecodable", f"{pixels.shape} decoded where the header says {facts.stored_shape}")
    planes = pixels if pixels.ndim == 3 else pixels[:, :, None]
    return np.array(planes.transpose(2, 0, 1)[None, :, None][box], facts.dtype, order="C")


def _facts(height: int, width: int, samples: int, dtype: str) -> ImageFacts:
    stored = (height, width, samples) if samples > 1 else (height, width)
    kept = "uint8" if dtype == "bool" else dtype
    return ImageFacts((1, samples, 1, height, width), stored, kept, dtype, sample_names(samples))


def _is_png(path: Path) -> bool:
    with path.open("rb") as stream:
        start = stream.read(len(_PNG))
    if start != _PNG and not start.startswith(_JPEG):
        raise BadFile("not_an_image", "it begins neither as a PNG nor as a JPEG file does")
    return start == _PNG


# PNG


def _png_header(path: Path) -> tuple[int, int, int, int]:
    """Width, height, bits of a sample, colour type (PNG specification, section 11.2.1)."""
    with path.open("rb") as stream:
        header = stream.read(26)
    if len(header) < 26 or header[12:16] != b"IHDR":
        raise BadFile("truncated", "no PNG header")
    width, height, bits, colours = struct.unpack(">IIBB", header[16:])
    if colours not in _PNG_SAMPLES or bits not in (1, 2, 4, 8, 16):
        raise BadFile("undecodable", f"a PNG of {bits} bits and colour type {colours}")
    return width, height, bits, colours


def _survey_png(path: Path) -> ImageFacts:
    width, height, bits, colours = _png_header(path)
    dtype = "uint16" if bits == 16 else "bool" if (bits, colours) == (1, 0) else "uint8"
    return _facts(height, width, _PNG_SAMPLES[colours], dtype)


def _decode_png(path: Path) -> NDArray[Any]:
    _, _, bits, colours = _png_header(path)
    with PngImageFile(path) as image:
        if getattr(image, "is_animated", False):
            raise BadFile("unsupported", "an animated PNG")
        if bits == 16 and colours:
            image.close()
            return imagecodecs.png_decode(path.read_bytes())  # Pillow keeps only 8 of the 16 bits
        _load(image)
        if colours == 3:
            image.info.pop("transparency", None)
            return np.asarray(image.convert("RGB"))
        pixels = np.asarray(image)
    # Pillow stretches 2 and 4 bits to 0 .. 255.
    return pixels // (255 // (2**bits - 1)) if bits in (2, 4) else pixels


# JPEG


def _survey_jpeg(path: Path) -> ImageFacts:
    with JpegImageFile(path) as image:
        if image.mode not in _JPEG_SAMPLES:
            raise BadFile("unsupported", f"a JPEG of mode {image.mode}")
        return _facts(image.height, image.width, _JPEG_SAMPLES[image.mode], "uint8")


def _decode_jpeg(path: Path) -> NDArray[Any]:
    with JpegImageFile(path) as image:
        _load(image)
        return np.asarray(image)


def _load(image: ImageFile.ImageFile) -> None:
    try:
        image.load()
    except OSError as error:
        if error.errno is None and "truncated" in str(error):
            raise BadFile("truncated", str(error)) from error
        raise
