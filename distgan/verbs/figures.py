"""distgan figures: the figures of a paper, from runs of ours."""

import argparse
from pathlib import Path

from distgan.verbs import Result, Verbs, recipe_arguments, say


def add(verbs: Verbs) -> None:
    """Add the verb of this file."""
    parser = verbs.verb("figures", figures)
    recipe_arguments(parser)
    parser.add_argument("--out", type=Path, help="the new folder to write, by default figures_PAPER")


def figures(options: argparse.Namespace) -> Result:
    """Draw the figures of a paper from models, runs and sweeps of ours."""
    from functools import cache, partial

    from cluster.home import Home
    from cluster.registry import resolve
    from distgan.figures import read_settings
    from distgan.monitoring.terminal import progress_bar
    from distgan.plots.figure_set import Asked, write_set

    paper, settings = read_settings(options.recipe, options.set)
    here, out = Home.here(), options.out or Path(f"figures_{settings.paper}")
    with progress_bar(f"drawing {out}") as progress:
        asked = Asked(settings, cache(partial(resolve, here)), here.path)
        found = write_set(out, paper.HEADING, paper.PARTS, asked, progress)
    for one in found["left_out"]:
        say(f"left out: {one['title']}: {one['reason']}")
    say(f"{len(found['figures'])} figures: {out / 'index.html'}")
    return {"out": str(out), **found}
