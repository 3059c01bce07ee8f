"""distgan regenerate: cells through both models of the integrated cell, and made again."""

import argparse
from pathlib import Path

from distgan.verbs import Result, Verbs, model_argument, say


def add(verbs: Verbs) -> None:
    """Add the verb of this file."""
    parser = verbs.verb("regenerate", regenerate)
    model_argument(parser)
    parser.add_argument("store", type=Path, help="patch store of cells")
    parser.add_argument("--out", type=Path, required=True, help="a .png to look at; a .csv of codes and errors beside")
    parser.add_argument("--rows", type=int, nargs="+", default=[0, 1, 2, 3], help="which cells of the store")
    parser.add_argument("--reference", help="the model of phase 1; by default the one that phase 2 began with")


def regenerate(options: argparse.Namespace) -> Result:
    """Pass cells through the models of phase 1 and 2, and make them again."""
    from cluster.home import Home
    from cluster.registry import resolve
    from distgan.inference.regenerate import regenerate as again
    from distgan.model import load_model
    from distgan.monitoring.terminal import table
    from storage.patches import PatchStore

    home = Home.here()
    model = load_model(resolve(home, options.model))
    began = model.config.init.get("reference_encoder")
    named = options.reference or (began and (began.address or began.model))
    reference = load_model(resolve(home, named)) if named else None
    lines = again(model, PatchStore.open(options.store), options.rows, options.out, reference)
    say(table([{name: value for name, value in line.items() if not name.startswith("z")} for line in lines]))
    say(f"{options.out}, and codes in {options.out.with_suffix('.csv')}")
    return {"out": str(options.out), "table": str(options.out.with_suffix(".csv")), "cells": lines}
