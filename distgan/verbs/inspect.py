"""distgan inspect and verify: what is in a store, and whether it is as it was written."""

import argparse
from pathlib import Path

from distgan.verbs import Result, Verbs, say, threads


def add(verbs: Verbs) -> None:
    """Add the verbs of this file."""
    verbs.verb("verify", verify).add_argument("store", type=Path, help="or a checkpoint, or a model")
    parser = verbs.verb("inspect", inspect)
    parser.add_argument("store", type=Path)
    parser.add_argument("--figure", type=Path, help="write a picture of it there")


def verify(options: argparse.Namespace) -> Result:
    """Read every byte of a store, checkpoint or model, and name what is not as it was written."""
    from distgan.monitoring.terminal import progress_bar, table
    from storage.verify import verify as run_verify

    with progress_bar(f"verifying {options.store}") as progress:
        faults = [vars(fault) for fault in run_verify(options.store, threads=threads(), progress=progress)]
    say(f"{len(faults):,} damaged:\n{table(faults)}" if faults else f"every byte of {options.store} is as written")
    return {"ok": not faults, "faults": faults}


def inspect(options: argparse.Namespace) -> Result:
    """Say what is in a store."""
    from distgan.data.inspection import inspect_store
    from distgan.monitoring.terminal import report

    facts = inspect_store(options.store, options.figure)
    say(report(facts))
    return facts
