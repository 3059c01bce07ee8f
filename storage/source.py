"""What `prepare` cuts patches out of: the images of an image store, or the samples of a patch store."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import zarr
from numpy.typing import NDArray

from storage import patches
from storage import store as image_store
from storage.errors import DataError
from storage.manifest import kind_of
from storage.operations import Stack
from storage.patches import PatchStore
from storage.store import ImageStore, Series, array_name, open_array, read_box, read_rows


@dataclass(frozen=True)
class Source:
    """Frames that any process can read by path.

    series: the arrays; a patch store is one, and each sample a frame.  digest: of the store.
    """

    path: Path
    kind: str
    digest: str
    series: tuple[Series, ...]

    def frames(self, series: int, first: int, last: int) -> list[Stack]:
        """Frames first .. last of one array, as they are in the store."""
        one = self.series[series]
        images = read_rows(self._opened(one), first, last)
        labels = {name: read_rows(self._opened(one, name), first, last) for name in one.labels}
        if self.kind == image_store.KIND:
            labels = {name: values[:, 0] for name, values in labels.items()}
        elif images.ndim == 4:  # two-dimensional samples have no axis Z
            images, labels = images[:, :, None], {name: values[:, None] for name, values in labels.items()}
        return [
            Stack(image, one.channels, {name: values[t] for name, values in labels.items()}, one.pixel_um)
            for t, image in enumerate(images)
        ]

    def box(self, series: int, box: tuple[slice, slice, slice, slice]) -> NDArray[Any]:
        """What lies in `box`, T Z Y X with a start and a stop each, of one array; T C Z Y X."""
        one = self.series[series]
        t, z, y, x = box
        flat = self.kind == patches.KIND and self._opened(one).ndim == 4  # such samples have no axis Z
        images = read_box(self._opened(one), (t, slice(None), y, x) if flat else (t, slice(None), z, y, x))
        return images[:, :, None] if flat else images

    def per_read(self, series: int) -> int:
        """Frames of one array that are best read together."""
        return int(self._opened(self.series[series]).chunks[0])

    def _opened(self, one: Series, labels: str = "") -> "zarr.Array[Any]":
        of_patches = f"labels/{labels}" if labels else "images"
        name = array_name(one.name, labels) if self.kind == image_store.KIND else of_patches
        return _open(self.path / name, self.digest)


@lru_cache(maxsize=256)
def _open(path: Path, digest: str) -> "zarr.Array[Any]":
    """Opened once per process, as long as it is the same store."""
    return open_array(path)


@dataclass(frozen=True)
class Listing:
    """What is known of the images of a source.

    Of each: names: what a message calls it.  series: index of its array.  first_frame, frames: its place in it.
    metadata: a row.  binary: whether its files have one bit per pixel.
    """

    names: list[str]
    series: NDArray[np.int64]
    first_frame: NDArray[np.int64]
    frames: NDArray[np.int64]
    metadata: pa.Table
    binary: NDArray[np.bool_]


def open_source(path: Path) -> tuple[Source, Listing]:
    """Open a store to prepare from.

    Raises MissingError: there is none.  Raises DataError: it is damaged, or neither of images nor of patches.
    """
    kind = kind_of(path)
    if kind == image_store.KIND:
        return _of_images(ImageStore.open(path))
    if kind == patches.KIND:
        return _of_patches(PatchStore.open(path))
    raise DataError(f"nothing can be prepared from {path}", f"it is a {kind}", "Give an image store or a patch store")


def _of_images(store: ImageStore) -> tuple[Source, Listing]:
    table = store.images
    number = {one.name: index for index, one in enumerate(store.series)}
    binary = np.ones(table.num_rows, dtype=bool)
    columns = (store.files.column(name).to_pylist() for name in ("image", "dtype", "labels"))
    for image, dtype, labels in zip(*columns, strict=True):
        binary[image] &= bool(labels) or dtype == "bool"
    listing = Listing(
        table.column("file").to_pylist(),
        np.asarray([number[name] for name in table.column("series").to_pylist()], np.int64),
        table.column("first_frame").to_numpy(),
        table.column("frames").to_numpy(),
        table.drop_columns(["series", "first_frame", "frames", "labels"]),
        binary,
    )
    return Source(store.path, image_store.KIND, store.manifest.digest, store.series), listing


def _of_patches(store: PatchStore) -> tuple[Source, Listing]:
    count, channels, *space = store.shape
    z, y, x = (1, *space)[-3:]
    dz, dy, dx = (None, *store.pixel_um)[-3:]
    one = Series("", (count, channels, z, y, x), store.dtype, store.channels, (dz, dy, dx), store.labels)
    hashes = [name for name in ("pixels", "dhash") if name in store.obs.column_names]
    listing = Listing(
        [f"sample {row}" for row in range(count)],
        np.zeros(count, np.int64),
        np.arange(count),
        np.ones(count, np.int64),
        store.obs.drop_columns(hashes),
        np.full(count, store.value_range == (0, 1)),
    )
    return Source(store.path, patches.KIND, store.digest, (one,)), listing
