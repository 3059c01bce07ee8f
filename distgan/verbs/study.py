"""distgan study make | score: can people tell made images from real ones?"""

import argparse
from pathlib import Path

from distgan.verbs import Result, Verbs, positive, say


def add(verbs: Verbs) -> None:
    """Add the verbs of this file."""
    study = verbs.group("study", "Whether people can tell made images from real ones.")
    make = study.verb("make", study_make)
    make.add_argument("--real", type=Path, required=True, help="patch store, or folder of images")
    make.add_argument("--made", required=True, help="a model, a patch store, or a folder of images")
    make.add_argument("--out", type=Path, required=True, help="new folder for the page and its key")
    make.add_argument("--number", type=positive, default=100, help="images that are judged")
    make.add_argument("--share", type=float, default=0.5, help="of them made ones")
    make.add_argument("--examples", type=int, default=0, help="more images, shown before with the truth")
    shown = make.add_mutually_exclusive_group()
    shown.add_argument("--labels", action="store_true", help="show label images, of the store and of the model")
    shown.add_argument("--cells", action="store_true", help="show labels of single cells, each by itself")
    shown.add_argument("--pairs", action="store_true", help="show images with their label images beside them")
    make.add_argument("--seconds", type=float, default=0.0, help="for which an image is shown; 0 is until judged")
    make.add_argument("--title", default="Real or generated?")
    make.add_argument("--seed", type=int, default=0)
    score = study.verb("score", study_score)
    score.add_argument("folder", type=Path, help="what study make has written")
    score.add_argument("answers", type=Path, nargs="+", help="files that people sent back")
    score.add_argument("--out", type=Path, help="write tables and figure to this new folder")


def study_make(options: argparse.Namespace) -> Result:
    """Write a page that shows real and made images, and the key to it."""
    from cluster.home import Home
    from cluster.registry import resolve
    from distgan.data.image_sets import is_model, open_images
    from distgan.model import load_model
    from distgan.study.labels import cell_sets, label_sets, pair_sets
    from distgan.study.panel import KEY, PAGE, Panel, write_study
    from storage.durable import require_nothing

    require_nothing(options.out)
    address = options.made
    path = resolve(Home.here(), address) if address.startswith("models:") else Path(address)
    real, made = open_images(options.real), load_model(path) if is_model(path) else open_images(path)
    for wanted, sets in ((options.labels, label_sets), (options.cells, cell_sets), (options.pairs, pair_sets)):
        if wanted:
            real, made = sets(real, made, options.number + options.examples, options.seed)
    panel = Panel(options.number, options.share, options.examples, options.seconds, options.title, options.seed)
    facts = write_study(real, made, panel, options.out)
    say(f"{facts['number']} images, {facts['made']} of them made; give people {options.out / PAGE}, and keep {KEY}")
    return {**facts, "out": str(options.out)}


def study_score(options: argparse.Namespace) -> Result:
    """Say how well people told made images from real ones."""
    from distgan.monitoring.terminal import report
    from distgan.study.answers import read_answers
    from distgan.study.results import results
    from distgan.verbs.evaluate import write
    from storage.durable import require_nothing

    if options.out:
        require_nothing(options.out)
    told = results(read_answers(options.folder, options.answers))
    say(report(told.facts))
    if options.out:
        write(options.out, told)
        say(f"tables and figure: {options.out}")
    return {**told.facts, "out": str(options.out) if options.out else None}
