"""distgan evaluate: how good is something that is finished."""

import argparse
from pathlib import Path
from typing import Any

from distgan.verbs import Result, Verbs, home, say


def add(verbs: Verbs) -> None:
    """Add the verb of this file."""
    parser = verbs.verb("evaluate", evaluate)
    parser.add_argument("score", help="one of distgan/scores, such as moa")
    parser.add_argument("target", help="a recipe (.toml), a model, a file, a store, or the name of a data set")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="such as moa.aggregate=median")
    parser.add_argument("--out", type=Path, help="write tables and figures to this new folder")


def evaluate(options: argparse.Namespace) -> Result:
    """Score profiles, samples or a model, by one of distgan/scores."""
    import os

    from distgan.monitoring.terminal import progress_bar, report
    from distgan.score import Asked
    from distgan.scores import load_score, read_settings
    from storage.durable import require_nothing

    if options.out:
        require_nothing(options.out)
    target, settings = read_settings(options.score, options.target, options.set)
    if target.startswith("models:"):
        from cluster.home import Home
        from cluster.registry import resolve

        target = str(resolve(Home.here(), target))
    cache = Path(os.environ.get("DISTGAN_DATA") or home() / "data")
    with progress_bar(f"scoring {target}") as progress:
        told = load_score(options.score).score(Asked(target, settings, cache, progress))
    say(report({name: value for name, value in told.facts.items() if name != "settings"}))
    if options.out:
        write(options.out, told)
        say(f"tables and figures: {options.out}")
    return {**told.facts, "out": str(options.out) if options.out else None}


def write(folder: Path, told: Any) -> None:
    """Facts, tables and figures as files of a new folder."""
    import json

    from pyarrow import csv

    from storage.durable import staged

    with staged(folder) as partial:
        (partial / "score.json").write_text(json.dumps(told.facts, indent=1) + "\n", encoding="utf-8")
        for name, table in told.tables.items():
            csv.write_csv(table, partial / f"{_file(name)}.csv")
        for name, draw in told.figures.items():
            draw().savefig(partial / f"{_file(name)}.png")


def _file(name: str) -> str:
    """A name as a file has it."""
    return "_".join("".join(one if one.isalnum() or one in "-." else " " for one in name).split())
