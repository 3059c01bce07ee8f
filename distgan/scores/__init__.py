"""Scores of what is finished, ONE FILE EACH, found by name: `distgan evaluate NAME TARGET`.

The file defines `Settings`, a subclass of `distgan.score.ScoreSettings`, and `score(asked: Asked) -> Told`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import create_model

from distgan.config.run_config import read_tables, set_from, validated
from distgan.config.sections import Section
from distgan.score import ScoreSettings
from storage.errors import RecipeError
from storage.plugins import load_plugin, plugin_names


def score_names() -> list[str]:
    """The scores that have a file here, sorted."""
    return plugin_names(__name__)


def load_score(name: str) -> Any:
    """The module of that score.

    Raises RecipeError: there is no such file; the message lists those there are.
    """

    def refused(known: str) -> RecipeError:
        return RecipeError(
            f"there is no score {name!r}",
            f"the scores are {known}",
            "Choose one of these, or add its file to distgan/scores",
        )

    return load_plugin(__name__, name, refused)


def read_settings(name: str, target: str, overrides: Sequence[str] = ()) -> tuple[str, ScoreSettings]:
    """What is scored, and the settings: the table [NAME] of a recipe, if the target is one, and the overrides.

    Raises RecipeError: the settings are not those of the score, or the recipe does not say what is scored.
    """
    kind = load_score(name).Settings
    is_recipe = target.endswith(".toml")
    tables = read_tables(Path(target), overrides) if is_recipe else set_from(overrides)
    origin = target if is_recipe else "--set"
    others = set(score_names()) - {name}
    fields: dict[str, Any] = {name: (kind, kind())}
    recipe = create_model("Recipe", __base__=Section, **fields)
    asked = validated(recipe, {key: value for key, value in tables.items() if key not in others}, origin)
    settings: ScoreSettings = getattr(asked, name)
    if is_recipe and not settings.of:
        raise RecipeError(f"{target} does not say what is scored", f"no {name}.of", f"Name it under [{name}]")
    return (settings.of if is_recipe else target), settings
