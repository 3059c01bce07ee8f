"""Profiles: rows of features with metadata, and their averages over wells, treatments or anything else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from storage.errors import RecipeError

Floats = NDArray[np.floating]
Texts = NDArray[np.str_]
Rows = NDArray[np.int64]
Aggregate = Literal["mean", "median"]


@dataclass(frozen=True)
class Profiles:
    """values: N D.  columns: metadata by name, N texts each.  names: of the features, or none."""

    values: Floats
    columns: Mapping[str, Texts]
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def column(self, name: str) -> Texts:
        """The metadata of that name.  Raises RecipeError: there are none."""
        if name not in self.columns:
            raise RecipeError(
                f"the profiles have no column {name!r}", f"they have {', '.join(self.columns)}", "Name one of these"
            )
        return self.columns[name]

    def rows(self, rows: Rows | NDArray[np.bool_]) -> "Profiles":
        """Those profiles alone."""
        return Profiles(self.values[rows], {name: texts[rows] for name, texts in self.columns.items()}, self.names)

    def with_values(self, values: Floats, names: tuple[str, ...] | None = None) -> "Profiles":
        """Other features of the same things."""
        return Profiles(values, self.columns, self.names if names is None else names)


def groups(columns: Sequence[Texts]) -> list[Rows]:
    """The rows of equal metadata, as sorted rows; the groups in the order of their first rows.

    >>> import numpy as np
    >>> [rows.tolist() for rows in groups([np.array(["b", "a", "b"]), np.array(["1", "1", "1"])])]
    [[0, 2], [1]]
    """
    number = np.zeros(len(columns[0]), np.int64)
    for texts in columns:
        _, one = np.unique(texts, return_inverse=True)
        _, number = np.unique(number * (one.max(initial=0) + 1) + one, return_inverse=True)
    order = np.argsort(number, kind="stable")
    found = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
    return sorted((rows for rows in found if len(rows)), key=lambda rows: int(rows[0]))


def aggregated(profiles: Profiles, by: Sequence[str], how: Aggregate = "mean") -> Profiles:
    """One float64 profile for each group of equal metadata `by`.

    A column that differs within some group is left out; so a well keeps its plate, and a treatment of one batch that.
    """
    found = groups([profiles.column(name) for name in by])
    average: Callable[[Floats], Floats] = _mean if how == "mean" else _median
    values = np.stack([average(profiles.values[rows]) for rows in found])
    first = np.array([rows[0] for rows in found])
    columns = {
        name: texts[first]
        for name, texts in profiles.columns.items()
        if all((texts[rows] == texts[rows[0]]).all() for rows in found)
    }
    return Profiles(values, columns, profiles.names)


def counts(profiles: Profiles, by: Sequence[str]) -> Profiles:
    """The logarithm of how many rows are in each group, as the only feature: what counting cells would tell."""
    sizes = np.log([[len(rows)] for rows in groups([profiles.column(name) for name in by])])
    return aggregated(profiles.with_values(np.zeros((len(profiles), 1))), by).with_values(sizes, ("log count",))


def _mean(values: Floats) -> Floats:
    return np.asarray(values.mean(0, dtype=np.float64))


def _median(values: Floats) -> Floats:
    return np.median(values.astype(np.float64), axis=0)
