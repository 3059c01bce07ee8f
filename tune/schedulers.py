"""Ray Tune's schedulers, counting in images, and what they must be told of trials that ended before a resume."""

import math
from typing import Any

from distgan.config.search_sections import PAUSING, POPULATION, Domain
from storage.errors import ServiceError
from tune.catalogue import Catalogue
from tune.space import Space
from tune.trials import IMAGES, UNITS

LEAST_FOR_MEDIAN = 3


def make_scheduler(space: Space) -> Any:
    """The one the recipe names; None runs every trial to its end.

    Raises ServiceError: pb2 without the package it needs.
    """
    from ray.tune import schedulers

    tune = space.tune
    goal: dict[str, Any] = {"metric": tune.objectives[0], "mode": tune.directions[0]}
    grace = space.grace
    if tune.scheduler == "asha":
        return schedulers.ASHAScheduler(
            IMAGES, **goal, max_t=space.images, grace_period=grace, reduction_factor=tune.reduction
        )
    if tune.scheduler == "hyperband":
        most = max(1, space.images // grace)
        return schedulers.HyperBandScheduler(  # its last milestone, rounded down, may lie before the last image
            UNITS, **goal, max_t=most, reduction_factor=tune.reduction, stop_last_trials=False
        )
    if tune.scheduler == "median":  # it may pause trials in favour of others, which ours need not
        return schedulers.MedianStoppingRule(
            IMAGES, **goal, grace_period=grace, min_samples_required=LEAST_FOR_MEDIAN, min_time_slice=math.inf
        )
    common = goal | {"time_attr": IMAGES, "perturbation_interval": tune.every_images or grace, "log_config": False}
    common["synch"] = True  # else a trial that waits for room is copied again and again, and never gets on
    bounded = {"custom_explore_fn": lambda config: config | {"point": within(config["point"], tune.space)}}
    if tune.scheduler == "pbt":
        return schedulers.PopulationBasedTraining(
            **common,
            **bounded,
            burn_in_period=grace,
            hyperparam_mutations={"point": {key: _mutation(domain) for key, domain in tune.space.items()}},
        )
    if tune.scheduler == "pb2":
        try:
            from ray.tune.schedulers.pb2 import PB2

            bounds = {key: list(domain.uniform or domain.loguniform or ()) for key, domain in tune.space.items()}
            return PB2(**common, **bounded, hyperparam_bounds={"point": bounds})
        except (ImportError, RuntimeError) as error:
            raise ServiceError("pb2 cannot be used", str(error), 'Install scikit-learn, or take "pbt"') from None
    return None


def tell_past(scheduler: Any, catalogue: Catalogue, space: Space) -> None:
    """Tell a fresh scheduler what the trials reported that ended before, in the order in which it came.

    HyperBand is told by running through all trials once more instead (see `tune.asking`), and a population goes on
    until all have come as far as the first, before it is compared again.
    """
    if space.tune.scheduler in POPULATION:  # each tells its last report again, and then gets on
        curves = [catalogue.reported(one.number, space.tune.objectives) for one in catalogue.trials()]
        last = max((points[-1].images_seen for points in curves if points), default=0)
        scheduler._next_perturbation_sync = max(scheduler._next_perturbation_sync, last + 1 if last else 0)
    if scheduler is None or space.tune.scheduler in PAUSING:
        return
    ended = [trial for trial in catalogue.trials() if trial.result]
    reports = sorted(
        ((point, trial) for trial in ended for point in catalogue.reported(trial.number, space.tune.objectives)),
        key=lambda pair: (pair[0].time, pair[1].number),
    )
    known = {trial.number: _Past(f"before-{trial.number}") for trial in ended}
    for past in known.values():
        scheduler.on_trial_add(None, past)
    for point, trial in reports:
        result = {space.tune.objectives[0]: point.values[0], IMAGES: point.images_seen}
        if not (space.tune.scheduler == "median" and known[trial.number] in scheduler._stopped_trials):
            scheduler.on_trial_result(None, known[trial.number], result)


class _Past:
    """As much of Ray's Trial as these schedulers look at."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id


def within(point: dict[str, Any], space: dict[str, Domain]) -> dict[str, Any]:
    """A point with its values brought back into the space: Ray multiplies by 0.8 or 1.2, whatever the bounds."""
    return {key: _within(value, space[key]) for key, value in point.items()}


def _within(value: Any, domain: Domain) -> Any:
    bounds = domain.uniform or domain.loguniform or domain.integer
    if bounds is None:
        return value
    inside = min(max(value, bounds[0]), bounds[1])
    return int(inside) if domain.integer else float(inside)


def _mutation(domain: Domain) -> Any:
    from ray import tune

    if domain.uniform is not None:
        return tune.uniform(*domain.uniform)
    if domain.loguniform is not None:
        return tune.loguniform(*domain.loguniform)
    if domain.integer is not None:
        return tune.randint(domain.integer[0], domain.integer[1] + 1)
    return list(domain.finite or ())
