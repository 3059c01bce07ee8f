"""distgan ingest: image files into a store."""

import argparse
from pathlib import Path

from distgan.verbs import Result, Verbs, threads


def add(verbs: Verbs) -> None:
    """Add the verb of this file."""
    parser = verbs.verb("ingest", ingest)
    parser.add_argument("source", type=Path, help="a folder of TIFF, JPEG, PNG or NPY files; or sample arrays")
    parser.add_argument("store", type=Path, help="the store to write")
    parser.add_argument("--dataset", default="", help="a known data set, which says what its file names mean")
    parser.add_argument("--pattern", default="", help="of file names, such as {plate}/{well}_{field}_{channel}.tif")
    parser.add_argument("--table", type=Path, metavar="CSV", help="more about the files, joined with the pattern")
    parser.add_argument("--channels", type=_names, default=(), metavar="A,B,C", help="names, in order")


def ingest(options: argparse.Namespace) -> Result:
    """Write a folder of image files into an image store, or sample arrays into a patch store."""
    from distgan.data.ingestion import layout_of, run_ingest

    layout = layout_of(options.source, options.dataset, options.pattern, options.table, options.channels)
    return run_ingest(options.source, options.store, layout, threads())


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if "" in names or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of names, each its own")
    return names
