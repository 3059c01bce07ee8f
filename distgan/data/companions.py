"""Look-alikes that a batch brings along: of every class a training sample whose reference channel is like the image's.

`prepare.neighbours` has looked for some of each class (`storage.mining`); which of these comes along is a function of
the seed and the position in the stream, as augmentation is, and so the same on any number of workers.
"""

import numpy as np
from numpy.typing import NDArray

from distgan.data.augment import random_bits
from storage.errors import RecipeError
from storage.patches import PatchStore
from storage.sampler import Indices
from storage.store import open_array

Places = NDArray[np.int64]
"""N x classes x count: of each sample its look-alikes, as places among the samples that train."""

_PURPOSE = 1 << 63
"""No seed has this bit, so these numbers are not those that augmentation draws."""


def companions_of(store: PatchStore, rows: Indices, column: str, classes: tuple[str, ...]) -> Places:
    """The look-alikes of these rows in each of the classes; in its own class a sample has itself.

    rows: all that train, rising.
    Raises RecipeError: none were looked for, by another column, or some of them do not train.
    """
    facts = store.manifest.facts.get("neighbours")
    if not facts or facts["by"] != column or set(classes) - set(facts["classes"]):
        found = f"those of {facts['by']} {', '.join(facts['classes'])}" if facts else "none"
        raise RecipeError(
            f"{store.path} does not know the look-alikes of every {column}",
            f"it has {found}, and those of {', '.join(classes)} are wanted",
            f'Prepare with [prepare.neighbours] by = "{column}"',
        )
    wanted = [facts["classes"].index(name) for name in classes]
    of_store = np.asarray(open_array(store.path / "neighbours")[:])[rows][:, wanted]
    places = np.searchsorted(rows, of_store).clip(max=len(rows) - 1)
    strange = rows[places] != of_store
    number = {name: index for index, name in enumerate(classes)}
    own = np.array([number[str(value)] for value in store.obs[column].take(rows).to_pylist()])
    samples = np.arange(len(rows))
    places[samples, own] = samples[:, None]
    strange[samples, own] = False
    if strange.any():
        raise RecipeError(
            f"look-alikes of {store.path} are not among the samples that train",
            f"{strange.sum():,} of {strange.size:,}, such as row {of_store[strange][0]}",
            "Prepare with prepare.neighbours.subset naming the samples that train, and train on all of them",
        )
    return places


def one_of_each(places: Places, samples: Indices, seed: int, position: int) -> Indices:
    """One look-alike in each class for these samples, N x classes; `position` of the first in the stream."""
    _, classes, count = places.shape
    bits = random_bits(seed | _PURPOSE, position * classes, len(samples) * classes).reshape(-1, classes)
    rank = (bits % np.uint64(count)).astype(np.int64)
    return np.take_along_axis(places[samples], rank[..., None], 2)[..., 0]
