"""How good images are -> matplotlib figures."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from distgan.metrics.memorisation import Nearest, Orientation, oriented
from distgan.metrics.spectrum import Spectrum
from distgan.plots import image_plots

Floats = NDArray[np.float64]
SHOWN = 64
PAIRS = 8
STYLES = ("C3-", "k-", "k:")
"""Of generated, held-out and training images."""


def samples(made: Tensor, real: Tensor) -> Figure:
    """Images N C H W in [-1, 1] beside each other."""
    return image_plots.side_by_side({"generated": made[:SHOWN].numpy(), "real, held out": real[:SHOWN].numpy()})


def spectra(found: Mapping[str, Spectrum], channels: Sequence[str]) -> Figure:
    """Radially averaged power of each channel."""
    figure = Figure(figsize=(3.6 * len(channels), 3.2), dpi=150, layout="constrained")
    for axis, (at, name) in zip(figure.subplots(1, len(channels), squeeze=False)[0], enumerate(channels), strict=True):
        for style, (label, one) in zip(STYLES, found.items(), strict=True):
            axis.plot(one.frequencies, one.power[at], style, linewidth=1.2, label=label)
        axis.set_yscale("log")
        axis.set_xlabel("frequency [cycles per pixel]")
        axis.set_ylabel("power [squared values]")
        axis.set_title(name, fontsize=9)
    axis.legend(fontsize=7)
    return figure


def correlations(found: Mapping[str, Floats], pairs: Sequence[str]) -> Figure:
    """Of every two channels, how the correlations of the images are distributed."""
    figure = Figure(figsize=(3.6 * len(pairs), 3.0), dpi=150, layout="constrained")
    bins = np.linspace(-1, 1, 41).tolist()
    for axis, (at, name) in zip(figure.subplots(1, len(pairs), squeeze=False)[0], enumerate(pairs), strict=True):
        for style, (label, values) in zip(STYLES, found.items(), strict=True):
            known = values[:, at][np.isfinite(values[:, at])]
            axis.hist(known, bins, histtype="step", color=style[:-1], linestyle=style[-1], label=label)
        axis.set_xlabel("correlation in an image [no unit]")
        axis.set_ylabel("images")
        axis.set_title(name, fontsize=9)
    axis.legend(fontsize=7)
    return figure


def distances(found: Mapping[str, Floats], threshold: float, space: str) -> Figure:
    """How far images are from their nearest training image, as cumulative shares."""
    figure = Figure(figsize=(4.8, 3.2), dpi=150, layout="constrained")
    axis = figure.subplots()
    for style, (label, values) in zip(STYLES, found.items(), strict=True):
        ranked = np.sort(values)
        axis.plot(ranked, np.arange(1, len(ranked) + 1) / len(ranked), style, linewidth=1.2, label=label)
    axis.axvline(threshold, color="0.6", linewidth=0.8, label="1 % of the held-out images")
    unit = "root mean square, black to white is 2" if space == "pixels" else "standard deviations"
    axis.set_xlabel(f"distance to the nearest training image [{unit}]")
    axis.set_ylabel("share of the images")
    axis.legend(fontsize=7)
    return figure


def nearest(
    found: Mapping[str, Nearest],
    turns: Sequence[Orientation],
    made: Tensor,
    held_out: Tensor,
    training: Tensor,
    space: str,
) -> Figure:
    """The images that lie nearest to a training image, above it, in the orientation in which they do."""
    panels = {}
    for (name, one), images in zip(found.items(), (made, held_out), strict=True):
        first = np.argsort(one.distances, kind="stable")[:PAIRS]
        above = [oriented(images[at : at + 1].numpy(), turns[one.orientations[at]]) for at in first]
        below = training[torch.from_numpy(one.rows[first])].numpy()
        panels[f"{name} (above), nearest in {space} (below)"] = np.concatenate([*above, below])
    return image_plots.side_by_side(panels, PAIRS)
