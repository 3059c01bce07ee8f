"""distgan integrate: many structures in one cell."""

import argparse
from pathlib import Path
from typing import Any

from distgan.verbs import Result, Verbs, model_argument, say


def add(verbs: Verbs) -> None:
    """Add the verb of this file."""
    parser = verbs.verb("integrate", integrate)
    model_argument(parser)
    parser.add_argument("store", type=Path, help="patch store of cells")
    parser.add_argument("--out", type=Path, required=True, help="a .png, or .npy; a folder of a separable generator")
    parser.add_argument("--rows", type=int, nargs="+", help="cells of the store; by default 0 to 3, or 8 held-out ones")
    parser.add_argument("--draws", type=int, default=0, help="codes of each structure; 0 is the likeliest one")
    parser.add_argument("--starts", type=int, default=8, help="red codes drawn to begin from (separable generators)")
    parser.add_argument("--evaluations", type=int, default=200, help="of the red tower, from each start")
    parser.add_argument(
        "--encoder", type=int, default=0, help="training steps of an encoder of red images to begin from"
    )
    parser.add_argument("--seed", type=int, default=0)


def integrate(options: argparse.Namespace) -> Result:
    """Put every structure that a model knows into the shapes of some cells."""
    from cluster.home import Home
    from cluster.registry import resolve
    from distgan.codes import RedFirst
    from distgan.inference.integrate import integrate as put
    from distgan.model import load_model
    from distgan.monitoring.terminal import progress_bar
    from storage.patches import PatchStore

    model, store = load_model(resolve(Home.here(), options.model)), PatchStore.open(options.store)
    if isinstance(model.method, RedFirst):
        return _proteins(options, model, store)
    rows = options.rows or [0, 1, 2, 3]
    with progress_bar("integrating") as progress:
        shape = put(model, store, rows, options.out, draws=options.draws, seed=options.seed, progress=progress)
    say(f"{shape[1]} structures in {len(rows)} cells: {options.out}")
    return {"out": str(options.out), "shape": list(shape)}


def _proteins(options: argparse.Namespace, model: Any, store: Any) -> Result:
    """The greens of every class for red images."""
    from distgan.inference.invert import Search
    from distgan.inference.proteins import put_proteins
    from distgan.inference.reconstruct import held_out_rows
    from distgan.monitoring.terminal import progress_bar, report

    rows = options.rows or held_out_rows(model, store, 8).tolist()
    search = Search(options.starts, options.evaluations, options.encoder, seed=options.seed)
    draws = max(options.draws, 1)
    with progress_bar("coding") as progress:
        found = put_proteins(model, store, rows, options.out, search, draws=draws, seed=options.seed, progress=progress)
    say(report(found))
    say(f"{draws} draw(s) of every class in {len(rows)} cells: {options.out}")
    return {"out": str(options.out), "rows": rows, **found}
