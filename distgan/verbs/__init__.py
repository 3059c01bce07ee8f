"""The verbs of the command line, one file each; each adds its verbs to the parser by its function `add`.

They are imported at every call of distgan, so they import what they need when they are run.
"""

import argparse
import importlib
import os
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from storage.errors import RecipeError

Result = dict[str, Any]
"""What --json prints."""
Run = Callable[[argparse.Namespace], Result]


class Parser(argparse.ArgumentParser):
    """A mistake on the command line is told like any other."""

    def error(self, message: str) -> NoReturn:
        """Raises RecipeError."""
        raise RecipeError("the command line cannot be understood", message, f"Run {self.prog} --help")


class Verbs:
    """Where verbs are added."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB", parser_class=Parser)
        self._common = Parser(add_help=False)
        self._common.add_argument("--json", action="store_true", help="print one JSON object on stdout")
        self._common.add_argument("--debug", action="store_true", help="print the traceback of a failure")

    def verb(self, name: str, run: Run) -> argparse.ArgumentParser:
        """A verb, explained by the first line of its function; what it takes is added to what comes back."""
        summary = (run.__doc__ or "").splitlines()[0]
        added: argparse.ArgumentParser = self._verbs.add_parser(
            name, help=summary, description=summary, parents=[self._common]
        )
        added.set_defaults(verb=run)
        return added

    def group(self, name: str, summary: str) -> "Verbs":
        """Verbs of two words: distgan NAME VERB."""
        return Verbs(self._verbs.add_parser(name, help=summary, description=summary))


def parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    top = Parser(prog="distgan", description="Train GANs and autoencoders on microscopy, on a laptop or a cluster.")
    verbs = Verbs(top)
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}").add(verbs)
    return top


def recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """RECIPE --set KEY=VALUE."""
    parser.add_argument("recipe", type=Path, help="a TOML file, or the name of one of distgan/recipes")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of the recipe")


def model_argument(parser: argparse.ArgumentParser) -> None:
    """MODEL."""
    parser.add_argument("model", help="models:/NAME@ALIAS, models:/NAME/VERSION, or a folder")


def positive(text: str) -> int:
    """A whole number above nought, for argparse."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return int(text)


def say(text: str) -> None:
    """Tell people, on stderr."""
    from distgan.monitoring.terminal import say as told

    told(text)


def home() -> Path:
    """$DISTGAN_HOME."""
    from cluster.home import Home

    return Home.here().path


def threads() -> int:
    """As many as this machine has cores."""
    return os.cpu_count() or 1
