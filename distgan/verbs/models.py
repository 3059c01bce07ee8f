"""distgan models list | show | promote | lineage: the registry."""

import argparse
from pathlib import Path
from typing import Any

from distgan.verbs import Result, Verbs, model_argument, say


def add(verbs: Verbs) -> None:
    """Add the verbs of this file."""
    models = verbs.group("models", "Registered models.")
    models.verb("list", models_list)
    model_argument(models.verb("show", models_show))
    promote = models.verb("promote", models_promote)
    promote.add_argument("model", help="a name, whose @candidate is meant, or models:/NAME@ALIAS or /VERSION")
    promote.add_argument("--to", required=True, metavar="ALIAS", help="such as champion")
    promote.add_argument("--on", type=Path, metavar="STORE", help="a patch store that neither model has seen")
    lineage = models.verb("lineage", models_lineage)
    lineage.add_argument("model", help="a name, whose @candidate is meant, or models:/NAME@ALIAS or /VERSION")


def models_list(options: argparse.Namespace) -> Result:
    """Print the registered models."""
    from cluster.home import Home
    from cluster.registry import list_versions
    from distgan.monitoring.terminal import table

    rows: list[dict[str, Any]] = [
        {"name": one.name, "version": one.version, "aliases": list(one.aliases), "digest": one.digest}
        for one in list_versions(Home.here())
    ]
    say(table([row | {"aliases": " ".join(row["aliases"]), "digest": row["digest"][:12]} for row in rows]))
    return {"models": rows}


def models_show(options: argparse.Namespace) -> Result:
    """Print a model's card: its data, its numbers beside their floors, its licence, its use."""
    from cluster.card import text
    from cluster.home import Home
    from cluster.registry import resolve
    from distgan.model import load_model

    model = load_model(resolve(Home.here(), options.model))
    say(f"{text(model.card)}\ndigest {model.digest}")
    return model.card | {"digest": model.digest}


def models_promote(options: argparse.Namespace) -> Result:
    """Give an alias to a model that is no worse than the one that has it, on the same images."""
    from dataclasses import asdict

    from cluster.home import Home
    from cluster.promotion import promote, shown

    found = promote(Home.here(), options.model, options.to, options.on)
    beside = f", before it {shown(found.champion)}, on {found.images:,} images" if found.champion else ", the first"
    say(f"{options.to}: {shown(found.challenger)}{beside} ({found.metric})")
    return asdict(found)


def models_lineage(options: argparse.Namespace) -> Result:
    """Print where a model comes from, down to the raw files, and what came of it."""
    from cluster.home import Home
    from cluster.lineage import lineage
    from distgan.monitoring.terminal import report

    found = lineage(Home.here(), options.model)
    say(report(found))
    return found
