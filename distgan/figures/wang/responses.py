"""Figures 7 and 8: what the layers answer to images, in pictures and on average."""

from collections.abc import Iterator

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import nn

from distgan.figures.wang.networks import WAYS, Compared, Network, compared, layers, responses
from distgan.plots.figure_look import SCRATCH, TRANSFER, figure, legend, mosaic, picture, tidy
from distgan.plots.figure_set import Asked, Drawn

MAPS = 16
"""Of a layer; those that answer most."""
BATCH = 256
Floats = NDArray[np.float64]


def feature_maps(asked: Asked) -> Iterator[Drawn]:
    """Figure 7: of the first image of the positive class that no classifier was trained on."""
    found = compared(asked)
    row = int(torch.nonzero(found.positive)[0])
    image = found.images[row : row + 1]
    few = [ways[1] for ways in found.networks]
    answers = [{name: maps[0].double().numpy() for name, maps in responses(one.network, image).items()} for one in few]
    names = layers(few[0].network)
    drawn = figure(2.0 * (len(names) + 1) + 0.2, 4.6)
    axes = drawn.subplots(2, len(names) + 1)
    rows = []
    for line, (one, answer) in enumerate(zip(few, answers, strict=True)):
        picture(axes[line, 0], image[0].mean(0).numpy(), -1, 1, "" if line else "the image")
        beside = {"transform": axes[line, 0].transAxes, "rotation": 90, "ha": "right", "va": "center", "fontsize": 8}
        axes[line, 0].text(-0.06, 0.5, one.title, **beside)
        for axis, name in zip(axes[line, 1:], names, strict=True):
            both = np.concatenate([each[name].ravel() for each in answers])
            low, high = np.percentile(both, (1, 99.5)).tolist()
            maps = answer[name] if answer[name].ndim == 3 else _square(answer[name])
            means = maps.mean((1, 2))
            shown = maps[np.argsort(-means, kind="stable")[:MAPS]]
            title = f"{name}, mean {answer[name].mean():.2f}"
            picture(axis, mosaic(shown, 4, image.shape[-1]) if len(shown) > 1 else shown[0], low, high, title)
            rows += [
                {
                    "network": one.title,
                    "layer": name,
                    "map": number,
                    "mean": float(each.mean()),
                    "most": float(each.max()),
                }
                for number, each in enumerate(answer[name])
            ]
    yield Drawn(
        "figure-07",
        "Figure 7: feature maps",
        f"What each layer answers to the first held-out image of {found.name}, after normalisation and nonlinearity: "
        f"the {MAPS} maps of each convolution that answer most, and all numbers of the dense layer. Grey is on one "
        "scale for both networks, layer by layer, so that brighter is more.",
        drawn,
        rows,
        found.sources,
    )


def _square(values: Floats) -> Floats:
    """D numbers as one picture, nearly square, filled up by what is no number; 1 H W."""
    width = int(np.ceil(np.sqrt(len(values))))
    return np.append(values, np.full(-len(values) % width, np.nan)).reshape(1, -1, width)


def activations(asked: Asked) -> Iterator[Drawn]:
    """Figure 8: the paper's four configurations, with few labels and with all."""
    found = compared(asked)
    names = layers(found.networks[0][0].network)
    means = {one.title: _means(one, found) for one in found.each}
    drawn = figure(7.6, 3.2)
    axes = drawn.subplots(1, 2, sharey=True)
    for axis, trained in zip(axes, (1, 2), strict=True):
        shown = [one for row in (0, trained) for one in (found.networks[0][row], found.networks[1][row])]
        _bars(axis, shown, means, names)
        tidy(axis, "", "mean activation [no unit]" if trained == 1 else "", f"trained with {shown[-1].labels:,} labels")
    legend(drawn, axes[0])
    norm = found.networks[0][0].network.convolutions[1]
    sizes = (
        f" After normalisation ({type(norm).__name__}) it says how sparse the activations are and how large the learnt "
        "scale and offset; how large the weights are is normalised away."
    )
    rows = [
        {
            "network": title,
            "layer": name,
            "mean": float(values[:, number].mean()),
            "spread": float(values[:, number].std()),
        }
        for title, values in means.items()
        for number, name in enumerate(names)
    ]
    yield Drawn(
        "figure-08",
        "Figure 8: mean activations",
        f"The mean of all activations of a layer over {len(found.images):,} held-out images, after normalisation and "
        "nonlinearity, in the paper's four configurations; lines: the standard deviation over images."
        + ("" if isinstance(norm, nn.Identity) else sizes),
        drawn,
        rows,
        found.sources,
    )


def _means(one: Network, found: Compared) -> Floats:
    """N L: the mean of each layer's activations for each image."""
    parts = []
    for images in found.images.split(BATCH):
        answers = responses(one.network, images).values()
        parts.append(torch.stack([answer.flatten(1).mean(1) for answer in answers], 1))
    return torch.cat(parts).double().numpy()


def _bars(axis: Axes, shown: list[Network], means: dict[str, Floats], names: list[str]) -> None:
    width = 0.8 / len(shown)
    for number, one in enumerate(shown):
        values = means[one.title]
        axis.bar(
            np.arange(len(names)) + (number - (len(shown) - 1) / 2) * width,
            values.mean(0),
            width,
            yerr=values.std(0),
            error_kw={"linewidth": 0.7, "ecolor": "0.3"},
            color=(SCRATCH, TRANSFER)[WAYS.index(one.way)],
            alpha=1.0 if one.labels else 0.4,
            label=f"{one.way}, {'trained' if one.labels else 'before training'}",
        )
    axis.set_xticks(range(len(names)), names)
    axis.axhline(0, color="0.3", linewidth=0.6)
