"""distgan traverse: a walk through a latent space."""

import argparse
from pathlib import Path

from distgan.verbs import Result, Verbs, model_argument, positive, say


def add(verbs: Verbs) -> None:
    """Add the verb of this file."""
    parser = verbs.verb("traverse", traverse)
    model_argument(parser)
    parser.add_argument("store", type=Path, help="patch store of cells whose codes give the order of the dimensions")
    parser.add_argument("--out", type=Path, required=True, help="a .png grid or a .gif film; a .csv comes beside it")
    parser.add_argument("--row", type=int, default=0, help="the cell that a conditional model is told")
    parser.add_argument("--count", type=positive, default=8, help="dimensions, those that tell most first")
    parser.add_argument("--steps", type=positive, default=7)
    parser.add_argument("--reach", type=float, default=3.0, help="how far from 0, in standard deviations")


def traverse(options: argparse.Namespace) -> Result:
    """Show what each dimension of a cell model's codes means."""
    from cluster.home import Home
    from cluster.registry import resolve
    from distgan.inference.traverse import traverse as walk
    from distgan.model import load_model
    from distgan.monitoring.terminal import progress_bar
    from storage.patches import PatchStore

    model, store = load_model(resolve(Home.here(), options.model)), PatchStore.open(options.store)
    keys = {name: getattr(options, name) for name in ("row", "count", "steps", "reach")}
    with progress_bar(f"coding {options.store}") as progress:
        found = walk(model, store, options.out, progress=progress, **keys)
    first = found.order[: options.count].tolist()
    say(f"dimensions {', '.join(map(str, first))}: {options.out}")
    return {
        "out": str(options.out),
        "table": str(options.out.with_suffix(".csv")),
        "dimensions": first,
        "effect": [float(found.effect[one]) for one in first],
    }
