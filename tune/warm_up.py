"""Before a sweep: every variant trains for some steps, which shows that it can, and what the sweep will cost."""

import difflib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from distgan.config.run_config import config_from_tables, set_key
from distgan.evaluations.kid import FEATURES
from distgan.model import CARD
from storage.durable import write_file
from storage.errors import DistganError, RecipeError
from tune.packed import FAILURE, PLAN, train_here

FACTS = "warm-up.json"
FEW, MORE = 2, 22
"""Steps of the two runs that are compared; the fewer tell what a training costs besides its steps."""


def warm_up(sweep: Path) -> None:
    """Time the largest training of each variant; writes warm-up.json, and the features for all, or failure.json."""
    plan = json.loads((sweep / PLAN).read_text(encoding="utf-8"))
    metric = plan["recipe"]["fractions"]["metric"]
    facts = {}
    try:
        for one in _largest(plan["members"]):
            facts[one["variant"]] = _timed(sweep, one, metric)
    except DistganError as error:
        write_file(sweep / FAILURE, json.dumps(error.as_dict()).encode())
        return
    finally:
        shutil.rmtree(sweep / "warm-up", ignore_errors=True)
    write_file(sweep / FACTS, json.dumps(facts).encode())


def _largest(members: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first member of each variant at its largest share."""
    share = max(one["share"] for one in members)
    first: dict[str, Mapping[str, Any]] = {}
    for one in members:
        if one["share"] == share:
            first.setdefault(one["variant"], one)
    return list(first.values())


def _timed(sweep: Path, member: Mapping[str, Any], metric: str) -> dict[str, float]:
    batch = member["tables"]["run"]["batch_size"]
    if not (sweep / FEATURES).exists():
        _trained(sweep, member["tables"], FEW * batch)
    few, metrics = _trained(sweep, member["tables"], FEW * batch)
    if metric not in metrics:
        near = difflib.get_close_matches(metric, metrics, 1)
        raise RecipeError(
            f"no training reports {metric!r}",
            f"variant {member['variant']} reports {', '.join(sorted(metrics))}",
            f"Set fractions.metric to {near[0]!r}" if near else "Set fractions.metric to one of these",
        )
    more, _ = _trained(sweep, member["tables"], MORE * batch)
    each = max(more - few, 0.0) / ((MORE - FEW) * batch)
    return {"seconds_per_image": each, "other_seconds": max(few - FEW * batch * each, 0.0)}


def _trained(sweep: Path, tables: Mapping[str, Any], images: int) -> tuple[float, dict[str, float]]:
    """Seconds of a short training, and what it reports; the first leaves its features to all others."""
    own, folder = json.loads(json.dumps(tables)), sweep / "warm-up"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    set_key(own, "run.images", images)
    if (sweep / FEATURES).exists():
        shutil.copyfile(sweep / FEATURES, folder / FEATURES)
    began = time.monotonic()
    train_here(config_from_tables(own, "the warm-up"), folder)
    seconds = time.monotonic() - began
    if (folder / FEATURES).exists() and not (sweep / FEATURES).exists():
        write_file(sweep / FEATURES, (folder / FEATURES).read_bytes())
    return seconds, json.loads((folder / "model" / CARD).read_text(encoding="utf-8"))["metrics"]


def seconds_of(member: Mapping[str, Any], facts: Mapping[str, Mapping[str, float]]) -> float:
    """About how long a training takes."""
    one = facts[member["variant"]]
    return one["other_seconds"] + member["tables"]["run"]["images"] * one["seconds_per_image"]


def preview(members: Sequence[Mapping[str, Any]], left: int, facts: Mapping[str, Any], slots: int) -> str:
    """What a sweep will cost, in words.  left: trainings that have not ended."""
    images = sum(one["tables"]["run"]["images"] for one in members)
    counts = [
        f"{len(values)} {axis}{'' if len(values) == 1 else 's'}"
        for axis in ("share", "repeat", "fold", "variant")
        if (values := {one[axis] for one in members})
    ]
    seconds = sum(seconds_of(one, facts) for one in members) * left / len(members) / slots
    so_far = "" if left == len(members) else f", of which {left:,} are left"
    return (
        f"{len(members):,} trainings ({' x '.join(counts)}), {images:,} images in all{so_far}; "
        f"about {timedelta(seconds=round(seconds))} with {slots} at once"
    )
