"""distgan reconstruct: the codes of images, and how well a model makes the images again."""

import argparse
from pathlib import Path

from distgan.verbs import Result, Verbs, model_argument, positive, say


def add(verbs: Verbs) -> None:
    """Add the verb of this file."""
    parser = verbs.verb("reconstruct", reconstruct)
    model_argument(parser)
    parser.add_argument("store", type=Path, help="patch store; of the one it was trained on, what was held out")
    parser.add_argument("--out", type=Path, required=True, help="folder for codes, images, errors and figures")
    parser.add_argument("--count", type=positive, help="images, evenly taken; by default all")
    parser.add_argument("--by", default="", help="column of classes that are told apart")
    parser.add_argument("--starts", type=int, default=3, help="codes drawn to begin from, beside the encoder's")
    parser.add_argument(
        "--evaluations", type=int, default=200, help="of the generator, from each start; 0: encoder alone"
    )
    parser.add_argument("--encoder", type=int, default=1000, help="training steps of one, where the model has none")
    parser.add_argument("--red-first", action="store_true", help="find the first channel's codes, then the others'")
    parser.add_argument("--seed", type=int, default=0)


def reconstruct(options: argparse.Namespace) -> Result:
    """Find codes of images that a model was not trained on, and compare what it makes of them."""
    from cluster.home import Home
    from cluster.registry import resolve
    from distgan.inference.invert import Search
    from distgan.inference.reconstruct import reconstruct as run
    from distgan.model import load_model
    from distgan.monitoring.terminal import progress_bar, report
    from storage.patches import PatchStore

    model, store = load_model(resolve(Home.here(), options.model)), PatchStore.open(options.store)
    search = Search(options.starts, options.evaluations, options.encoder, options.red_first, options.seed)
    with progress_bar("reconstructing") as progress:
        found = run(model, store, options.out, search, count=options.count, by=options.by, progress=progress)
    say(report({"errors": found["errors"], "surprise of the prior": found["surprise of the prior"]}))
    say(f"codes, images and figures: {options.out}")
    return {"out": str(options.out), **found}
