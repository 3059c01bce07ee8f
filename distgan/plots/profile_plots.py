"""Profiles -> matplotlib figures."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from distgan.metrics.profiles import Floats, Texts
from distgan.metrics.tsne import tsne


def confusion(names: Sequence[str], table: NDArray[np.int64], title: str) -> Figure:
    """How many treatments of each mechanism (rows) were given each (columns)."""
    size = 2.5 + 0.35 * len(names)
    figure = Figure(figsize=(size + 1, size), dpi=150, layout="constrained")
    axis = figure.subplots()
    axis.imshow(table / np.maximum(table.sum(1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(table):
        if count:
            colour = "white" if 2 * count > table[row].sum() else "black"
            axis.text(column, row, str(count), ha="center", va="center", fontsize=7, color=colour)
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.set_xlabel("mechanism of the nearest neighbour [treatments]")
    axis.set_ylabel("mechanism")
    axis.set_title(title, fontsize=9)
    return figure


def neighbourhood(values: Floats, mechanisms: Texts, title: str) -> Figure:
    """A map of treatments N D, by t-SNE of their cosine distances (van der Maaten and Hinton 2008).

    Of equal data it is the same. Distances between groups mean nothing; who is beside whom does.
    """
    apart = 1 - np.clip(_unit(values) @ _unit(values).T, -1, 1)
    points = tsne(apart, metric="precomputed")
    figure = Figure(figsize=(7.0, 4.5), dpi=150, layout="constrained")
    axis = figure.subplots()
    for number, name in enumerate(np.unique(mechanisms)):
        own = points[mechanisms == name]
        axis.scatter(own[:, 0], own[:, 1], s=16, color=mpl.colormaps["tab20"](number % 20), label=str(name))
    axis.set_xlabel("t-SNE 1 [no unit]")
    axis.set_ylabel("t-SNE 2 [no unit]")
    axis.set_title(title, fontsize=9)
    figure.legend(loc="outside right upper", fontsize=7)
    return figure


def _unit(values: Floats) -> Floats:
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.where(norms > 0, norms, 1))
