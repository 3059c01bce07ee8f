"""The trials of a search on Ray Tune.

Ray's own snapshot of an experiment is not restored: it is behind what trials have committed, names its storage by
absolute paths, and pickles searcher and scheduler. Each start is a fresh experiment instead, whose searcher is asked
the old questions again and whose scheduler is told the old results (`tune.asking`, `tune.schedulers`).
"""

import os
import time
from shutil import rmtree
from typing import Any

from cluster.home import Home
from distgan.monitoring.pulse import STOP
from tune.asking import Asking
from tune.catalogue import Catalogue, Result, finite
from tune.schedulers import make_scheduler, tell_past
from tune.space import Space
from tune.trials import LAUNCH, trial

LOST_TIMES = 3
"""So often the process of a trial may die."""
NAME = "name"
RAY = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",  # a trial that is stopped writes its checkpoint to the end
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # our catalogue is the truth
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


def run_on_tune(catalogue: Catalogue, space: Space, home: Home, asking: Asking) -> None:
    """One experiment of Ray Tune, over all trials that are left."""
    for name, value in RAY.items():
        os.environ.setdefault(name, value)
    from ray import tune
    from ray.tune.execution.placement_groups import PlacementGroupFactory

    run = space.config({}, 0).run
    needs = {"CPU": run.cpus_per_worker, "GPU": run.gpus_per_worker}
    if run.most_workers > 1:  # the workers of Ray Train have the CPUs; the actor that starts them waits
        needs = {"memory": 1.0}
    scheduler = make_scheduler(space)
    tell_past(scheduler, catalogue, space)
    name = f"{space.name}-{time.time_ns():x}"
    _sweep_up(catalogue, home)
    (catalogue.folder / LAUNCH).mkdir()
    (catalogue.folder / LAUNCH / NAME).write_text(name, encoding="utf-8")
    tuner = tune.Tuner(
        tune.with_resources(trial, PlacementGroupFactory([{kind: need for kind, need in needs.items() if need}])),
        tune_config=tune.TuneConfig(
            search_alg=_asked(catalogue, space, home, asking),
            scheduler=scheduler,
            num_samples=asking.total,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(home.ray),
            failure_config=tune.FailureConfig(max_failures=LOST_TIMES),
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    finally:
        _sweep_up(catalogue, home)


def end_early(catalogue: Catalogue, space: Space, number: int, *, lost: bool) -> None:
    """Note how a trial ended that did not say so itself: it was stopped, or its process died again and again."""
    if (catalogue.folder / STOP).exists():
        return  # it goes on another time
    reported = catalogue.reported(number, space.tune.objectives)
    cost = catalogue.cost(catalogue.trial(number))
    if lost:
        catalogue.end(number, Result("failed", None, cost, f"its process died {LOST_TIMES + 1} times"))
    elif reported and finite(reported[-1].values):
        catalogue.end(number, Result("stopped", reported[-1].values, cost))
    else:
        catalogue.end(number, Result("failed", None, cost, "it ended without a report"))


def _sweep_up(catalogue: Catalogue, home: Home) -> None:
    """Throw away what Ray kept of the last experiment."""
    launch = catalogue.folder / LAUNCH
    if (launch / NAME).exists():
        rmtree(home.ray / (launch / NAME).read_text(encoding="utf-8"), ignore_errors=True)
    rmtree(launch, ignore_errors=True)


def _asked(catalogue: Catalogue, space: Space, home: Home, asking: Asking) -> Any:
    """`Asking` as Ray Tune wants it."""
    from ray.tune.search import SearchAlgorithm, Searcher, SearchGenerator

    class Asked(Searcher):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(metric=space.tune.objectives[0], mode=space.tune.directions[0])
            self.numbers: dict[str, int] = {}

        def suggest(self, trial_id: str) -> Any:
            chosen = asking.next()
            if chosen is None:
                return Searcher.FINISHED
            if isinstance(chosen, bool):
                return None
            self.numbers[trial_id] = chosen.number
            (catalogue.folder / LAUNCH / trial_id).write_text(str(chosen.number), encoding="utf-8")
            return {"search": str(catalogue.folder), "home": str(home.path), "point": dict(chosen.current)}

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            number = self.numbers[trial_id]
            end_early(catalogue, space, number, lost=error)
            asking.ended(number)

    class Plain(SearchAlgorithm):  # type: ignore[misc]
        """Population-based training refuses a SearchGenerator, since most searchers think that points stay."""

        def __init__(self) -> None:
            self.generator = SearchGenerator(Asked())

        @property
        def total_samples(self) -> int:
            return int(self.generator.total_samples)

        def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
            return True

        def add_configurations(self, experiments: Any) -> None:
            self.generator.add_configurations(experiments)

        def next_trial(self) -> Any:
            return self.generator.next_trial()

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            self.generator.on_trial_complete(trial_id, result, error)

        def is_finished(self) -> bool:
            return bool(self.generator.is_finished())

    return Plain()
