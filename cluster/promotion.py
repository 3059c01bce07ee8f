"""The gate before an alias such as `champion`: a model passes if it is shown to be no worse than the one that has it.

Both are measured on the same frozen images: those that the champion's recipe holds out, or a store by itself.  A digest
of the store and the rows names them.  The rule:

    the bad end of the challenger's interval is no worse than the champion's value

so that a model that is worse passes seldom (one time in forty or less, for intervals of 95 %), and one that only may be
better does not.  Where a number has no interval, the values are compared.  The first model under an alias passes if its
own numbers are whole: finite, with an interval, with a floor or a baseline beside them.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cluster.card import headline, numbers
from cluster.home import Home
from cluster.registry import Version, find, list_versions, resolve
from cluster.tracking import answering, connect
from distgan.data.batches import Feed, choose, counted, known_of, open_store, sample_of
from distgan.engine.distributed import Group
from distgan.engine.task import Task
from distgan.evaluation import Evaluation, Sets
from distgan.evaluations import load_evaluation
from distgan.evaluations.kid import FEATURES
from distgan.model import KIND, Model, load_model
from storage.errors import DistganError, GateError, RecipeError
from storage.leakage import leaks
from storage.manifest import read_manifest
from storage.names import safe_name
from storage.patches import PatchStore

TAG = "distgan.promoted."
"""Before the alias: what was found when a version got it."""


@dataclass(frozen=True)
class Measured:
    """A number of a model, and the ends of its interval, if it has one."""

    model: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Promotion:
    """How a challenger got an alias.  frozen: digest of the images both were measured on.  champion: None if first."""

    alias: str
    metric: str
    lower: bool
    frozen: str
    images: int
    challenger: Measured
    champion: Measured | None


def promote(home: Home, address: str, alias: str, on: Path | None = None) -> Promotion:
    """Give an alias to a model, if it is no worse than the one that has it.

    address: models:/NAME@ALIAS, models:/NAME/VERSION, or a name, whose @candidate is meant.  on: a patch store that
    neither has seen, instead of what the champion's recipe holds out.

    Raises GateError: it is worse, or not shown to be no worse, or its numbers are not whole.  Raises RecipeError: the
    two cannot be compared, or one has seen the images.  Raises MissingError, DataError, ServiceError.
    """
    safe_name(alias, "an alias")
    challenger = find(home, address if address.startswith("models:") else f"models:/{address}@candidate")
    champion = next((one for one in list_versions(home, challenger.name) if alias in one.aliases), None)
    model = load_model(resolve(home, challenger.address))
    if champion is None:
        found = _first(challenger, model, alias)
    elif champion.version == challenger.version:
        raise GateError(f"{challenger.address} is {alias} already", "there is nothing to compare", "Name another model")
    else:
        found = _compared(home, challenger, model, champion, alias, on)
        _judge(found)
    with answering(home):
        client = connect(home)
        version = str(challenger.version)
        client.set_model_version_tag(challenger.name, version, f"{TAG}{alias}", json.dumps(asdict(found)))
        client.set_registered_model_alias(challenger.name, alias, version)
    return found


def no_worse(challenger: Measured, champion: Measured, *, lower: bool) -> bool:
    """The rule."""
    bad_end = challenger.high if lower else challenger.low
    bound = challenger.value if bad_end is None else bad_end
    return bound <= champion.value if lower else bound >= champion.value


def _judge(found: Promotion) -> None:
    assert found.champion is not None, "the first one has nobody to be compared with"
    if no_worse(found.challenger, found.champion, lower=found.lower):
        return
    worse = (
        found.challenger.value > found.champion.value
        if found.lower
        else (found.challenger.value < found.champion.value)
    )
    raise GateError(
        f"{found.challenger.model} {'is worse than' if worse else 'is not shown to be no worse than'} "
        f"{found.champion.model}, and does not become {found.alias}",
        f"{found.metric} ({'less' if found.lower else 'more'} is better) on the same {found.images:,} images: "
        f"{shown(found.challenger)} and {shown(found.champion)}",
        "Train on, or judge both on more images by --on STORE",
    )


def shown(one: Measured) -> str:
    """A number with its interval."""
    interval = "" if one.low is None or one.high is None else f" [{one.low:.4g}, {one.high:.4g}]"
    return f"{one.model} {one.value:.4g}{interval}"


def _first(challenger: Version, model: Model, alias: str) -> Promotion:
    metric, lower = headline(model.card["recipe"])
    known = numbers(model.card["metrics"], metric)
    beside = known.keys() - {metric, f"{metric}_low", f"{metric}_high"}
    wanted = (metric, f"{metric}_low", f"{metric}_high")
    if missing := [name for name in wanted if not math.isfinite(known.get(name, math.nan))]:
        found = f"{', '.join(missing)} is not among its numbers"
    elif not beside:
        found = f"nothing stands beside its {metric}: no floor, no baseline"
    else:
        value = _measured(challenger.address, known, metric)
        return Promotion(alias, metric, lower, str(model.card["patch_store"]), 0, value, None)
    raise GateError(
        f"{challenger.address} cannot be the first {alias}: its numbers are not whole",
        found,
        "Train it with held-out images (data.split) and evaluate.metrics that give intervals",
    )


def _compared(
    home: Home, challenger: Version, model: Model, champion: Version, alias: str, on: Path | None
) -> Promotion:
    """Both on the same images, by the first evaluation of the champion's recipe."""
    judge = load_model(resolve(home, champion.address))
    metric, lower = headline(judge.card["recipe"])
    with _frozen(home, judge, model, champion.digest, on) as (sets, name):
        evaluation = load_evaluation(judge.config.evaluate.metrics[0])(sets)
        pair = [
            _measured(version.address, _found(evaluation, one), metric)
            for version, one in ((challenger, model), (champion, judge))
        ]
        assert sets.held_out is not None
        return Promotion(alias, metric, lower, name, len(sets.held_out.store_rows), pair[0], pair[1])


def _found(evaluation: Evaluation, model: Model) -> dict[str, float]:
    with torch.no_grad():
        return evaluation.measure(model.method)


def _measured(model: str, found: Mapping[str, float], metric: str) -> Measured:
    if not math.isfinite(found.get(metric, math.nan)):
        raise GateError(
            f"{model} has no {metric}",
            f"what was measured is {', '.join(sorted(found))}",
            "Name one of these in evaluate.best of the champion's recipe, or judge on another store by --on STORE",
        )
    return Measured(model, found[metric], found.get(f"{metric}_low"), found.get(f"{metric}_high"))


@contextmanager
def _frozen(home: Home, judge: Model, other: Model, digest: str, on: Path | None) -> Iterator[tuple[Sets, str]]:
    """The images both are judged on, and the digest that names them."""
    config = judge.config
    store = _store(judge)
    for one in (judge, other):
        one.check_samples(store)
    columns, labels = (
        tuple(dict.fromkeys([*getattr(config.method, name), *getattr(other.config.method, name)]))
        for name in ("columns", "labels")
    )
    sample = sample_of(store, config.data, columns, labels)
    for name, classes in other.method.sample.classes.items():
        if sample.classes.get(name, classes) != classes:
            raise RecipeError(
                "the two models do not know the same classes",
                f"of {name}: {', '.join(classes)}, and {', '.join(sample.classes[name])}",
                "Compare models of one question",
            )
    chosen = choose(store, config.data)
    if on is None and not len(chosen.held_out):
        raise RecipeError(
            "there is nothing to judge on", "the champion's recipe holds nothing out", "Give a store by --on STORE"
        )
    of = PatchStore.open(on) if on else store
    rows = np.arange(len(of.obs)) if on else chosen.held_out
    name = hashlib.sha256(
        f"{of.digest} {config.evaluate.metrics[0]}".encode() + rows.astype("<i8").tobytes()
    ).hexdigest()
    for one in (judge, other) if on else (other,):
        judge.check_samples(of)
        _check_unseen(one, of, rows, judge)
    folder = home.path / "promotions" / name[:16]
    folder.mkdir(parents=True, exist_ok=True)
    _keep_features(home, judge, digest, folder)
    task = Task(config, folder, store, chosen, counted(store, chosen.train, sample))
    with closing(task.feed(Group(), torch.device("cpu"))) as feed:
        sets = task.sets(feed)
        if on:
            known = known_of(of, rows, task.sample)
            sets = replace(sets, held_out=Feed(of, rows, sets.seed, feed.device, known=known))
        yield replace(sets, validation=None, samples=max(sets.samples, 100)), name


def _store(model: Model) -> PatchStore:
    """The store a model was trained on.  Raises RecipeError: it is another by now.  Raises MissingError."""
    store = open_store(model.config.data)
    if store.digest != model.card["patch_store"]:
        raise RecipeError(
            "the store of a model is no longer the one it was trained on",
            f"{store.path} has digest {store.digest[:12]}..., and it was {model.card['patch_store'][:12]}...",
            "Put that store back: what a model has seen must be known before it is judged",
        )
    return store


def _check_unseen(model: Model, of: PatchStore, rows: Any, judge: Model) -> None:
    """Raise RecipeError where a model has learnt from the images, or was chosen by them."""
    store = _store(model)
    chosen = choose(store, model.config.data)
    seen = store.obs.take(np.concatenate([chosen.train, chosen.validation]))
    asked = of.obs.take(rows)
    split = judge.config.data.split
    alike = store.manifest.facts["source"] == of.manifest.facts["source"]
    columns = [split.by] if split and alike and {split.by} <= {*seen.column_names} & {*asked.column_names} else []
    found = leaks(seen, asked, columns)
    if found.equal or any(found.groups.values()):
        shared = ", ".join(f"{count} {name}" for name, count in found.groups.items() if count) or "no groups"
        raise RecipeError(
            f"{model.config.run.name} has seen images that it would be judged on",
            f"{found.equal} of {len(rows)} equal one of its own in every pixel; both have {shared}",
            "Train it with the champion's [data.split], or judge both on a new store by --on STORE",
        )


def _keep_features(home: Home, judge: Model, digest: str, folder: Path) -> None:
    """The features of the champion's run, where it lies here, so that its numbers are those it was registered with."""
    run = home.run(judge.config.run.name)
    if (folder / FEATURES).exists() or not (run / FEATURES).exists():
        return
    try:
        same = read_manifest(run / "model", KIND).digest == digest
    except DistganError:
        return
    if same:
        shutil.copy(run / FEATURES, folder / FEATURES)
