"""What is known of an image file before its pixels are read, and why a file is refused."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from numpy.typing import NDArray

from storage.errors import DataError

Frames = NDArray[Any]
"""T C Z Y X, any dtype but booleans."""
Box = tuple[slice, slice, slice, slice, slice]
"""Part of an image: T C Z Y X, each slice with start and stop, 0 <= start <= stop <= size."""
Reason = Literal[
    "unreadable", "empty", "not_an_image", "undecodable", "truncated", "declares_too_much", "unsupported", "changed"
]

_REASONS: dict[Reason, tuple[str, str]] = {
    "unreadable": ("the file cannot be opened", "Check that it is a regular file and may be read"),
    "empty": ("the file holds no pixels", "Copy it again from where it came"),
    "not_an_image": ("the file is not an image of the kind its name says", "Rename it, or leave it out"),
    "undecodable": ("the file cannot be decoded whole", "Copy it again from where it came"),
    "truncated": ("the file is truncated", "Copy it again from where it came"),
    "declares_too_much": ("the file declares more pixels than it can hold", "Leave it out, or save it again"),
    "unsupported": ("the file is of a kind that is not read", "Save it as OME-TIFF with the axes T C Z Y X"),
    "changed": ("the file changed while it was read", "Start again when nothing writes to it"),
}
assert set(_REASONS) == set(get_args(Reason))


class BadFile(DataError):
    """A file that is not read, because it cannot be read whole and right.

    reason: one word, for programs.  found: what was seen, for people.
    """

    def __init__(self, reason: Reason, found: str) -> None:
        wrong, do = _REASONS[reason]
        super().__init__(wrong, found, do)
        self.reason: Reason = reason

    def __reduce__(self) -> tuple[type["BadFile"], tuple[Reason, str]]:
        return BadFile, (self.reason, self.found)


@dataclass(frozen=True)
class ImageFacts:
    """What a file promises of one of its images.

    shape: T C Z Y X.  stored_shape: as the file itself has it.  dtype: of the pixels as `read` gives them;
    booleans become uint8, 0 and 1.  stored_dtype: as the file has it.  pixel_um: edge of a voxel in z, y and x in
    micrometres; None where the file does not say.  image: which image of the file, from 0.
    """

    shape: tuple[int, int, int, int, int]
    stored_shape: tuple[int, ...]
    dtype: str
    stored_dtype: str
    channels: tuple[str, ...]
    pixel_um: tuple[float | None, float | None, float | None] = (None, None, None)
    image: int = 0


@dataclass(frozen=True)
class Limits:
    """What a file may declare; checked before anything is decoded.

    declared_bytes: of all images, decoded.  picture_bytes: of a JPEG or PNG, decoded, since these are decoded whole.
    pages: in a TIFF.  mixed_pages: in a TIFF of pages of several kinds.  subpages: SubIFDs in a TIFF.
    ratio: declared bytes over bytes of the file, where more than `ratio_above` bytes are declared.
    """

    declared_bytes: int = 1 << 40
    picture_bytes: int = 1 << 30
    pages: int = 1_000_000
    mixed_pages: int = 5_000
    subpages: int = 50_000
    ratio: int = 200
    ratio_above: int = 64 << 20

    def check(self, declared: int, stored: int) -> None:
        """Raise BadFile: `declared` bytes of pixels are too many for a file of `stored` bytes."""
        too_dense = declared > self.ratio_above and declared > self.ratio * stored
        if declared > self.declared_bytes or too_dense:
            raise BadFile("declares_too_much", f"{declared:,} bytes of pixels in a file of {stored:,} bytes")


LIMITS = Limits()


def sample_names(samples: int) -> tuple[str, ...]:
    """Names of the samples of a pixel: three are colours."""
    return ("red", "green", "blue") if samples == 3 else channel_names(samples)


def channel_names(channels: int) -> tuple[str, ...]:
    """Names of channels that the file does not name."""
    return tuple(f"channel{i}" for i in range(channels))
