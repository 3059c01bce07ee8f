"""Which samples are held out: by group, seeded, nested.

Neighbouring crops, slices and time points of one embryo are almost the same picture; so the unit of a
split is the group (embryo, date, field, well, plate) and never the sample.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.errors import RecipeError

Mask = NDArray[np.bool_]


def held_out(groups: Iterable[object], fraction: float, seed: int) -> Mask:
    """True for the samples of the held-out groups.

    groups: the group of each sample.  fraction: share of the groups to hold out, in [0, 1); at least one
    group if it is above 0.
    Raises RecipeError: nothing would be left to train on.
    """
    labels = [str(group) for group in groups]
    out = share(labels, fraction, seed) if fraction > 0 else np.zeros(len(labels), dtype=bool)
    if out.all():
        raise RecipeError(
            "the split leaves nothing to train on",
            f"{len(set(labels))} group(s), of which all would be held out",
            "Split by a column with more groups (data.split.by), or hold out less",
        )
    return out


def share(groups: Iterable[object], fraction: float, seed: int) -> Mask:
    """True for the samples of that share of the groups, in (0, 1]; at least one group.

    Groups are ranked by a seeded hash of their name, so that those of a smaller share are among those of
    a larger one, whatever other groups there are.
    """
    labels = np.asarray([str(group) for group in groups])
    ranked = sorted(set(labels.tolist()), key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    return np.isin(labels, ranked[: max(1, round(fraction * len(ranked)))])


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
