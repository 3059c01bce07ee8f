"""Read image files as microscopes and people write them: TIFF of most kinds, JPEG, PNG and NPY.

Everything comes out as T C Z Y X with the values as they are in the file; booleans as 0 and 1. A file is read whole
and right, or refused: BadFile is the only error for what a file holds.
"""

import contextlib
import errno
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from storage import arrays, pictures, tiff
from storage.image_facts import LIMITS, BadFile, Box, Frames, ImageFacts, Limits

__all__ = ["LIMITS", "SUFFIXES", "BadFile", "Box", "Frames", "ImageFacts", "Limits", "read", "survey"]

_READERS = {
    ".tif": tiff,
    ".tiff": tiff,
    ".jpg": pictures,
    ".jpeg": pictures,
    ".png": pictures,
    ".npy": arrays,
}
SUFFIXES = frozenset(_READERS)


def survey(path: Path, limits: Limits = LIMITS) -> tuple[ImageFacts, ...]:
    """Read the headers of an image file: one ImageFacts per image, thumbnails and pyramid levels left out.

    Raises BadFile: it is not an image of a known kind, is damaged, or declares more than `limits` allow.
    """
    with _refusing(path):
        return _READERS[_kind(path)].survey(path, limits)


def read(path: Path, facts: ImageFacts, box: Box | None = None, limits: Limits = LIMITS) -> Frames:
    """Decode one image of a file, or the part of it in `box`, as T C Z Y X of dtype `facts.dtype`.

    facts: of the image, from `survey`.  Memory is about that of the box and one strip or tile for TIFF and NPY;
    JPEG and PNG are decoded whole.
    Raises BadFile: the file is truncated or damaged, or no longer holds what `facts` say.
    """
    box = box or whole(facts)
    assert all(0 <= part.start <= part.stop <= size for part, size in zip(box, facts.shape, strict=True)), box
    shape = tuple(part.stop - part.start for part in box)
    if not all(shape):
        return np.empty(shape, facts.dtype)
    with _refusing(path):
        frames = _READERS[_kind(path)].read(path, facts, box, limits)
    assert (frames.shape, frames.dtype.name) == (shape, facts.dtype)
    return frames


def whole(facts: ImageFacts) -> Box:
    """The box that holds all of an image."""
    t, c, z, y, x = (slice(0, size) for size in facts.shape)
    return t, c, z, y, x


def _kind(path: Path) -> str:
    """The suffix of a file that is there, is regular and is not empty. A FIFO would block whoever opens it."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise BadFile("unreadable", "it is not a regular file")
    if status.st_size == 0:
        raise BadFile("empty", "0 bytes")
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise BadFile("not_an_image", f"the suffix {suffix!r}, which is none of {', '.join(sorted(SUFFIXES))}")
    return suffix


@contextlib.contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into a BadFile."""
    try:
        yield
    except BadFile:
        raise
    except MemoryError as error:
        raise BadFile("declares_too_much", f"more pixels than fit in memory: {error}") from None
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # Pillow's word for damage; an offset that no file has
            raise BadFile("undecodable", str(error)) from error
        raise BadFile("unreadable", error.strerror or type(error).__name__) from error
    except Exception as error:
        found = f"{type(error).__name__}: {error}".replace(str(path), path.name)
        raise BadFile("undecodable", found[:300]) from error
