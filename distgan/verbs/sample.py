"""distgan sample: images made by a model."""

import argparse
from pathlib import Path

from distgan.verbs import Result, Verbs, model_argument, positive, say


def add(verbs: Verbs) -> None:
    """Add the verb of this file."""
    parser = verbs.verb("sample", sample)
    model_argument(parser)
    parser.add_argument("--out", type=Path, required=True, help="a .png to look at; .npy or .tif for values")
    parser.add_argument("--count", type=positive, default=64)
    parser.add_argument("--seed", type=int, default=0)


def sample(options: argparse.Namespace) -> Result:
    """Write images made by a model."""
    from cluster.home import Home
    from cluster.registry import resolve
    from distgan.inference.sample import write_samples
    from distgan.model import load_model
    from distgan.terminal import progress_bar

    model = load_model(resolve(Home.here(), options.model))
    with progress_bar("sampling") as progress:
        shape = write_samples(model, options.out, options.count, options.seed, progress)
    say(f"{shape[0]} images: {options.out}")
    return {"out": str(options.out), "shape": list(shape)}
