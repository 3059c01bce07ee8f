"""What a search says: figures of its trials, and how much each key of the space matters."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from distgan.config.search_sections import Direction, Domain, Value
from tune.catalogue import Catalogue
from tune.space import Point, Space

FEWEST = 4
"""Trials of which importances can be said."""


def figures_of(catalogue: Catalogue, space: Space) -> dict[str, Figure]:
    """Parallel coordinates, importances and the curves of all trials, for each objective."""
    tune = space.tune
    ended = [(trial, trial.result.values) for trial in catalogue.trials() if trial.result and trial.result.values]
    points = [trial.current for trial, _ in ended]
    figures = {}
    for index, (name, direction) in enumerate(zip(tune.objectives, tune.directions, strict=True)):
        values = [own[index] for _, own in ended]
        file = name.replace("/", "_")
        if points:
            figures[f"parallel_{file}"] = parallel_coordinates(points, values, tune.space, name, direction)
            curves = {trial.number: catalogue.reported(trial.number, tune.objectives) for trial, _ in ended}
            figures[f"curves_{file}"] = curves_figure(
                {n: [(one.images_seen, one.values[index]) for one in found] for n, found in curves.items()}, name
            )
        if matter := importances(points, values, tune.space):
            figures[f"importance_{file}"] = importance_figure(matter, name)
    return figures


def importances(points: Sequence[Point], values: Sequence[float], space: Mapping[str, Domain]) -> dict[str, float]:
    """The share of the objective's variance that each key explains, sum 1, largest first.

    By fANOVA, a variance analysis of a random forest (Hutter et al. 2014), as Optuna has it.  Keys that only some
    trials have are left out.  Empty: there are fewer than four trials, or all have the same value.
    """
    if len(points) < FEWEST or len(set(values)) < 2:
        return {}
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    everywhere = [key for key in space if all(key in point for point in points)]
    varied = [key for key in everywhere if len({point[key] for point in points}) > 1]
    if not varied:
        return {}
    distributions = {key: _distribution(space[key]) for key in varied}
    for point, value in zip(points, values, strict=True):
        params = {key: point[key] for key in varied}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {key: float(share) for key, share in found.items()}


def parallel_coordinates(
    points: Sequence[Point],
    values: Sequence[float],
    space: Mapping[str, Domain],
    objective: str,
    direction: Direction,
) -> Figure:
    """One line a trial through an axis for each key of the space; the colour is the objective, dark is good."""
    keys = list(space)
    figure = Figure(figsize=(2.0 + 1.7 * len(keys), 4.0), dpi=150, layout="constrained")
    axis = figure.subplots()
    low, high = min(values), max(values)
    norm = (LogNorm if low > 0 and high > 20 * low else Normalize)(low, high if high > low else low + 1)
    colours = colormaps["viridis" if direction == "min" else "viridis_r"]
    worst_first = sorted(range(len(values)), key=lambda index: values[index], reverse=direction == "min")
    for index in worst_first:
        heights = [axis_position(points[index].get(key), space[key]) for key in keys]
        axis.plot(
            range(len(keys)), heights, color=colours(norm(values[index])), linewidth=1.2, marker="o", markersize=3
        )
    for position, key in enumerate(keys):
        axis.axvline(position, color="0.8", linewidth=0.8, zorder=0)
        for height, label in _ticks(space[key]):
            axis.annotate(label, (position, height), fontsize=7, xytext=(3, 0), textcoords="offset points", va="center")
    axis.set_xticks(range(len(keys)), keys, fontsize=8)
    axis.set_yticks([])
    axis.set_ylim(-0.05, 1.05)
    axis.set_xlim(-0.2, len(keys) - 0.5)
    figure.colorbar(ScalarMappable(norm, colours), ax=axis, label=objective)
    return figure


def importance_figure(shares: Mapping[str, float], objective: str) -> Figure:
    """A bar for each key."""
    figure = Figure(figsize=(6.0, 0.8 + 0.4 * len(shares)), dpi=150, layout="constrained")
    axis = figure.subplots()
    keys = list(shares)[::-1]
    axis.barh(keys, [shares[key] for key in keys])
    axis.set_xlim(0, 1)
    axis.set_xlabel(f"share of the variance of {objective} over the space [no unit]")
    return figure


def curves_figure(curves: Mapping[int, Sequence[tuple[int, float]]], objective: str) -> Figure:
    """The objective of every trial along its training.  curves: trial -> (images seen, value)."""
    figure = Figure(figsize=(6.0, 3.6), dpi=150, layout="constrained")
    axis = figure.subplots()
    for number, points in curves.items():
        if points:
            axis.plot(*zip(*points, strict=True), marker="o", markersize=3, linewidth=1, label=str(number))
    if all(value > 0 for points in curves.values() for _, value in points):
        axis.set_yscale("log")
    axis.set_xlabel("real images seen [images]")
    axis.set_ylabel(objective)
    if len(curves) <= 12:
        axis.legend(title="trial", fontsize=7, ncols=2)
    return figure


def axis_position(value: Value | None, domain: Domain) -> float:
    """Where a value stands on its axis, 0 to 1; nowhere if it is not set."""
    if value is None:
        return float("nan")
    if domain.loguniform is not None:
        low, high = np.log(domain.loguniform)
        return float((np.log(float(value)) - low) / (high - low))
    bounds = domain.uniform or domain.integer
    if bounds is not None:
        return float((float(value) - bounds[0]) / (bounds[1] - bounds[0]))
    values = domain.finite or ()
    return values.index(value) / max(len(values) - 1, 1)


def _ticks(domain: Domain) -> list[tuple[float, str]]:
    bounds = domain.uniform or domain.loguniform or domain.integer
    shown = bounds if bounds is not None else domain.finite or ()
    return [
        (axis_position(value, domain), f"{value:.3g}" if isinstance(value, float) else str(value)) for value in shown
    ]


def _distribution(domain: Domain) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if domain.uniform is not None:
        return FloatDistribution(*domain.uniform)
    if domain.loguniform is not None:
        return FloatDistribution(*domain.loguniform, log=True)
    if domain.integer is not None:
        return IntDistribution(*domain.integer)
    return CategoricalDistribution(domain.finite or ())
