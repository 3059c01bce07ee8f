"""Figures 5 and 6: the filters of the first layer and how smooth they are, and a map of the dense layer's weights."""

from collections.abc import Iterator

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor, nn

from distgan.figures.wang.networks import WAYS, Compared, Network, compared
from distgan.metrics.tsne import tsne
from distgan.networks.rosette import Critic
from distgan.plots.figure_look import SCRATCH, TRANSFER, figure, mosaic, picture, tidy
from distgan.plots.figure_set import Asked, Drawn

COLUMNS = 8
Floats = NDArray[np.float64]


def filters(asked: Asked) -> Iterator[Drawn]:
    """Figure 5, and the smoothness of each filter."""
    found = compared(asked)
    of = {one.title: _filters(one.network) for one in found.each}
    rows = [
        {"network": name, "filter": number, "standard_deviation": float(planes[number].std()), "gearys_c": float(c)}
        for name, planes in of.items()
        for number, c in enumerate(gearys_c(planes))
    ]
    drawn = figure(7.8, 3.7)
    axes = drawn.subplots(2, 3)
    for axis, (name, planes) in zip(axes.flat, of.items(), strict=True):
        most = float(np.abs(planes).max())
        title = f"{name}\nsd {planes.std():.3f}, Geary's C {gearys_c(planes).mean():.2f}"
        picture(axis, mosaic(planes, COLUMNS, planes.shape[1]), -most, most, title)
    count, (height, width) = len(planes), planes.shape[1:]
    yield Drawn(
        "figure-05",
        "Figure 5: filters of the first layer",
        f"The {count} filters of {height} x {width} weights, grey from minus to plus the largest weight of each "
        "panel. The standard deviation (sd), which the paper takes for smoothness, says how large weights are, not "
        "how smooth: an untrained network has it by its initialisation. Geary's C compares neighbouring weights: 1 "
        "where they are in no order, below it where they are alike.",
        drawn,
        rows,
        found.sources,
    )
    yield _smoothness(found, of, rows)


def _smoothness(found: Compared, of: dict[str, Floats], rows: list[dict[str, object]]) -> Drawn:
    drawn = figure(6.4, 3.4)
    axis = drawn.subplots()
    for place, (one, planes) in enumerate(zip(found.each, of.values(), strict=True)):
        colour = (SCRATCH, TRANSFER)[WAYS.index(one.way)]
        values = gearys_c(planes)
        beside = place + np.linspace(-0.25, 0.25, len(values))
        axis.scatter(beside, np.sort(values), s=7, color=colour, alpha=0.5, linewidth=0)
        low, high = interval(values)
        axis.errorbar(
            place, values.mean(), [[values.mean() - low], [high - values.mean()]], color="black", marker="_", capsize=3
        )
    axis.axhline(1, color="0.5", linestyle="--", linewidth=1)
    axis.set_xticks(range(len(of)), [name.replace(", ", "\n") for name in of])
    tidy(axis, "", "Geary's C of a filter [no unit]", "dashed: weights in no order; below it, smooth")
    return Drawn(
        "figure-05-smoothness",
        "Figure 5, smoothness",
        "Geary's C (1954) of each filter: the mean squared difference of neighbouring weights, relative to their "
        "variance. Its expectation is 1 where the weights are in no order, whatever their size. Points: filters, "
        "sorted; lines: mean with its 95 % interval over filters.",
        drawn,
        rows,
        found.sources,
    )


def gearys_c(planes: Floats) -> Floats:
    """Geary's C of each plane, between neighbours along y and x (Geary 1954, The contiguity ratio, eq. 1).

    planes: N H W.  Returns N, 0 or more; 1 is what planes of exchangeable values have on average.
    """
    count = planes[0].size
    squares = np.square(np.diff(planes, axis=1)).sum((1, 2)) + np.square(np.diff(planes, axis=2)).sum((1, 2))
    pairs = np.diff(planes[0], axis=0).size + np.diff(planes[0], axis=1).size
    variance = np.square(planes - planes.mean((1, 2), keepdims=True)).sum((1, 2))
    return np.asarray((count - 1) * squares / (2 * pairs * variance))


def interval(values: Floats, resamples: int = 1000) -> tuple[float, float]:
    """95 % of a mean, by the bootstrap."""
    random = np.random.Generator(np.random.Philox(key=[0, len(values)]))
    low, high = np.quantile(values[random.integers(len(values), size=(resamples, len(values)))].mean(1), (0.025, 0.975))
    return float(low), float(high)


def _filters(network: Critic) -> Floats:
    """N H W: of every input channel, too."""
    first = next(one for one in network.convolutions.modules() if isinstance(one, nn.Conv2d))
    return first.weight.flatten(0, 1).double().numpy()


def dense_weights(asked: Asked) -> Iterator[Drawn]:
    """Figure 6: a unit is a point."""
    found = compared(asked)
    drawn = figure(8.4, 5.8)
    axes = drawn.subplots(2, 3)
    rows = []
    for axis, one in zip(axes.flat, found.each, strict=True):
        weights = _dense(one.network)
        points = tsne(weights.astype(np.float32), metric="cosine")
        near, chance = nearest(weights), nearest(_mixed(weights))
        pull = _pull(one, found.positive_number)
        _map(axis, points, pull, f"{one.title}\nnearest {np.median(near):.2f}, mixed {np.median(chance):.2f}")
        rows += [
            {
                "network": one.title,
                "unit": unit,
                "x": float(x),
                "y": float(y),
                "pull": float(p),
                "nearest_cosine": float(c),
            }
            for unit, ((x, y), p, c) in enumerate(zip(points, pull, near, strict=True))
        ]
    yield Drawn(
        "figure-06",
        "Figure 6: weights of the first dense layer",
        f"Each point is one of {len(weights):,} units of the first dense layer, placed by t-SNE of the cosines "
        f"between their {weights.shape[1]:,} incoming weights. Who is beside whom has a meaning, the size of groups "
        "and gaps has none, and t-SNE shows groups where there are none: so above each map stands the median cosine "
        "of a unit with its nearest other, and the same of weights mixed among the units. Red units speak for "
        f"{found.name}, blue ones against it; grey is before training.",
        drawn,
        rows,
        found.sources,
    )


def nearest(weights: Floats) -> Floats:
    """Of each unit the largest cosine with another.  weights: N D.  Returns N."""
    unit = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1)
    return cosines.max(1)


def _mixed(weights: Floats) -> Floats:
    """The weights of each input dealt to the units anew."""
    random = np.random.Generator(np.random.Philox(key=[0, 6]))
    return random.permuted(weights, axis=0)


def _dense(network: Critic) -> Floats:
    (layer,) = (one for one in network.dense if isinstance(one, nn.Linear))
    return layer.weight.double().numpy()


def _pull(one: Network, positive: int) -> Floats:
    """How much a unit speaks for the positive class, of [-1, 1]; 0 before training, when the scores know nothing."""
    (layer,) = (module for module in one.network.score.modules() if isinstance(module, nn.Linear))
    scores: Tensor = layer.weight.double()
    others = torch.arange(len(scores)) != positive
    pull = scores[positive] - scores[others].mean(0)
    return (pull / pull.abs().max()).numpy() * (one.labels > 0)


def _map(axis: Axes, points: Floats, pull: Floats, title: str) -> None:
    axis.scatter(points[:, 0], points[:, 1], s=9, c=pull, cmap="coolwarm", vmin=-1, vmax=1, linewidth=0)
    tidy(axis, "", "", title)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(True)
    axis.spines[:].set_color("0.8")
