"""A few frames from all over a store, in bounded memory and time: what `inspect` looks at."""

import math
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.patches import PatchStore
from storage.store import ImageStore, Series, read_box

BUDGET_BYTES = 200 << 20
"""Of all frames together, label images not counted; of a frame larger than its part of that, the middle is read."""
BLOCKS = 8
"""Runs of rows that are read of a patch store, each in another part of it; a run is a mixture of what is near."""
SAMPLES = 256
FEWEST, MOST = 8, 48
"""Frames that are read of an image store."""
PLATES, WELLS = 4, 96
"""Of a screen, one field of each."""
Place = tuple[str, str, int]
"""Plate, row and column of a well."""
_FIELD = re.compile(r"([^/]+)/([A-Z]+)/(\d+)/\d+")


@dataclass(frozen=True)
class Frame:
    """One frame of a store, or the middle of it.

    image: C Z Y X.  labels: name -> Z Y X.  name: of its file, or the row of the sample.  place: its well, in a
    screen.  pixel_um: edge of a pixel along X, None where unknown.  whole: C Z Y X of all of the frame.
    """

    image: NDArray[Any]
    channels: tuple[str, ...]
    labels: dict[str, NDArray[Any]] = field(default_factory=dict)
    name: str = ""
    place: Place | None = None
    pixel_um: float | None = None
    whole: tuple[int, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the frame is left out."""
        return self.image.shape == self.whole


def place_of(series: str) -> Place | None:
    """The well that an array shows, if it is one of a screen: plate7/B/02/0 is of ("plate7", "B", 2)."""
    match = _FIELD.fullmatch(series)
    return (match[1], match[2], int(match[3])) if match else None


def frames_of_patches(store: PatchStore) -> list[Frame]:
    """Up to SAMPLES samples, in BLOCKS runs."""
    chunks = math.ceil(store.shape[0] / store.chunk)
    blocks = spread(chunks, min(BLOCKS, max(1, BUDGET_BYTES // (store.chunk * store.sample_bytes))))
    found = []
    for start in (block * store.chunk for block in blocks):
        stop = min(start + min(store.chunk, SAMPLES // len(blocks)), store.shape[0])
        images = store.read_rows(start, stop)
        labels = {name: store.read_rows(start, stop, name) for name in store.labels}
        for row, image in enumerate(images):
            flat = image.ndim == 3  # C H W
            image = image[:, None] if flat else image
            own = {name: values[row][None] if flat else values[row] for name, values in labels.items()}
            name = f"sample {start + row}"
            found.append(Frame(image, store.channels, own, name, None, store.pixel_um[-1], image.shape))
    return found


def frames_of_images(store: ImageStore) -> list[Frame]:
    """Frames of as many arrays as can be, or all over one that is alone; of a screen, one field of each well."""
    file_of = _files(store)
    found = []
    chosen = _screen(store.series) or _spread_frames(store.series)
    most = _share([_frame_bytes(one) for one, _ in chosen])
    for one, frame in chosen:
        box = (slice(frame, frame + 1), slice(0, None), *_middle(one, most))
        image = read_box(store.array(one), box)[0]
        labels = {name: read_box(store.array(one, name), box)[0, 0] for name in one.labels}
        name, edge = file_of(one.name, frame), one.pixel_um[-1]
        found.append(Frame(image, one.channels, labels, name, place_of(one.name), edge, one.frame_shape))
    return found


def spread(count: int, wanted: int) -> list[int]:
    """Up to `wanted` of the numbers below `count`, first and last among them, as far apart as can be."""
    return [int(one) for one in np.unique(np.linspace(0, count - 1, min(count, wanted)).round())]


def _screen(series: Sequence[Series]) -> list[tuple[Series, int]]:
    """The first field of wells, of as many whole plates as can be; none if the store is no screen."""
    fields: dict[Place | None, Series] = {}
    for one in series:
        fields.setdefault(place_of(one.name), one)
    if None in fields:
        return []
    plates = list(dict.fromkeys(place[0] for place in fields if place))
    whole = WELLS * len(plates) // len(fields)
    shown = {plates[index] for index in spread(len(plates), min(max(whole, 1), PLATES))}
    wells = [one for place, one in fields.items() if place and place[0] in shown]
    return [(wells[index], 0) for index in spread(len(wells), WELLS)]


def _spread_frames(series: Sequence[Series]) -> list[tuple[Series, int]]:
    usual = sum(map(_frame_bytes, series)) // len(series)
    wanted = min(max(BUDGET_BYTES // usual, FEWEST), MOST)
    arrays = [series[index] for index in spread(len(series), wanted)]
    return [(one, frame) for one in arrays for frame in spread(one.shape[0], wanted // len(arrays))]


def _frame_bytes(one: Series) -> int:
    return math.prod(one.frame_shape) * np.dtype(one.dtype).itemsize


def _share(sizes: Sequence[int]) -> int:
    """How many bytes of each frame may be read; what small ones leave is for the large ones."""
    left = BUDGET_BYTES
    for others, size in zip(range(len(sizes), 0, -1), sorted(sizes), strict=True):
        if size > left // others:
            return left // others
        left -= size
    return max(sizes)


def _middle(one: Series, most: int) -> tuple[slice, slice, slice]:
    """Z Y X of at most so many bytes in the middle of a frame: fewer planes, and if one is too large, less of it."""
    _, z, y, x = one.frame_shape
    plane = _frame_bytes(one) // z
    planes = min(z, max(1, most // plane))
    edge = max(1, math.isqrt(most * y * x // plane)) if plane > most else max(y, x)
    starts = [((size - part) // 2, part) for size, part in ((z, planes), (y, min(y, edge)), (x, min(x, edge)))]
    first, second, third = (slice(start, start + part) for start, part in starts)
    return first, second, third


def _files(store: ImageStore) -> Callable[[str, int], str]:
    """(series, frame) -> the first file of the image there."""
    starts: dict[str, list[tuple[int, str]]] = defaultdict(list)
    columns = (store.images.column(name).to_pylist() for name in ("series", "first_frame", "file"))
    for series, first, file in zip(*columns, strict=True):
        starts[series].append((first, file))
    for found in starts.values():
        found.sort()
    return lambda series, frame: starts[series][bisect_right(starts[series], frame, key=lambda one: one[0]) - 1][1]
