"""Known image sets, one file each, found by listing this folder.

A data set's file holds one of each name:

    ABOUT: About                        what it is, for `distgan data list`
    fetch(cache, progress) -> Path      bring it below `cache`, checked; return its folder
    layout(folder) -> Layout            how that folder is read: what its files, or the rows of its arrays, are
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from storage.durable import staged
from storage.errors import MissingError
from storage.layout import Layout
from storage.plugins import load_plugin, plugin_names

Progress = Callable[[int, int], None]
"""Called with (done, total) as long work goes on."""


@dataclass(frozen=True)
class About:
    """One line of `distgan data list`.

    source: address and revision, or "made here".  licence: in its own words.  groups: the metadata columns a
    split may go by, coarsest first; none if the whole set is one specimen.  cite: whom to name in a publication.
    """

    title: str
    source: str
    licence: str
    groups: tuple[str, ...]
    cite: str = ""


class DataSet(Protocol):
    """What the module of a data set offers."""

    ABOUT: About

    def fetch(self, cache: Path, progress: Progress) -> Path:
        """Bring the data set below `cache` and return its folder; a second call finds it there."""
        ...

    def layout(self, folder: Path) -> Layout:
        """How the folder is read.

        Raises MissingError or DataError: a table that belongs to it is not there, or is not what it should be.
        """
        ...


def dataset_names() -> list[str]:
    """The data sets that have a file here, sorted."""
    return plugin_names(__name__)


def load_dataset(name: str) -> DataSet:
    """The data set of that name.

    Raises MissingError: there is no such file; the message lists those there are.
    """

    def refused(known: str) -> MissingError:
        return MissingError(
            f"there is no data set {name!r}",
            f"the known ones are {known}",
            "Choose one of these, or ingest a folder of your own without --dataset",
        )

    return cast(DataSet, load_plugin(__name__, name, refused))


def made(folder: Path, write: Callable[[Path], None]) -> Path:
    """`folder`, which `write` fills if it is not there yet, whole or not at all."""
    if not folder.is_dir():
        with staged(folder) as partial:
            write(partial)
    return folder
