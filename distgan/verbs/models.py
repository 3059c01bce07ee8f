"""distgan models list | show: the registry."""

import argparse

from distgan.verbs import Result, Verbs, model_argument, say


def add(verbs: Verbs) -> None:
    """Add the verbs of this file."""
    models = verbs.group("models", "Registered models.")
    models.verb("list", models_list)
    model_argument(models.verb("show", models_show))


def models_list(options: argparse.Namespace) -> Result:
    """Print the registered models."""
    from cluster.home import Home
    from cluster.registry import list_versions
    from distgan.terminal import table

    rows = [
        {"name": one.name, "version": one.version, "aliases": list(one.aliases), "digest": one.digest}
        for one in list_versions(Home.here())
    ]
    say(table([row | {"aliases": " ".join(row["aliases"]), "digest": row["digest"][:12]} for row in rows]))  # type: ignore[arg-type, index]
    return {"models": rows}


def models_show(options: argparse.Namespace) -> Result:
    """Print what a model says of itself."""
    from cluster.home import Home
    from cluster.registry import resolve
    from distgan.model import load_model

    model = load_model(resolve(Home.here(), options.model))
    card = model.card | {"digest": model.digest}
    say("\n".join(f"{key}: {value}" for key, value in card.items() if key != "recipe"))
    return card
