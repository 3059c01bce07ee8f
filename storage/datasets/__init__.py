"""Known image sets, one file each, found by listing this folder.

A data set's file holds one function of each name:

    ABOUT: About                                       what it is, for `distgan data list`
    fetch(cache, progress) -> Path                     bring it below `cache`, checked; return its folder
    metadata(file) -> dict[str, str | int]             what a file's path (POSIX, relative to the folder) says of it
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from storage.errors import MissingError

Progress = Callable[[int, int], None]
"""Called with (done, total) as long work goes on."""


@dataclass(frozen=True)
class About:
    """One line of `distgan data list`.

    source: address and revision, or "made here".  licence: in its own words.  groups: the metadata
    columns a split may go by, coarsest first.
    """

    title: str
    source: str
    licence: str
    groups: tuple[str, ...]


class DataSet(Protocol):
    """What the module of a data set offers."""

    ABOUT: About

    def fetch(self, cache: Path, progress: Progress) -> Path:
        """Bring the data set below `cache` and return its folder; a second call finds it there."""
        ...

    def metadata(self, file: str) -> dict[str, str | int]:
        """What the path of a file (POSIX, relative to the folder) says of it; {} if nothing."""
        ...


def dataset_names() -> list[str]:
    """The data sets that have a file here, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_dataset(name: str) -> DataSet:
    """The data set of that name.

    Raises MissingError: there is no such file; the message lists those there are.
    """
    if name not in dataset_names():
        raise MissingError(
            f"there is no data set {name!r}",
            f"the known ones are {', '.join(dataset_names())}",
            "Choose one of these, or ingest a folder of your own without --dataset",
        )
    return cast(DataSet, importlib.import_module(f"{__name__}.{name}"))
