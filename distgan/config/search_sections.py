"""`[tune]`: which settings are best, found by training many."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from distgan.config.sections import Section, Seed

Value = bool | int | float | str
Direction = Literal["min", "max"]
PAUSING = ("hyperband", "pbt", "pb2")
"""Schedulers that interrupt trials and compare all there are."""
POPULATION = ("pbt", "pb2")
"""Schedulers that change the settings of trials while they train."""
KINDS = {"uniform", "loguniform", "int", "choice", "grid", "when"}
FIXED = ("run.name", "run.images", "run.workers", "tune", "fractions", "cluster", "register")
"""What no trial may have of its own."""


class Domain(Section):
    """The values of one key of the recipe: exactly one of the first five.

    uniform, loguniform: [low, high].  int: [low, high], both included.  choice: a list.  grid: a list, of which the
    grid search tries all.  when: the key is set only where these keys have these values (or one of a list of values).
    """

    uniform: tuple[float, float] | None = None
    loguniform: tuple[float, float] | None = None
    integer: tuple[int, int] | None = Field(None, alias="int")
    choice: tuple[Value, ...] | None = Field(None, min_length=1)
    grid: tuple[Value, ...] | None = Field(None, min_length=1)
    when: dict[str, Value | tuple[Value, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_one_kind(self) -> Self:
        kinds = (self.uniform, self.loguniform, self.integer, self.choice, self.grid)
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError("it has exactly one of uniform, loguniform, int, choice and grid")
        bounds = self.uniform or self.loguniform or self.integer
        if bounds and not bounds[0] < bounds[1]:
            raise ValueError("[low, high] wants low below high")
        if self.loguniform and self.loguniform[0] <= 0:
            raise ValueError("loguniform wants numbers above 0")
        return self

    @property
    def finite(self) -> tuple[Value, ...] | None:
        """All values, if they can be counted."""
        if self.integer is not None:
            return tuple(range(self.integer[0], self.integer[1] + 1))
        return self.choice if self.choice is not None else self.grid


class Tune(Section):
    """`[tune]`: the recipe is trained again and again, with values of `space` in place of its own.

    space: by dotted key, as --set takes it.  objective: a metric of metrics.jsonl, or several; direction: whether it
    should be small or large.  trials: how many; the grid search makes as many as the grid has points.
    images_per_trial: in place of run.images.  images: of all trials together; when they are spent, no more are begun.
    workers_per_trial: in place of run.workers.  concurrency: trials at a time; by default as many as there is room for.
    searcher: "grid", "random", or Optuna's "tpe" or "cmaes".  seed: of the searcher.  scheduler: what ends trials early
    ("asha", "hyperband", "median"), or lets the worst go on from copies of the best ("pbt", "pb2").
    grace_images: no trial is stopped before, and none is copied; by default a ninth of images_per_trial.
    reduction: one of so many goes on ("asha", "hyperband").  every_images: how often a population is compared.
    effects: metrics of which a table says how much each key of the space moves them.
    """

    space: dict[str, Domain] = Field(min_length=1)
    objective: str | tuple[str, ...] = "kid"
    direction: Direction | tuple[Direction, ...] = "min"
    trials: int | None = Field(None, ge=1)
    images_per_trial: int | None = Field(None, gt=0)
    images: int | None = Field(None, gt=0)
    workers_per_trial: int = Field(1, ge=1)
    concurrency: int | None = Field(None, ge=1)
    searcher: Literal["grid", "random", "tpe", "cmaes"] = "random"
    scheduler: Literal["none", "asha", "hyperband", "median", "pbt", "pb2"] = "none"
    seed: Seed = 0
    grace_images: int | None = Field(None, gt=0)
    reduction: int = Field(3, ge=2)
    every_images: int | None = Field(None, gt=0)
    effects: tuple[str, ...] = ()

    @field_validator("space", mode="before")
    @classmethod
    def _dotted(cls, space: Any) -> Any:
        """A key without quotation marks is a table in a table to TOML."""
        return dict(_dotted(space)) if isinstance(space, Mapping) else space

    @field_validator("space")
    @classmethod
    def _check_keys(cls, space: dict[str, Domain]) -> dict[str, Domain]:
        for key in space:
            if any(key == fixed or key.startswith(f"{fixed}.") for fixed in FIXED):
                raise ValueError(f"{key} is not searched: all trials have the same")
        earlier: list[str] = []
        for key, domain in space.items():
            if later := [name for name in domain.when if name in space and name not in earlier]:
                raise ValueError(f"{key} depends on {later[0]}, which must stand before it")
            earlier.append(key)
        return space

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if len(self.directions) != len(self.objectives):
            raise ValueError("direction wants as many entries as objective")
        several = len(self.objectives) > 1
        if several and (self.scheduler != "none" or self.searcher == "cmaes"):
            raise ValueError('several objectives have no one order: scheduler is "none", and searcher is not "cmaes"')
        if self.searcher == "grid":
            if endless := [key for key, domain in self.space.items() if domain.finite is None]:
                raise ValueError(f"a grid search wants choice, grid or int, and {endless[0]} has endless values")
        elif self.trials is None:
            raise ValueError("trials is missing: how many to make")
        if self.searcher == "cmaes" and any(one.choice or one.grid or one.when for one in self.space.values()):
            raise ValueError('cmaes wants numbers: no choice, grid or when in the space; or take searcher "tpe"')
        if self.scheduler in POPULATION:
            self._check_population()
        return self

    def _check_population(self) -> None:
        if self.workers_per_trial > 1:
            raise ValueError(f"{self.scheduler} copies trials of one process: workers_per_trial is 1")
        if conditional := [key for key, domain in self.space.items() if domain.when]:
            raise ValueError(f"{self.scheduler} changes values while training, and {conditional[0]} is conditional")
        if self.scheduler == "pb2" and any(domain.finite is not None for domain in self.space.values()):
            raise ValueError("pb2 wants uniform or loguniform for every key")

    @property
    def objectives(self) -> tuple[str, ...]:
        """One or more names of metrics."""
        return (self.objective,) if isinstance(self.objective, str) else self.objective

    @property
    def directions(self) -> tuple[Direction, ...]:
        """As many as there are objectives."""
        return (self.direction,) * len(self.objectives) if isinstance(self.direction, str) else self.direction

    def better(self, one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
        """Whether one set of objectives beats another: no worse in any, and better in one."""
        signs = [1 if direction == "min" else -1 for direction in self.directions]
        pairs = [(sign * a, sign * b) for sign, a, b in zip(signs, one, other, strict=True)]
        return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _dotted(tables: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tables.items():
        if isinstance(value, Mapping) and value and not KINDS & value.keys():
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
