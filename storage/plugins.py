"""What is found by the name of its file: a data set, method, evaluation or score, in the package of its kind."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from types import ModuleType
from typing import Any

from storage.errors import DistganError


def plugin_names(package: str) -> list[str]:
    """The files of a package, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__))


def load_plugin(package: str, name: str, refused: Callable[[str], DistganError]) -> ModuleType:
    """The module of that name.  refused: the error where there is none, made of the names there are."""
    known = plugin_names(package)
    if name not in known:
        raise refused(", ".join(known))
    return importlib.import_module(f"{package}.{name}")


def only_class(module: ModuleType, kind: type) -> Any:
    """The one subclass of `kind`, which may be abstract, that the module itself defines."""
    classes = (member for _, member in inspect.getmembers(module, inspect.isclass))
    found = [one for one in classes if issubclass(one, kind) and one.__module__ == module.__name__]
    assert len(found) == 1, f"{module.__name__} must define one {kind.__name__}, it defines {len(found)}"
    return found[0]
