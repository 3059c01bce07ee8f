"""Ways to say how good a method is along its run, ONE FILE EACH, found by name: `evaluate.metrics = ["kid"]`.

The file defines one subclass of `distgan.evaluation.Evaluation`.
"""

from distgan.evaluation import Evaluation
from storage.errors import RecipeError
from storage.plugins import load_plugin, only_class, plugin_names


def evaluation_names() -> list[str]:
    """The evaluations that have a file here, sorted."""
    return plugin_names(__name__)


def load_evaluation(name: str) -> type[Evaluation]:
    """The evaluation of that name.

    Raises RecipeError: there is no such file; the message lists those there are.
    """

    def refused(known: str) -> RecipeError:
        return RecipeError(
            f"there is no evaluation {name!r}",
            f"evaluate.metrics can name {known}",
            "Choose one of these, or add its file to distgan/evaluations",
        )

    found: type[Evaluation] = only_class(load_plugin(__name__, name, refused), Evaluation)
    return found
