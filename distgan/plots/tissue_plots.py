"""Figures of the score of labelled tissue; arrays in, matplotlib out."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from distgan.metrics.support import ALIKE
from distgan.metrics.tsne import tsne
from distgan.plots.figure_look import COLOURS, figure, legend, tidy

Values = NDArray[np.float64]
SHOWN = 100
"""Cells of a group on the map, as in the paper."""
FEWEST = 4


def shape_map(
    features: Mapping[str, Values], seed: int, real: str = "training images"
) -> tuple[Figure, Values, list[str]]:
    """A t-SNE map of the shape features of single cells (Han et al., figure 10), their places N 2 and their groups.

    features: of each group N 89, of which `SHOWN` are drawn; all are scaled by mean and spread of those of `real`.
    Fewer than four cells in all have no map, and none is drawn.
    """
    random = np.random.Generator(np.random.Philox(key=[seed, 15]))
    some = {name: of[np.sort(random.permutation(len(of))[:SHOWN])] for name, of in features.items() if len(of)}
    names = [name for name, of in some.items() for _ in of]
    drawn = figure(5.0, 4.6)
    axis = drawn.subplots()
    places = np.empty((0, 2))
    if len(names) >= FEWEST:
        measure = features[real] if len(features.get(real, ())) > 1 else np.concatenate(list(some.values()))
        spread = measure.std(0)
        scaled = (np.concatenate(list(some.values())) - measure.mean(0)) / np.where(spread > 1e-9, spread, 1)
        places = tsne(scaled, seed)
        for number, (name, of) in enumerate(some.items()):
            own = places[[one == name for one in names]]
            colour, label = COLOURS[number % len(COLOURS)], f"{name} ({len(of)})"
            axis.scatter(own[:, 0], own[:, 1], s=9, color=colour, label=label, alpha=0.8, lw=0)
        legend(drawn, axis)
    tidy(axis, "t-SNE 1 [no unit]", "t-SNE 2 [no unit]", "shape features of single cells")
    return drawn, places, names if len(places) else []


def least_distances_plot(least: Mapping[str, Sequence[tuple[int, float]]]) -> Figure:
    """Least distance of two samples against the size of the batch (Han et al., figure 15 a).

    least: of each kind of sample, sizes of batches and 1 - IU, a pair for each run.
    """
    drawn = figure(4.6, 3.4)
    axis = drawn.subplots()
    for number, (name, pairs) in enumerate(least.items()):
        colour = COLOURS[number % len(COLOURS)]
        sizes = sorted({size for size, _ in pairs})
        means = [np.mean([value for other, value in pairs if other == size]) for size in sizes]
        axis.plot([size for size, _ in pairs], [value for _, value in pairs], ".", ms=2, color=colour, alpha=0.5)
        axis.plot(sizes, means, lw=1.2, color=colour, label=name)
    axis.axhline(1 - ALIKE, color="0.5", lw=0.8, ls=":")
    axis.set_xscale("log")
    axis.set_ylim(0, None)
    tidy(axis, "samples in a batch", "1 - IU of the two most alike [no unit]")
    legend(drawn, axis)
    return drawn


def alike(pairs: Sequence[tuple[NDArray[np.bool_], NDArray[np.bool_]]], titles: Sequence[str]) -> Figure:
    """The two most alike samples of each run, one above the other (Han et al., figure 15 b).  Masks: L H W each."""
    drawn = figure(0.9 * len(pairs) + 0.2, 2.2)
    for column, (both, title) in enumerate(zip(pairs, titles, strict=True)):
        for row, masks in enumerate(both):
            axis = drawn.add_subplot(2, len(pairs), row * len(pairs) + column + 1)
            shown = np.zeros((*masks.shape[1:], 3), np.float32)
            shown[..., : min(len(masks), 3)] = masks[:3].transpose(1, 2, 0)
            axis.imshow(shown, interpolation="nearest")
            axis.set_axis_off()
            if row == 0:
                axis.set_title(title, fontsize=7)
    return drawn
