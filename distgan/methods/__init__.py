"""Published models, ONE FILE EACH, found by its name: `method.name = "wgan_gp"` loads wgan_gp.py.

The file defines one subclass of `distgan.method.Method`.
"""

import importlib
import inspect
import pkgutil

from distgan.method import Method
from storage.errors import RecipeError


def method_names() -> list[str]:
    """The methods that have a file here, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_method(name: str) -> type[Method]:
    """The method of that name.

    Raises RecipeError: there is no such file; the message lists those there are.
    """
    if name not in method_names():
        raise RecipeError(
            f"there is no method {name!r}",
            f"method.name can be {', '.join(method_names())}",
            "Choose one of these, or add its file to distgan/methods",
        )
    module = importlib.import_module(f"{__name__}.{name}")
    found = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Method) and member.__module__ == module.__name__
    ]
    assert len(found) == 1, f"distgan/methods/{name}.py must define one Method, it defines {len(found)}"
    return found[0]
