"""A chain of operations as a recipe names them: checked before anything is read, then applied to each stack."""

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.errors import RecipeError
from storage.operations import Stack, operations

MEASURED = "illumination"
"""The one operation that must see all images of a group before it can change one; its own keys are `by`, the
column of the images' metadata that names the group (all are one group without it), and `smoothing_px`."""


@dataclass(frozen=True)
class Pipeline:
    """Operations in order.  fields: of a measured one, by its index, the field of each group (C Y X, mean 1)."""

    steps: tuple[tuple[str, Mapping[str, Any]], ...]
    fields: Mapping[int, Sequence[NDArray[np.floating[Any]]]] = field(default_factory=dict)

    @classmethod
    def of(cls, tables: Sequence[Mapping[str, Any]], *, patches: bool = False) -> "Pipeline":
        """Check the names and keys of a recipe's tables {name, and the operation's own keys}.

        patches: they are applied to patches, where nothing can be measured.
        Raises RecipeError: there is no such operation, or it has no such keys.
        """
        found = cls(tuple(_checked(table) for table in tables))
        if patches and found.unmeasured():
            raise RecipeError(
                f"operation {MEASURED} is applied to whole images", "it is to be applied to patches", "Move it before"
            )
        return found

    def __call__(self, stack: Stack, groups: Mapping[int, int], stop: int | None = None) -> Stack:
        """The stack after the operations, or those before `stop`.  groups: of a measured operation, the stack's.

        Raises RecipeError: an operation cannot be applied to it.
        """
        for index, (name, keys) in enumerate(self.steps[:stop]):
            given = {"field": self.fields[index][groups[index]]} if name == MEASURED else keys
            try:
                stack = operations()[name](stack, **given)
            except (ValueError, TypeError) as error:
                shape = " x ".join(map(str, stack.image.shape))
                raise RecipeError(
                    f"operation {name} cannot be applied",
                    f"{error}; the image is {stack.image.dtype}, C Z Y X = {shape}",
                    f"Its keys are {', '.join(_keys(name)) or 'none'}",
                ) from error
        return stack

    def unmeasured(self) -> list[tuple[int, str, float]]:
        """Index, column of the group ("" for none) and smoothing of the operations that need to be measured."""
        return [
            (index, str(keys.get("by", "")), float(keys.get("smoothing_px", 50)))
            for index, (name, keys) in enumerate(self.steps)
            if name == MEASURED
        ]

    def measured(self, step: int, fields: Sequence[NDArray[np.floating[Any]]]) -> "Pipeline":
        """With the fields of one operation."""
        return replace(self, fields={**self.fields, step: fields})


def _checked(table: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    keys = {key: value for key, value in table.items() if key != "name"}
    name = str(table.get("name"))
    if name not in operations():
        near = difflib.get_close_matches(name, operations(), 1)
        raise RecipeError(
            f"there is no operation {name!r}" + (f" (did you mean {near[0]}?)" if near else ""),
            f"the known ones are {', '.join(sorted(operations()))}",
            "Use one of these",
        )
    missing = [key for key, needed in _keys(name).items() if needed and key not in keys]
    strange = [key for key in keys if key not in _keys(name)]
    if missing or strange:
        raise RecipeError(
            f"operation {name} cannot be given {keys}",
            " and ".join([f"there is no key {key}" for key in strange] + [f"key {key} is missing" for key in missing]),
            f"Its keys are {', '.join(_keys(name)) or 'none'}",
        )
    smoothing = keys.get("smoothing_px", 0)
    if name == MEASURED and not (isinstance(smoothing, int | float) and smoothing >= 0):
        raise RecipeError(
            f"operation {name} cannot be applied", f"smoothing_px = {smoothing!r}", "Give pixels, 0 or more"
        )
    return name, keys


def _keys(name: str) -> dict[str, bool]:
    """The keys of an operation, and whether each must be given."""
    if name == MEASURED:
        return {"by": False, "smoothing_px": False}
    parameters = list(inspect.signature(operations()[name]).parameters.values())[1:]
    return {one.name: one.default is inspect.Parameter.empty for one in parameters}
