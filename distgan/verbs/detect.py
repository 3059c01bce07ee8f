"""distgan detect: where a class is in whole images."""

import argparse
from pathlib import Path

from distgan.verbs import Result, Verbs, model_argument, positive, say


def add(verbs: Verbs) -> None:
    """Add the verb of this file."""
    parser = verbs.verb("detect", detect)
    model_argument(parser)
    parser.add_argument("store", type=Path, help="image store, or a patch store of whole images")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--stride", type=positive, default=4, help="pixels from one window to the next (4)")
    parser.add_argument(
        "--way", choices=("exact", "fast", "crops"), default="exact", help="how windows are computed: docs/detect.md"
    )
    parser.add_argument("--class", dest="wanted", default="", metavar="NAME", help="by default the positive one")
    parser.add_argument("--threshold", type=_share, default=0.8, help="of what is written as a box (0.8)")
    parser.add_argument("--subset", action="append", default=[], metavar="COLUMN=VALUE", help="only such images")
    parser.add_argument("--truth", type=Path, metavar="CSV", help="known boxes, to be judged by")


def detect(options: argparse.Namespace) -> Result:
    """Find a class in whole images: heat maps, boxes, and precision where the truth is known."""
    from cluster.home import Home
    from cluster.registry import resolve
    from distgan.inference.detect import detect as run_detect
    from distgan.model import load_model
    from distgan.monitoring.terminal import progress_bar, report

    subset: dict[str, list[str]] = {}
    for one in options.subset:
        subset.setdefault(one.partition("=")[0], []).append(one.partition("=")[2])
    model = load_model(resolve(Home.here(), options.model))
    with progress_bar(f"detecting in {options.store}") as progress:
        figures = run_detect(
            model,
            options.store,
            options.out,
            stride=options.stride,
            way=options.way,
            wanted=options.wanted,
            threshold=options.threshold,
            subset=subset,
            truth=options.truth,
            progress=progress,
        )
    say(report(figures))
    return {"out": str(options.out), **figures}


def _share(text: str) -> float:
    if not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return float(text)
