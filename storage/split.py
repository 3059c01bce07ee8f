"""Which samples are held out: by group, seeded, nested, and class by class where that is wanted.

Neighbouring crops, slices and time points of one embryo are almost the same picture; so the unit of a
split is the group (embryo, date, field, well, plate) and never the sample.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.errors import RecipeError

Mask = NDArray[np.bool_]
Classes = Iterable[object] | None
"""The class of each sample, where the groups of every class are dealt by themselves. A group that has samples
of several classes counts as one of the class most of them have."""


def held_out(groups: Iterable[object], fraction: float, seed: int, classes: Classes = None) -> Mask:
    """True for the samples of the held-out groups.

    groups: the group of each sample.  fraction: share of the groups (of each class) to hold out, in [0, 1); at
    least one group if it is above 0.
    Raises RecipeError: nothing would be left to train on.
    """
    labels = _texts(groups)
    dealt = _dealt(labels, seed, classes) if fraction > 0 else []
    return _trainable(labels, {name for names in dealt for name in _first(names, fraction)}, dealt)


def held_out_by_name(groups: Iterable[object], fraction: float, seed: int) -> Mask:
    """True for the samples of the groups whose hash is in the first `fraction` of all hashes: of those that rank first.

    Whether a group is held out depends on its name and the seed alone, so that it stays where it is whatever other
    groups come or go; the share that is held out is `fraction` on average.
    Raises RecipeError: none is held out, or nothing would be left to train on.
    """
    labels = _texts(groups)
    names = sorted(set(labels.tolist()))
    out = {name for name in names if int.from_bytes(_rank(seed, name)[:8], "big") < fraction * 2**64}
    if fraction > 0 and not out:
        raise RecipeError(
            "the split holds nothing out",
            f"none of {len(names)} group(s) has a hash in the first {fraction:g}",
            "Hold out more, set data.split.seed, or leave data.split.stable out",
        )
    return _trainable(labels, out, [])


def fold_of(groups: Iterable[object], folds: int, fold: int, seed: int, classes: Classes = None) -> Mask:
    """True for the samples of one fold: every group is in one of the `folds`, whose sizes differ by at most one group.

    Raises RecipeError: there are fewer groups than folds, or nothing would be left to train on.
    """
    labels = _texts(groups)
    dealt = _dealt(labels, seed, classes)
    ranked = [name for names in dealt for name in names]
    if len(ranked) < folds:
        raise RecipeError(
            f"{folds} folds cannot be made",
            f"{len(ranked)} group(s)",
            "Lower data.split.folds, or split by another column",
        )
    return _trainable(labels, set(ranked[fold::folds]), dealt)


def left_out(groups: Iterable[object], name: object) -> Mask:
    """True for the samples of the one group of that name.

    Raises RecipeError: there is no such group, or no other.
    """
    labels = _texts(groups)
    if str(name) not in labels:
        known = ", ".join(sorted(set(labels.tolist()))[:20])
        raise RecipeError(
            f"there is no group {name} to leave out",
            f"the groups are {known}",
            "Set data.split.leave_out to one of these",
        )
    return _trainable(labels, {str(name)}, [])


def share(groups: Iterable[object], fraction: float, seed: int, classes: Classes = None) -> Mask:
    """True for the samples of that share of the groups (of each class), in (0, 1]; at least one group.

    Groups are ranked by a seeded hash of their name, so that those of a smaller share are among those of
    a larger one, whatever other groups there are.
    """
    labels = _texts(groups)
    kept = [name for names in _dealt(labels, seed, classes) for name in _first(names, fraction)]
    return np.isin(labels, kept)


def _texts(values: Iterable[object]) -> NDArray[np.str_]:
    return np.asarray([str(value) for value in values], dtype=np.str_)


def _first(names: Sequence[str], fraction: float) -> Sequence[str]:
    return names[: max(1, round(fraction * len(names)))]


def _dealt(labels: NDArray[np.str_], seed: int, classes: Classes) -> list[list[str]]:
    """The groups of each class, ranked; of one class if there are none."""
    ranked = sorted(set(labels.tolist()), key=lambda name: _rank(seed, name))
    if classes is None:
        return [ranked]
    seen: dict[str, Counter[str]] = {name: Counter() for name in ranked}
    for label, kind in zip(labels.tolist(), classes, strict=True):
        seen[label][str(kind)] += 1
    commonest = {name: min(kinds, key=lambda kind: (-kinds[kind], kind)) for name, kinds in seen.items()}
    return [[name for name in ranked if commonest[name] == kind] for kind in sorted(set(commonest.values()))]


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()


def _trainable(labels: NDArray[np.str_], out: set[str], dealt: Sequence[Sequence[str]]) -> Mask:
    """The mask of these groups, if every class keeps one to train on."""
    mask = np.isin(labels, list(out))
    if mask.all() or any(out.issuperset(names) for names in dealt):
        raise RecipeError(
            "the split leaves nothing to train on",
            f"{len(set(labels.tolist()))} group(s), of which all (or all of a class) would be held out",
            "Split by a column with more groups (data.split.by), or hold out less",
        )
    return mask


def matching(table: pa.Table, subset: Mapping[str, Sequence[object]]) -> Mask:
    """True for the rows whose columns have one of the values wanted, in every column of `subset`.

    Raises RecipeError: there is no such column, or no row is left; the message lists what there is.
    """
    mask = np.ones(table.num_rows, dtype=bool)
    for column, wanted in subset.items():
        found = [str(value) for value in column_values(table, column)]
        mask &= np.isin(found, [str(value) for value in wanted])
        if not mask.any():
            known = ", ".join(sorted(set(found))[:20])
            raise RecipeError(
                f"no sample has {column} in {list(wanted)}", f"{column} is one of {known}", "Change the subset"
            )
    return mask


def column_values(table: pa.Table, column: str) -> list[object]:
    """The values of a metadata column; raises RecipeError with the known columns if there is none."""
    if column not in table.column_names:
        raise RecipeError(
            f"the store has no metadata column {column!r}",
            f"the columns are {', '.join(table.column_names)}",
            "Use one of these, or ingest with the data set that names it (--dataset)",
        )
    return list(table.column(column).to_pylist())
