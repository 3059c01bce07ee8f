"""distgan integrate: many structures in one cell."""

import argparse
from pathlib import Path

from distgan.verbs import Result, Verbs, model_argument, say


def add(verbs: Verbs) -> None:
    """Add the verb of this file."""
    parser = verbs.verb("integrate", integrate)
    model_argument(parser)
    parser.add_argument("store", type=Path, help="patch store of cells")
    parser.add_argument("--out", type=Path, required=True, help="a .png to look at, or .npy for values")
    parser.add_argument("--rows", type=int, nargs="+", default=[0, 1, 2, 3], help="which cells of the store")
    parser.add_argument("--draws", type=int, default=0, help="codes of each structure; 0 is the likeliest one")
    parser.add_argument("--seed", type=int, default=0)


def integrate(options: argparse.Namespace) -> Result:
    """Put every structure that a model knows into the shapes of some cells."""
    from cluster.home import Home
    from cluster.registry import resolve
    from distgan.inference.integrate import integrate as put
    from distgan.model import load_model
    from distgan.terminal import progress_bar
    from storage.patches import PatchStore

    model, store = load_model(resolve(Home.here(), options.model)), PatchStore.open(options.store)
    with progress_bar("integrating") as progress:
        shape = put(model, store, options.rows, options.out, draws=options.draws, seed=options.seed, progress=progress)
    say(f"{shape[1]} structures in {len(options.rows)} cells: {options.out}")
    return {"out": str(options.out), "shape": list(shape)}
