"""What is in a store: for people, and for programs."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from distgan import plots
from distgan.data import to_unit_range
from storage import manifest, patches
from storage import store as image_store
from storage.errors import DataError
from storage.patches import PatchStore
from storage.store import ImageStore

SHOWN = 64


def inspect_store(path: Path, figure: Path | None) -> dict[str, Any]:
    """The facts of an image store or a patch store; a picture of it goes to `figure`.

    Raises MissingError, DataError: there is no such store, or it is unfinished or damaged.
    """
    kind = manifest.kind_of(path)
    if kind == patches.KIND:
        store = PatchStore.open(path)
        if figure is not None:
            rows = np.unique(np.linspace(0, store.shape[0] - 1, SHOWN).astype(np.int64))
            _save(plots.grid(to_unit_range(store.read(rows), store.value_range).numpy(), path.name), figure)
        return _patch_facts(store)
    if kind == image_store.KIND:
        images = ImageStore.open(path)
        if figure is not None:
            _save(_frames(images), figure)
        return _image_facts(images)
    raise DataError(f"{path} is no store", f"a {kind}", "Give an image store or a patch store")


def _patch_facts(store: PatchStore) -> dict[str, Any]:
    columns = {name: len(store.obs.column(name).unique()) for name in store.obs.column_names}
    return {
        "kind": patches.KIND,
        "samples": store.shape[0],
        "shape": list(store.shape),
        "dtype": store.dtype,
        "channels": list(store.channels),
        "pixel_um": list(store.pixel_um),
        "value_range": list(store.value_range),
        "columns": columns,
        "digest": store.digest,
        "source": store.manifest.facts["source"],
    }


def _image_facts(store: ImageStore) -> dict[str, Any]:
    return {
        "kind": image_store.KIND,
        "files": store.files.num_rows,
        "series": [image_store.series_facts(one) for one in store.series],
        "columns": {
            name: len(store.files.column(name).unique()) for name in store.files.column_names if name != "shape"
        },
        "digest": store.manifest.digest,
    }


def _frames(store: ImageStore) -> Figure:
    """Some frames of the first image, the middle plane, between their own darkest and brightest."""
    array = store.array(store.series[0])
    rows = np.unique(np.linspace(0, array.shape[0] - 1, 16).astype(int))
    frames = np.concatenate([image_store.read_rows(array, row, row + 1) for row in rows.tolist()])
    frames = frames[:, :, frames.shape[2] // 2]
    low, high = np.percentile(frames, (0.1, 99.9))
    return plots.grid(to_unit_range(frames, (low, max(high, low + 1))).numpy(), store.path.name, columns=4)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
