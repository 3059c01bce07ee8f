"""Ways to say how good a method is along its run, ONE FILE EACH, found by name: `evaluate.metrics = ["kid"]`.

The file defines one subclass of `distgan.evaluation.Evaluation`.
"""

import importlib
import inspect
import pkgutil

from distgan.evaluation import Evaluation
from storage.errors import RecipeError


def evaluation_names() -> list[str]:
    """The evaluations that have a file here, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_evaluation(name: str) -> type[Evaluation]:
    """The evaluation of that name.

    Raises RecipeError: there is no such file; the message lists those there are.
    """
    if name not in evaluation_names():
        raise RecipeError(
            f"there is no evaluation {name!r}",
            f"evaluate.metrics can name {', '.join(evaluation_names())}",
            "Choose one of these, or add its file to distgan/evaluations",
        )
    module = importlib.import_module(f"{__name__}.{name}")
    found = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Evaluation) and member.__module__ == module.__name__
    ]
    assert len(found) == 1, f"distgan/evaluations/{name}.py must define one Evaluation, it defines {len(found)}"
    return found[0]
