"""Which share of the samples is trained on: the question of how many labels are needed is answered by drawing them.

    nested   the first of each class, group after group in a seeded order: nested, of whole groups but the last
    groups   whole groups, at least one of each class: nested
    paper    of each class sample by sample, whatever its group, and anew for each share (Wang et al., section 3.2)

Nested: what belongs to a smaller share belongs to every larger one of the same seed.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from storage.errors import RecipeError
from storage.split import Mask, share

Rule = Literal["nested", "groups", "paper"]
Texts = NDArray[np.str_]


def drawn(groups: Texts, classes: Texts | None, fraction: float, seed: int, rule: Rule = "nested") -> Mask:
    """True for the samples of that share, in (0, 1].

    groups, classes: of each sample; without classes all samples are of one.
    Raises RecipeError: a class is left without a sample.
    """
    if fraction == 1:
        return np.ones(len(groups), bool)
    if rule == "groups":
        mask = share(groups, fraction, seed, classes)
    else:
        kinds = np.zeros(len(groups), np.int64) if classes is None else np.unique(classes, return_inverse=True)[1]
        mask = _first_of_each(_order(groups, fraction, seed, rule), kinds, fraction)
    _check_classes(mask, classes, fraction)
    return mask


def _order(groups: Texts, fraction: float, seed: int, rule: Rule) -> NDArray[np.int64]:
    """The samples in the order in which they are taken."""
    if rule == "paper":
        key = int.from_bytes(np.float64(fraction).tobytes(), "little")
        return np.random.Generator(np.random.Philox(key=[seed, key])).permutation(len(groups))
    random = np.random.Generator(np.random.Philox(key=[seed, 3]))
    names, group = np.unique(groups, return_inverse=True)
    rank = random.permutation(len(names))[group]
    return np.lexsort((random.permutation(len(groups)), rank))


def _first_of_each(order: NDArray[np.int64], kinds: NDArray[np.int64], fraction: float) -> Mask:
    mask = np.zeros(len(order), bool)
    for kind in np.unique(kinds):
        own = order[kinds[order] == kind]
        mask[own[: round(fraction * len(own))]] = True
    return mask


def _check_classes(mask: Mask, classes: Texts | None, fraction: float) -> None:
    counts = _counts(classes, len(mask))
    left = _counts(None if classes is None else classes[mask], int(mask.sum()))
    if lost := [name for name in counts if not left.get(name)]:
        name = lost[0]
        raise RecipeError(
            f"a share of {fraction:g} leaves class {name!r} without a sample"
            if name
            else f"a share of {fraction:g} leaves no sample",
            f"there are {counts[name]:,} to draw from",
            "Take a larger share, or leave out less of the data",
        )


def _counts(classes: Texts | None, count: int) -> dict[str, int]:
    if classes is None:
        return {"": count} if count else {}
    return dict(zip(*(one.tolist() for one in np.unique(classes, return_counts=True)), strict=True))
