"""The space of a search: points drawn from it, and the recipe each of them makes."""

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from distgan.config.run_config import AnyRun, Tables, config_from_tables, set_key
from distgan.config.search_sections import POPULATION, Domain, Tune, Value
from storage.errors import RecipeError

Point = dict[str, Value]
"""A value for every key that is set, in the order of the space."""
Choose = Callable[[str, Domain], Value]
CHECKED = 200
"""So many points are tried before a search starts."""
KEPT = 4


class Space:
    """The `[tune]` table of a recipe, and the recipe around it.

    tables: of the whole recipe, as read, with neither preset nor defaults in them: a point may change the preset.
    """

    def __init__(self, tables: Tables, tune: Tune) -> None:
        self.tables = {name: table for name, table in tables.items() if name not in ("tune", "fractions")}
        self.whole, self.tune = tables, tune
        plain = config_from_tables(self.tables, "the recipe")
        self.plain = plain.flat()
        self.images = tune.images_per_trial or plain.run.images
        self.grace = min(tune.grace_images or max(self.images // 9, 1), self.images)
        self.shards = plain.run.virtual_shards
        self.name = plain.run.name

    def point(self, choose: Choose) -> Point:
        """The values chosen for each key, without the keys whose conditions do not hold."""
        point: Point = {}
        for key, domain in self.tune.space.items():
            if all(_holds(point.get(name, self.plain.get(name)), wanted) for name, wanted in domain.when.items()):
                point[key] = choose(key, domain)
        return point

    def random(self, number: int) -> Point:
        """The point of this number: the same whenever it is drawn."""
        random = np.random.Generator(np.random.Philox(key=[self.tune.seed, number]))
        return self.point(lambda _, domain: _drawn(domain, random))

    def grid(self) -> list[Point]:
        """All points of a space whose values can be counted, each once; the last key changes fastest."""
        keys = list(self.tune.space)
        found: dict[str, Point] = {}
        for one in itertools.product(*(domain.finite or () for domain in self.tune.space.values())):
            values = dict(zip(keys, one, strict=True))
            point = self.point(lambda key, _: values[key])  # noqa: B023 - it is called at once
            found.setdefault(repr(point), point)
        return list(found.values())

    def config(self, point: Mapping[str, Value], number: int) -> AnyRun:
        """The recipe of a trial.  Raises RecipeError: it cannot be meant."""
        tables = copy.deepcopy(self.tables)
        for key, value in point.items():
            set_key(tables, key, value)
        set_key(tables, "run.name", f"{self.name}-{number:04d}")
        set_key(tables, "run.images", self.images)
        set_key(tables, "run.workers", self.tune.workers_per_trial)
        if "virtual_shards" not in tables["run"]:  # it follows the workers of the recipe, not those of the trial
            set_key(tables, "run.virtual_shards", self.shards)
        if self.tune.scheduler in POPULATION:  # what others may copy is kept longer
            set_key(tables, "checkpoint.keep", max(self.plain["checkpoint.keep"], KEPT))
        return config_from_tables(tables, f"the point {describe(point)}")

    def check(self) -> None:
        """Try many points.  Raises RecipeError: one makes no recipe; it is named, with the recipe's complaint."""
        for point in itertools.chain(self._corners(), map(self.random, range(CHECKED))):
            try:
                self.config(point, 0)
            except RecipeError as error:
                raise RecipeError(
                    "the space can make recipes that cannot be meant",
                    f"{error.found}; for example at {describe(point)}",
                    "Change [tune.space]: other bounds, or `when` for keys that go together",
                ) from None

    def _corners(self) -> Iterator[Point]:
        """The ends of every domain, all low or all high."""
        for end in (0, -1):
            yield self.point(lambda _, domain: _end(domain, end))  # noqa: B023 - it is called at once


def describe(point: Mapping[str, Value]) -> str:
    """`optimizer.lr = 0.0001, method.width = 8`."""
    return ", ".join(
        f"{key} = {value:.4g}" if isinstance(value, float) else f"{key} = {value}" for key, value in point.items()
    )


def _holds(found: Any, wanted: Value | tuple[Value, ...]) -> bool:
    return found in wanted if isinstance(wanted, tuple) else found == wanted


def _drawn(domain: Domain, random: np.random.Generator) -> Value:
    if domain.uniform is not None:
        return float(random.uniform(*domain.uniform))
    if domain.loguniform is not None:
        low, high = domain.loguniform
        return min(max(math.exp(random.uniform(math.log(low), math.log(high))), low), high)
    values = domain.finite
    assert values is not None
    return values[int(random.integers(len(values)))]


def _end(domain: Domain, end: int) -> Value:
    values = domain.uniform or domain.loguniform or domain.finite
    assert values
    return values[end]
