"""distgan tune: many trainings of one recipe, over settings ([tune]) or over shares of the labels ([fractions])."""

import argparse
from typing import Any

from distgan.verbs import Result, Verbs, recipe_arguments


def add(verbs: Verbs) -> None:
    """Add the verb of this file."""
    parser = verbs.verb("tune", tune)
    recipe_arguments(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--resume", action="store_true", help="go on; what has ended is not trained again")
    which.add_argument("--status", action="store_true", help="say how it stands, and stop; at any time")


def tune(options: argparse.Namespace) -> Result:
    """Search the settings of a recipe's [tune], or sweep the shares of its [fractions]."""
    from cluster.home import Home
    from distgan.config.run_config import config_from_tables, read_tables
    from storage.errors import RecipeError

    tables = read_tables(options.recipe, options.set)
    config = config_from_tables(tables, str(options.recipe))
    if (config.tune is None) == (config.fractions is None):
        found = "neither is there" if config.tune is None else "both are there"
        raise RecipeError(f"{options.recipe} needs either [tune] or [fractions]", found, "Give it one of the two")
    home = Home.here()
    if config.fractions is not None:
        return _sweep(config, tables, home, options)
    from tune.search import search, status

    return status(config, home) if options.status else search(tables, home, resume=options.resume)


def _sweep(config: Any, tables: dict[str, Any], home: Any, options: argparse.Namespace) -> Result:
    from tune import fractions

    if options.status:
        return fractions.status(config, home)
    return fractions.sweep(config, tables, home, resume=options.resume)
