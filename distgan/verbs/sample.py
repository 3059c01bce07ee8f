"""distgan sample: images made by a model."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from distgan.verbs import Result, Verbs, model_argument, positive, say


def add(verbs: Verbs) -> None:
    """Add the verb of this file."""
    parser = verbs.verb("sample", sample)
    model_argument(parser)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="a .png to look at; .npy or .tif for values; .zarr for images with labels; a store of a large plane",
    )
    parser.add_argument("--count", type=positive, default=64, help="images; with --hold, reds")
    parser.add_argument("--size", type=_size, help="HEIGHTxWIDTH of one plane of tissue with its labels, as OME-Zarr")
    parser.add_argument("--labels", type=Path, help="image store of one plane, whose label images are made an image")
    parser.add_argument("--hold", choices=("red",), help="draw the other channels of each red again and again")
    parser.add_argument("--draws", type=positive, default=8, help="for each red, with --hold")
    parser.add_argument("--store", type=Path, help="with --hold: patch store of real cells to compare with")
    parser.add_argument("--seed", type=int, default=0)


def sample(options: argparse.Namespace) -> Result:
    """Write images made by a model, many answers to one red, or one large plane of tissue."""
    from cluster.home import Home
    from cluster.registry import resolve
    from distgan.inference.sample import write_samples
    from distgan.model import load_model
    from distgan.monitoring.terminal import progress_bar

    model = load_model(resolve(Home.here(), options.model))
    if options.size or options.labels:
        return _plane(options, model)
    if options.hold:
        return _held(options, model)
    with progress_bar("sampling") as progress:
        shape = write_samples(model, options.out, options.count, options.seed, progress)
    say(f"{shape[0]} images: {options.out}")
    return {"out": str(options.out), "shape": list(shape)}


def _held(options: argparse.Namespace, model: Any) -> Result:
    from distgan.inference.hold import diversity, held, look_alikes, write_held
    from distgan.monitoring.terminal import progress_bar, report
    from storage.errors import RecipeError
    from storage.patches import PatchStore

    if options.draws < 2 or options.count < 2:
        raise RecipeError(
            "draws are compared with each other",
            f"--count {options.count} --draws {options.draws}",
            "Take two of each, or more",
        )
    store = PatchStore.open(options.store) if options.store else None
    with progress_bar("sampling") as progress:
        found = held(model, options.count, options.draws, options.seed, store, progress)
    shape = write_held(model, found, options.out)
    rows = diversity(found) + (look_alikes(model, store) if store else [])
    say(report({"mean difference of two draws [of white]": rows}))
    say(f"{shape[1]} draws of each of {shape[0]} reds: {options.out}")
    return {"out": str(options.out), "shape": list(shape), "diversity": rows}


def _plane(options: argparse.Namespace, model: Any) -> Result:
    from distgan.inference.large import write_plane
    from distgan.monitoring.terminal import progress_bar
    from storage.errors import RecipeError

    if options.size and options.labels:
        raise RecipeError("a plane has the size of its labels", "--size and --labels", "Give one of them")
    with progress_bar("sampling") as progress:
        shape, seams = write_plane(model, options.out, options.seed, options.size, options.labels, progress)
    channels, height, width = shape
    say(f"{channels} x {height} x {width} with label images: {options.out}")
    if seams:
        say(
            f"borders of tiles against other lines: gradient {seams.gradient:.3f} (z {seams.gradient_z:+.1f}), "
            f"jump {seams.jump:.3f} (z {seams.jump_z:+.1f})"
        )
    return {"out": str(options.out), "shape": list(shape), "seams": dataclasses.asdict(seams) if seams else None}


def _size(text: str) -> tuple[int, int]:
    """4096x4096, or 4096 for a square, for argparse."""
    height, _, width = text.partition("x")
    return positive(height), positive(width or height)
