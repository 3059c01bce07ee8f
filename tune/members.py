"""The trainings of a fraction sweep: one for every repeat, fold, share and variant of a recipe."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distgan.config.fraction_sections import FIXED, Fractions
from distgan.config.run_config import AnyRun, config_from_tables, flat_keys, set_key
from distgan.config.sections import Data
from distgan.data.batches import choose, open_store
from storage.errors import RecipeError
from storage.patches import PatchStore
from storage.shares import drawn
from storage.split import column_values

TRIES = 50
"""Seeds looked at for each repeat, before its subset is taken to be one of those there are already."""
Tables = dict[str, Any]


@dataclass(frozen=True)
class Member:
    """One training of a sweep.

    fold: "" if there is but one split.  labels: samples it trains on.  seed: of the subset and of the run.
    tables: its recipe.
    """

    share: float
    repeat: int
    fold: str
    variant: str
    labels: int
    seed: int
    tables: Tables

    @property
    def name(self) -> str:
        """Names its folder."""
        return str(self.tables["run"]["name"])

    @property
    def config(self) -> AnyRun:
        """Its recipe, checked."""
        return config_from_tables(self.tables, f"the recipe of {self.name}")

    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        return vars(self) | {"name": self.name}


@dataclass(frozen=True)
class Fold:
    """One way to hold samples out, and what is left to draw from.  keys: of the recipe."""

    name: str
    keys: Mapping[str, Any]
    groups: NDArray[np.str_]
    classes: NDArray[np.str_] | None


def members_of(
    tables: Tables, config: AnyRun, fractions: Fractions, resolve: Callable[[AnyRun], AnyRun] = lambda config: config
) -> list[Member]:
    """All trainings of a sweep: every share, fold and variant of a repeat before the next repeat.

    tables: of the recipe, as they were read.  resolve: names the very models that a recipe begins with.

    Raises RecipeError: a variant is no recipe; a share leaves a class without a sample; there are more repeats than
    distinct subsets.  Raises what `distgan.data.batches.choose` raises.
    """
    store = open_store(config.data)
    draw = {"rule": fractions.subset, "by": group_column(config, fractions), "classes": _classes(config, fractions)}
    folds = list(_folds(store, config, fractions, draw))
    seeds = _distinct_seeds(folds, fractions, config.run.seed)
    alone = {key: value for key, value in tables.items() if key not in ("fractions", "tune", "prepare")}
    variants = {name: resolve(_variant(alone, name, keys)).dump() for name, keys in fractions.variants.items()}
    for recipe in variants.values():
        recipe["data"]["store"] = str(store.path.absolute())
        if made := recipe["data"]["made"]:
            made["store"] = str(Path(made["store"]).absolute())
    found = []
    for (repeat, seed), fold, share in itertools.product(enumerate(seeds), folds, fractions.shares):
        labels = int(drawn(fold.groups, fold.classes, share, seed, fractions.subset).sum())
        for variant, recipe in variants.items():
            own = deepcopy(recipe)
            number = f"-f{folds.index(fold)}" if len(folds) > 1 else ""
            set_key(own, "run.name", f"{variant}-{share:g}-r{repeat:02d}{number}"[:64])
            set_key(own, "run.seed", seed)
            set_key(own, "run.workers", 1)
            set_key(own, "data.fraction", share)
            set_key(own, "data.draw", draw | {"seed": seed})
            if draw["by"]:
                set_key(own, "evaluate.groups", draw["by"])
            set_key(own, "evaluate.figures", fractions.keep == "all")
            for key, value in fold.keys.items():
                set_key(own, key, value)
            found.append(Member(share, repeat, fold.name, variant, labels, seed, own))
    assert len({one.name for one in found}) == len(found), "two trainings of one name"
    return found


def group_column(config: AnyRun, fractions: Fractions) -> str:
    """The column of groups; "" if every sample stands for itself."""
    return fractions.by or config.evaluate.groups or (config.data.split.by if config.data.split else "")


def _classes(config: AnyRun, fractions: Fractions) -> str:
    stratified = config.data.split.stratify if config.data.split else None
    return fractions.classes or stratified or next(iter(config.method.columns), "")


def _variant(tables: Tables, name: str, keys: Mapping[str, Any]) -> AnyRun:
    """The recipe with the keys of a variant, looked at."""
    own = deepcopy(tables)
    for key, value in flat_keys(keys):
        if key.startswith(FIXED):
            raise RecipeError(
                f"variant {name} sets {key}",
                "variants are compared on the same samples",
                "Take it out of [fractions.variants]",
            )
        set_key(own, key, value)
    return config_from_tables(own, f"variant {name}")


def _folds(store: PatchStore, config: AnyRun, fractions: Fractions, draw: Mapping[str, Any]) -> Iterator[Fold]:
    for name, keys in _splits(store, config, fractions):
        tables = config.data.model_dump(mode="json") | {"fraction": 1.0, "draw": None}
        rows = choose(store, Data.model_validate(tables | {key.removeprefix("data."): keys[key] for key in keys})).train
        columns = [
            np.asarray([str(value) for value in column_values(store.obs, column)])[rows] if column else None
            for column in (draw["by"], draw["classes"])
        ]
        groups = rows.astype(np.str_) if columns[0] is None else columns[0]
        yield Fold(name, keys, groups, columns[1])


def _splits(store: PatchStore, config: AnyRun, fractions: Fractions) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The name of every fold, and the keys of the recipe that make it."""
    split = config.data.split
    if fractions.leave_one_out:
        column = fractions.leave_one_out
        allowed = choose(store, config.data.model_copy(update={"split": None, "draw": None, "fraction": 1.0})).train
        values = column_values(store.obs, column)
        for value in sorted({str(values[row]) for row in allowed}):
            yield value, {"data.split": {"by": column, "leave_out": value}}
    elif fractions.folds is not None:
        if split is None:
            raise RecipeError("folds need groups", "no [data.split]", "Name the column to go by: data.split.by")
        kept = {key: value for key in ("by", "stratify", "seed") if (value := getattr(split, key)) is not None}
        for fold in range(fractions.folds):
            yield f"fold {fold}", {"data.split": kept | {"folds": fractions.folds, "fold": fold}}
    else:
        yield "", {}


def _distinct_seeds(folds: list[Fold], fractions: Fractions, first: int) -> list[int]:
    """The first seeds, from run.seed on, of which no two draw the same subset at any share below all."""
    shares = [share for share in fractions.shares if share < 1]
    seen: dict[tuple[str, float], set[bytes]] = {(fold.name, share): set() for fold in folds for share in shares}
    seeds: list[int] = []
    for seed in range(first, first + TRIES * fractions.repeats):
        if len(seeds) == fractions.repeats:
            break
        new = {
            (fold.name, share): drawn(fold.groups, fold.classes, share, seed, fractions.subset).tobytes()
            for fold in folds
            for share in shares
        }
        if twice := [place for place, subset in new.items() if subset in seen[place]]:
            scarce = twice[0]
            continue
        seeds.append(seed)
        for place, subset in new.items():
            seen[place].add(subset)
    if len(seeds) < fractions.repeats:
        where = f" of {scarce[0]}" if scarce[0] else ""
        raise RecipeError(
            "there are more repeats than distinct subsets",
            f"{fractions.repeats} repeats, and {len(seeds)} subsets that differ at a share of {scarce[1]:g}{where}",
            'Lower fractions.repeats, leave out that share, or draw sample by sample: fractions.subset = "paper"',
        )
    return seeds
