"""The leaf task of an ingest: read what meets one shard, and only that, write it, and say what the values are."""

import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping
from functools import reduce
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage import images
from storage.arrange import Part, Shard
from storage.assemble import Faulty
from storage.images import BadFile, Box
from storage.manifest import sha256_file
from storage.store import rows_per, write_shard

SLAB_BYTES = 8 << 20
"""What is read at a time: with a copy, and the pages of the file, that is little beside the shard."""
_PACKING = Lock()
"""zarr packs the chunks of one shard on all cores; two shards at a time would only take twice the memory."""
Found = dict[str, Any]
"""What a shard, or several, say of one file, in JSON values: `min` and `max` (of the finite values, None if there are
none), `nan` (how many are not finite), `top` and `bottom` (how many integers are the largest of their type, and 0),
`pixels` (sums up to a digest of all pixels) and `sha256` (of the file, from the shard in which it begins)."""


def fill(store: Path, shard: Shard) -> tuple[str, dict[str, Found], list[Faulty]]:
    """Write a shard: its object below the store, what was found in each file, and the files that are bad.

    With a bad file nothing is written, and the object is "".
    """
    found: dict[str, Found] = {}
    faulty: list[Faulty] = []
    block = np.zeros(shard.size, shard.dtype)
    for part in shard.parts:
        try:
            found[part.source.file] = reduce(merged, _copy(part, shard, block))
        except BadFile as error:
            faulty.append(Faulty(part.source.file, error.reason, error.found))
    if faulty:
        return "", found, faulty
    with _PACKING:
        written = write_shard(store / shard.array, shard.corner, block)
    return f"{shard.array}/{written}", found, []


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> Found:
    """What two shards say of one file, together."""
    lows = [one["min"] for one in (first, second) if one["min"] is not None]
    highs = [one["max"] for one in (first, second) if one["max"] is not None]
    return {
        "min": min(lows, default=None),
        "max": max(highs, default=None),
        "pixels": (first["pixels"] + second["pixels"]) % _MODULUS,
        "sha256": first["sha256"] or second["sha256"],
        **{name: first[name] + second[name] for name in ("nan", "top", "bottom")},
    }


def _copy(part: Part, shard: Shard, block: NDArray[Any]) -> Iterator[Found]:
    """Read what of a file lies in the shard into `block`, and say of each slab what was found."""
    for box in _slabs(part, shard):
        pixels = images.read(part.source.path, part.source.facts, box)
        block[_place(box, part, shard)] = pixels
        yield _look(part, box, pixels)


def _slabs(part: Part, shard: Shard) -> Iterator[Box]:
    """Where a file and a shard meet, in the file: planes or times that are read together, about SLAB_BYTES."""
    ends = zip(part.corner, part.source.facts.shape, shard.corner, shard.size, strict=True)
    t, c, z, y, x = (slice(max(b - a, 0), min(length, b - a + size)) for a, length, b, size in ends)
    plane = np.dtype(part.source.facts.dtype).itemsize * math.prod(one.stop - one.start for one in (c, y, x))
    planes, times = rows_per(plane, SLAB_BYTES), rows_per(plane * (z.stop - z.start), SLAB_BYTES)
    for first, low in itertools.product(range(t.start, t.stop, times), range(z.start, z.stop, planes)):
        yield slice(first, min(first + times, t.stop)), c, slice(low, min(low + planes, z.stop)), y, x


def _place(box: Box, part: Part, shard: Shard) -> tuple[slice, ...]:
    """A part of a file, in the shard."""
    shifts = (a - b for a, b in zip(part.corner, shard.corner, strict=True))
    return tuple(slice(one.start + shift, one.stop + shift) for one, shift in zip(box, shifts, strict=True))


def _look(part: Part, box: Box, pixels: NDArray[Any]) -> Found:
    first = all(one.start == 0 for one in box)
    found: Found = {"nan": 0, "top": 0, "bottom": 0, "sha256": sha256_file(part.source.path) if first else ""}
    finite = pixels
    if pixels.dtype.kind == "f":
        known = np.isfinite(pixels)
        if not known.all():
            finite = pixels[known]
            found["nan"] = pixels.size - finite.size
    found["min"], found["max"] = (finite.min().item(), finite.max().item()) if finite.size else (None, None)
    if pixels.dtype.kind in "iu":
        top = np.iinfo(pixels.dtype).max
        found["top"] = int(np.count_nonzero(pixels == top)) if found["max"] == top else 0
        found["bottom"] = pixels.size - int(np.count_nonzero(pixels)) if found["top"] else 0
    found["pixels"] = sum(_digest(part, box, index, frame) for index, frame in enumerate(pixels)) % _MODULUS
    return found


_MODULUS = 1 << 128


def _digest(part: Part, box: Box, index: int, frame: NDArray[Any]) -> int:
    """Of one frame, or of that part of it that lies in the shard: frames of one size are always parted alike."""
    where = [(one.start, one.stop) for one in box[1:]]
    facts = part.source.facts
    text = f"{facts.shape} {facts.stored_dtype} {box[0].start + index} {where}"
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    digest.update(np.ascontiguousarray(frame).data)
    return int.from_bytes(digest.digest(), "big")
