"""distgan edit: label images made to be what is known of tissue."""

import argparse
from pathlib import Path

from distgan.verbs import Result, Verbs, say


def add(verbs: Verbs) -> None:
    """Add the verb of this file."""
    parser = verbs.verb("edit", edit)
    parser.add_argument("store", type=Path, help="image store of one plane, as sample --size writes it")
    parser.add_argument("--out", type=Path, required=True, help="new image store, for sample --labels")
    parser.add_argument("--membranes", default="membranes", help="the label image that parts cells")
    parser.add_argument("--mitochondria", default="mitochondria", help="the label image that is convex")
    parser.add_argument("--concave", choices=("drop", "hull", "keep"), default="drop", help="of mitochondria")
    parser.add_argument("--solidity", type=float, default=0.9, help="share of its hull that is not concave")
    parser.add_argument("--smallest", type=int, default=64, help="pixels of a cell; 0 leaves membranes as they are")
    parser.add_argument("--closing", type=int, default=0, help="pixels: the radius at which membranes are closed first")


def edit(options: argparse.Namespace) -> Result:
    """Drop membranes that part no cells, and concave mitochondria."""
    from distgan.inference.large import edit_plane

    names = ("membranes", "mitochondria", "concave", "solidity", "smallest", "closing")
    changed = edit_plane(options.store, options.out, **{name: getattr(options, name) for name in names})
    told = ", ".join(f"{share:.1%} of {name}" for name, share in changed.items())
    say(f"changed {told}: {options.out}")
    return {"out": str(options.out), "changed": changed}
