"""Published models, ONE FILE EACH, found by its name: `method.name = "wgan_gp"` loads wgan_gp.py.

The file defines one subclass of `distgan.method.Method`.
"""

from distgan.method import Method
from storage.errors import RecipeError
from storage.plugins import load_plugin, only_class, plugin_names


def method_names() -> list[str]:
    """The methods that have a file here, sorted."""
    return plugin_names(__name__)


def load_method(name: str) -> type[Method]:
    """The method of that name.

    Raises RecipeError: there is no such file; the message lists those there are.
    """

    def refused(known: str) -> RecipeError:
        return RecipeError(
            f"there is no method {name!r}",
            f"method.name can be {known}",
            "Choose one of these, or add its file to distgan/methods",
        )

    found: type[Method] = only_class(load_plugin(__name__, name, refused), Method)
    return found
