"""Samples of a patch store, as a model is told them: images, and the columns that its method reads."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from distgan.data.batches import Known, known_of, to_unit_range
from distgan.method import Batch
from distgan.model import Model
from storage.errors import RecipeError
from storage.patches import PatchStore


def evenly(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most so many of the rows, evenly taken."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64)]


def samples_of(model: Model, store: PatchStore, rows: Sequence[int] | NDArray[np.int64]) -> Batch:
    """These samples of a store, in the order in which they are named, and what the model is told of them.

    Raises RecipeError: they are not such as the model was trained on, there is no such row, or a class is unknown.
    """
    model.check_samples(store)
    if unknown := [row for row in rows if not 0 <= row < store.shape[0]]:
        raise RecipeError(
            f"{store.path} has no row {unknown[0]}", f"its rows are 0 to {store.shape[0] - 1}", "Take one of these"
        )
    places, order = np.unique(np.asarray(rows, np.int64), return_inverse=True)
    images = to_unit_range(store.read(places)[order], model.value_range)
    return Batch(images, _known(model, store, places[order]).columns)


def _known(model: Model, store: PatchStore, rows: NDArray[np.int64]) -> Known:
    for name, classes in model.method.sample.classes.items():
        if name not in store.obs.column_names:
            raise RecipeError(
                f"{store.path} has no column {name!r}", "the model was told it", "Prepare from images that have it"
            )
        values = {str(value) for value in store.obs.column(name).take(pa.array(rows)).to_pylist()}
        if classes and (others := sorted(values - set(classes))):
            raise RecipeError(
                f"the model does not know the {name} {others[0]!r}", f"it knows {', '.join(classes)}", "Leave it out"
            )
    return known_of(store, rows, model.method.sample)
