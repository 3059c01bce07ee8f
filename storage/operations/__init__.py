"""What `prepare` may do to images: functions of a Stack and their own keys, to a Stack.

Each is a public function of a module of this folder and is called by its name; adding one is writing it. They are
pure, know no store, and never change their input; arrays of a result may share memory with it.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from numpy.typing import NDArray

Image = NDArray[Any]
"""C Z Y X, any real dtype."""
LabelImage = NDArray[Any]
"""Z Y X, integers: 0 is background, and every other value one object or one class."""


@dataclass(frozen=True)
class Stack:
    """An image and the label images that lie on it: a whole frame, or what was cut out of one.

    image: C Z Y X.  channels: names of C.  labels: name -> Z Y X; in what was cut around an object, its own
    label images hold 1 where it lies and 0 elsewhere.  pixel_um: edge of a voxel in z, y, x in micrometres,
    None where unknown.
    """

    image: Image
    channels: tuple[str, ...]
    labels: Mapping[str, LabelImage] = field(default_factory=dict)
    pixel_um: tuple[float | None, float | None, float | None] = (None, None, None)


Operation = Callable[..., Stack]


@cache
def operations() -> Mapping[str, Operation]:
    """Every operation by its name."""
    found: dict[str, Operation] = {}
    for module in pkgutil.iter_modules(__path__):
        content = importlib.import_module(f"{__name__}.{module.name}")
        for name, function in inspect.getmembers(content, inspect.isfunction):
            own = function.__module__ == content.__name__ and not name.startswith("_")
            if own and next(iter(inspect.signature(function).parameters), "") == "stack":
                found[name] = function
    return found
