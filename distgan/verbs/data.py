"""distgan data list | fetch: known public data sets."""

import argparse
import os
from pathlib import Path

from distgan.verbs import Result, Verbs, home, say


def add(verbs: Verbs) -> None:
    """Add the verbs of this file."""
    data = verbs.group("data", "Known public data sets.")
    data.verb("list", data_list)
    data.verb("fetch", data_fetch).add_argument("name")


def data_list(options: argparse.Namespace) -> Result:
    """Print the known data sets."""
    from distgan.monitoring.terminal import table
    from storage.datasets import dataset_names, load_dataset

    known = {name: load_dataset(name).ABOUT for name in dataset_names()}
    say(table([{"name": name, "what": about.title, "source": about.source} for name, about in known.items()]))
    return {"datasets": [{"name": name, **vars(about)} for name, about in known.items()]}


def data_fetch(options: argparse.Namespace) -> Result:
    """Bring a data set into the cache."""
    from distgan.monitoring.terminal import progress_bar
    from storage.datasets import load_dataset

    cache = Path(os.environ.get("DISTGAN_DATA") or home() / "data")
    with progress_bar(f"fetching {options.name}") as progress:
        folder = load_dataset(options.name).fetch(cache, progress)
    say(f"{options.name} is in {folder}, checked")
    return {"name": options.name, "folder": str(folder)}
