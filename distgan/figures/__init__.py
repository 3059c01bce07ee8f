"""The figures of papers, ONE FILE OR FOLDER EACH, found by name: `distgan figures RECIPE`.

It defines `HEADING`, `Settings`, a subclass of `distgan.plots.figure_set.FigureSettings`, and `PARTS`, a tuple of
`distgan.plots.figure_set.Part`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import create_model

from distgan.config.run_config import read_tables, validated
from distgan.config.sections import Section
from distgan.plots.figure_set import FigureSettings
from storage.errors import RecipeError
from storage.plugins import load_plugin, plugin_names


def paper_names() -> list[str]:
    """The papers that have a file here, sorted."""
    return plugin_names(__name__)


def load_paper(name: str) -> Any:
    """The module of that paper.

    Raises RecipeError: there is no such file; the message lists those there are.
    """

    def refused(known: str) -> RecipeError:
        return RecipeError(
            f"there are no figures of {name!r}", f"there are those of {known}", "Set figures.paper to one of these"
        )

    return load_plugin(__name__, name, refused)


def read_settings(recipe: Path, overrides: Sequence[str] = ()) -> tuple[Any, FigureSettings]:
    """The paper's module and the table `[figures]` of a recipe.

    Raises MissingError: there is no such recipe.
    Raises RecipeError: it does not say of which paper, or has other keys.
    """
    tables = read_tables(recipe, overrides)
    table = tables.get("figures")
    if not isinstance(table, dict) or not isinstance(table.get("paper"), str):
        raise RecipeError(f"{recipe} names no paper", "no figures.paper", 'Add paper = "wang" under [figures]')
    paper = load_paper(table["paper"])
    fields: dict[str, Any] = {"figures": (paper.Settings, ...)}
    settings: FigureSettings = validated(
        create_model("Recipe", __base__=Section, **fields), tables, str(recipe)
    ).figures  # type: ignore[attr-defined]
    return paper, settings
