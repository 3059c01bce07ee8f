"""distgan interpolate: what a model makes on the way from one code to another."""

import argparse
from pathlib import Path
from typing import Any

from distgan.verbs import Result, Verbs, model_argument, positive, say


def add(verbs: Verbs) -> None:
    """Add the verb of this file."""
    parser = verbs.verb("interpolate", interpolate)
    model_argument(parser)
    parser.add_argument("--out", type=Path, required=True, help="new folder for a grid, a film, frames and codes")
    parser.add_argument("--store", type=Path, help="patch store to walk in; without it, between drawn codes")
    parser.add_argument("--from", dest="start", nargs="+", help="rows, or one COLUMN=VALUE; by default drawn rows")
    parser.add_argument("--to", dest="end", nargs="+", help="as many rows, or one COLUMN=VALUE")
    parser.add_argument("--count", type=positive, default=6, help="walks, where they are not named")
    parser.add_argument("--steps", type=positive, default=33, help="frames from one end to the other")
    parser.add_argument("--way", choices=("auto", "slerp", "lerp"), default="auto", help="auto: arcs of normal codes")
    parser.add_argument("--told", action="append", default=[], metavar="COLUMN=VALUE", help="to a conditional model")
    parser.add_argument("--stops", type=positive, default=2, help="codes of a walk, where they are not named")
    parser.add_argument("--by-size", action="store_true", help="walk from the smallest first channel to the largest")
    parser.add_argument("--cells", action="store_true", help="frames show the first channel with all classes on it")
    parser.add_argument("--red-only", action="store_true", help="walk in the first channel's codes; others follow")
    parser.add_argument("--evaluations", type=positive, default=100, help="to find a code, where no encoder is")
    parser.add_argument("--seed", type=int, default=0)


def interpolate(options: argparse.Namespace) -> Result:
    """Walk between drawn codes, samples or treatments: a grid, a film, and the frames."""
    from cluster.home import Home
    from cluster.registry import resolve
    from distgan.inference.interpolate import by_size, drawn
    from distgan.inference.interpolate import interpolate as walk
    from distgan.model import load_model
    from distgan.monitoring.terminal import progress_bar, report
    from storage.durable import require_nothing
    from storage.errors import RecipeError

    require_nothing(options.out)
    if options.store is None and (options.start or options.end):
        raise RecipeError("--from and --to name samples", "no --store", "Name the patch store they are in")
    if min(options.steps, options.stops) < 2:
        given = f"--steps {options.steps} --stops {options.stops}"
        raise RecipeError("a walk has two ends", given, "Take at least 2 of each")
    model = load_model(resolve(Home.here(), options.model))
    if options.store is None:
        told = dict(map(_named, options.told))
        walks = drawn(model, options.count, options.seed, told, stops=options.stops, cells=options.cells)
    else:
        with progress_bar("coding") as progress:
            walks = _in_store(options, model, progress)
    if options.by_size:
        walks = by_size(model, walks)
    keys = {name: getattr(options, name) for name in ("steps", "way", "red_only", "cells")}
    with progress_bar("interpolating") as progress:
        found = walk(model, walks, options.out, progress=progress, **keys)
    say(report(found))
    say(f"{len(walks.names)} walks: {options.out}")
    return {"out": str(options.out), "walks": list(walks.names), **found}


def _in_store(options: argparse.Namespace, model: Any, progress: Any) -> Any:
    """Walks between rows that are named or drawn, or between treatments."""
    import numpy as np

    from distgan.inference.interpolate import between_samples, between_treatments
    from distgan.inference.invert import Search
    from storage.errors import RecipeError
    from storage.patches import PatchStore

    store = PatchStore.open(options.store)
    search = Search(evaluations=options.evaluations, encoder=0, red_first=options.cells, seed=options.seed)
    start, end = options.start or [], options.end or []
    if any("=" in one for one in (*start, *end)):
        if len(start) != 1 or len(end) != 1:
            raise RecipeError("a treatment is walked to from one other", f"{start} to {end}", "Name one of each")
        return between_treatments(model, store, _named(start[0]), _named(end[0]), options.count, search, progress)
    if len(start) != len(end) or not all(one.isdigit() for one in (*start, *end)):
        raise RecipeError("walks go from a row to a row", f"{start} to {end}", "Name as many rows in --from and --to")
    if start:
        lines = [[int(one), int(other)] for one, other in zip(start, end, strict=True)]
    else:
        random = np.random.Generator(np.random.Philox(options.seed))
        rows = random.permutation(store.shape[0])
        lines = (
            rows[: min(options.count, len(rows) // options.stops) * options.stops].reshape(-1, options.stops).tolist()
        )
    return between_samples(model, store, lines, search, progress)


def _named(text: str) -> tuple[str, str]:
    """COLUMN=VALUE."""
    from storage.errors import RecipeError

    name, sign, value = text.partition("=")
    if not (name and sign):
        raise RecipeError(f"{text!r} names no column", "no COLUMN=VALUE", "Write such as compound=DMSO")
    return name, value
