"""distgan train: a recipe, to its registered model."""

import argparse
import json
from typing import Any

from distgan.verbs import Result, Verbs, recipe_arguments, say


def add(verbs: Verbs) -> None:
    """Add the verb of this file."""
    parser = verbs.verb("train", train)
    recipe_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the complete recipe and stop")
    parser.add_argument("--profile", action="store_true", help="say where a step's time goes, and stop")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--strict", action="store_true", help="go on only where the same bits come out")


def train(options: argparse.Namespace) -> Result:
    """Train a recipe on Ray, track it, and register its model."""
    from distgan.config.run_config import read_config

    config = read_config(options.recipe, options.set)
    say("\n".join(f"{key} = {json.dumps(value)}" for key, value in config.flat().items()))
    if options.dry_run:
        return {"recipe": config.dump()}
    if options.profile:
        return _profiled(config)
    from cluster.home import Home
    from cluster.train import train as run_train
    from distgan.engine.checkpoint import Checkpoints
    from distgan.monitoring.terminal import training_progress

    home = Home.here()
    kept = Checkpoints(home.run(config.run.name) / "checkpoints", config.checkpoint.keep)
    with training_progress(config.run.name, config.run.images) as show:
        outcome = run_train(
            config,
            home,
            resume=options.resume,
            strict=options.strict,
            watch=lambda seen, metrics, chore: show(seen, metrics, kept.committed_images(), chore),
        )
    say(f"picture: {outcome.picture}\nrun:     {outcome.folder}\nmodel:   {outcome.model.address}")
    return {
        "run_id": outcome.run_id,
        "images_seen": outcome.images_seen,
        "state_sha256": outcome.state_sha256,
        "virtual_shards": outcome.virtual_shards,
        "checkpoint": str(outcome.checkpoint),
        "model": outcome.model.address,
        "metrics": outcome.metrics,
    }


def _profiled(config: Any) -> Result:
    import torch

    from distgan.monitoring.profiling import profile
    from distgan.monitoring.terminal import table

    device = torch.device("cuda" if torch.cuda.is_available() and config.run.gpus_per_worker else "cpu")
    parts = [vars(part) for part in profile(config, device)]
    say(table(parts))
    return {"profile": parts}
