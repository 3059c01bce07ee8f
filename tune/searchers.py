"""Which point is tried next. Asked in the order of the trials, and told results in a fixed order, so that the
same questions get the same answers: a search that was killed asks again and is where it was.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from distgan.config.search_sections import Domain, Value
from tune.space import Point, Space

Values = tuple[float, ...]
"""The objectives of a trial."""
FIRST = 5
"""So many random points teach Optuna's searchers the space."""


class Searcher(ABC):
    """total: how many trials there are to be."""

    total: int

    @abstractmethod
    def ask(self, number: int, told: Sequence[tuple[int, Values | None]]) -> Point:
        """The point of a trial.  To be called for 0, 1, 2 ... in this order.

        told: trials that ended since the last call, with their objectives, or None if they failed.
        """


class Listed(Searcher):
    """Grid and random search: the point depends on the number alone."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.grid = space.grid() if space.tune.searcher == "grid" else None
        if self.grid and space.tune.scheduler != "none":  # which stops few of trials that get better and better
            order = np.random.Generator(np.random.Philox(key=[space.tune.seed, 1 << 32])).permutation(len(self.grid))
            self.grid = [self.grid[index] for index in order]
        wanted = space.tune.trials
        self.total = wanted or 0 if self.grid is None else min(len(self.grid), wanted or len(self.grid))

    def ask(self, number: int, told: Sequence[tuple[int, Values | None]]) -> Point:
        """As in the base class."""
        return self.space.random(number) if self.grid is None else self.grid[number]


class Optuna(Searcher):
    """TPE (Bergstra et al. 2011; several objectives: Ozaki et al. 2020) and CMA-ES (Hansen 2016), of Optuna."""

    def __init__(self, space: Space) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        tune = space.tune
        assert tune.trials is not None
        self.space, self.total = space, tune.trials
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler: Any = (
                optuna.samplers.TPESampler(seed=tune.seed % 2**32, n_startup_trials=FIRST)
                if tune.searcher == "tpe"
                else optuna.samplers.CmaEsSampler(seed=tune.seed % 2**32, n_startup_trials=FIRST)
            )
        directions: list[Any] = ["minimize" if direction == "min" else "maximize" for direction in tune.directions]
        self.study = optuna.create_study(sampler=sampler, directions=directions)
        self.asked: dict[int, Any] = {}

    def ask(self, number: int, told: Sequence[tuple[int, Values | None]]) -> Point:
        """As in the base class."""
        from optuna.trial import TrialState

        for earlier, values in told:
            state = TrialState.FAIL if values is None else TrialState.COMPLETE
            self.study.tell(self.asked[earlier], None if values is None else list(values), state)
        self.asked[number] = trial = self.study.ask()
        return self.space.point(lambda key, domain: _suggested(trial, key, domain))


def make_searcher(space: Space) -> Searcher:
    """The one the recipe names."""
    return Listed(space) if space.tune.searcher in ("grid", "random") else Optuna(space)


def _suggested(trial: Any, key: str, domain: Domain) -> Value:
    if domain.uniform is not None:
        return float(trial.suggest_float(key, *domain.uniform))
    if domain.loguniform is not None:
        return float(trial.suggest_float(key, *domain.loguniform, log=True))
    if domain.integer is not None:
        return int(trial.suggest_int(key, *domain.integer))
    value: Value = trial.suggest_categorical(key, domain.finite)
    return value
