"""Large planes of tissue on the disk: made by a model, or edited."""

from collections.abc import Iterator
from itertools import chain, product
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distgan.data.batches import from_unit_range
from distgan.inference.canvas import canvas, plane_of
from distgan.inference.edit import edited
from distgan.inference.tiles import TILE, Plane
from distgan.metrics.seams import Seams, seams
from distgan.model import Model
from storage.datasets import Progress
from storage.durable import require_nothing
from storage.errors import RecipeError
from storage.store import ImageStore, Series, read_box

GREY = (0.0, 255.0)


def write_plane(
    model: Model, out: Path, seed: int, size: tuple[int, int] | None, labels: Path | None, progress: Progress
) -> tuple[tuple[int, ...], Seams | None]:
    """Make a plane of tissue, image and label images, as an image store; returns C H W, and what its seams are.

    size: height and width, where the model makes its own labels.  labels: an image store, where it is given them.
    Of a model that makes labels alone, the image is what they were before they were cut at one half.
    Raises RecipeError: something stands at `out`, or the model cannot make it.
    """
    require_nothing(out)
    method: Any = model.method
    given, extent = None, size or (0, 0)
    if labels:
        told = getattr(method.config, "given", getattr(method.config, "structures", ()))
        given, extent = plane_of(ImageStore.open(labels), told)
    plane = Plane(model, seed, given, extent)
    edges = plane.tile(*extent)
    count = ceil(extent[0] / edges[0]) * ceil(extent[1] / edges[1])
    tiles = plane.tiles(*extent)
    first = next(tiles)
    structures = tuple(method.config.labels)
    channels = structures if first.images is None else tuple(model.card["channels"])
    dtype = "uint8" if first.images is None else model.card["dtype"]
    height_um, width_um = model.card["pixel_um"][-2:]
    series = Series("0", (1, len(channels), 1, *extent), dtype, channels, (None, height_um, width_um), structures)
    facts = {"model": model.digest, "seed": seed, "labels": str(labels) if labels else None}
    with canvas(out, series, edges, facts) as write:
        for number, tile in enumerate(chain([first], tiles)):
            made, values = (tile.labels, GREY) if tile.images is None else (tile.images, model.value_range)
            write(tile.rows, tile.columns, from_unit_range(made, values, dtype), tile.labels.numpy() > 0)
            progress(number + 1, count)
    return (len(channels), *extent), seams_of(out, edges, plane.unit)


def edit_plane(source: Path, out: Path, **keys: Any) -> dict[str, float]:
    """Edit the label images of a plane, and write them as a new image store whose image they are, too.

    keys: as of `distgan.inference.edit.edited`.  A plane is edited as a whole, in memory.
    Returns by the name of a structure the share of its pixels that changed.
    Raises RecipeError: something stands at `out`, or the store is not one plane with labels.
    """
    require_nothing(out)
    store = ImageStore.open(source)
    series = store.series[0]
    if not series.labels:
        raise RecipeError(f"{source} has no label images", "only an image", "Give a store with label images")
    windows, (height, width) = plane_of(store, series.labels)
    before = {name: one > 0 for name, one in windows(slice(0, height), slice(0, width)).items()}
    after = edited(before, **keys)
    masks = np.stack([after[name] for name in series.labels])
    tile = min(TILE, height), min(TILE, width)
    shape = (1, len(series.labels), 1, height, width)
    made = Series("0", shape, "uint8", series.labels, series.pixel_um, series.labels)
    with canvas(out, made, tile, {"edited": store.manifest.digest, **keys}) as write:
        for top, left in product(range(0, height, tile[0]), range(0, width, tile[1])):
            rows, columns = slice(top, min(top + tile[0], height)), slice(left, min(left + tile[1], width))
            piece = masks[:, rows, columns]
            write(rows, columns, 255 * piece.astype(np.uint8), piece)
    return {name: float((before[name] ^ after[name]).sum() / max(before[name].sum(), 1)) for name in series.labels}


def seams_of(path: Path, tile: tuple[int, int], unit: int) -> Seams | None:
    """How the borders of the tiles of a written plane differ from other lines; None where there are too few."""
    store = ImageStore.open(path)
    array, (_, channels, _, height, width) = store.array(store.series[0]), store.series[0].shape

    def bands() -> Iterator[NDArray[Any]]:
        for top in range(0, height, tile[0]):
            rows = slice(top, min(top + tile[0], height))
            yield read_box(array, (slice(0, 1), slice(0, channels), slice(0, 1), rows))[0, :, 0]

    try:
        return seams(bands(), (channels, height, width), tile, unit)
    except ValueError:
        return None
