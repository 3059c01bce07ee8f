"""How good images are that were made: everything that is measured of them, each beside what real images get instead.

The score is `distgan.scores.quality`, which finds the images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distgan.metrics import channels as of_channels
from distgan.metrics.diversity import diversity
from distgan.metrics.fid import extrapolated, frechet_distance
from distgan.metrics.kid import Features, kid
from distgan.metrics.manifold import manifold
from distgan.metrics.memorisation import Nearest, Orientation, memorisation, nearest, orientations, oriented
from distgan.metrics.spectrum import log_distance, radial_spectrum
from distgan.plots import quality_plots
from storage.sampler import Indices

EDGE = 32
"""Pixels are compared in images shrunk to this edge, by averages."""
SUSPECT = 1e-3
"""Below this p, copies are spoken of."""
Describe = Callable[[Tensor], Features]
"""Images N C H W in [-1, 1] -> N D."""
Row = dict[str, Any]
Figures = dict[str, Any]


@dataclass(frozen=True)
class Sets:
    """Images N C H W in [-1, 1]: `made`, `held_out` and `some` of the training images, equally many of each.

    rows: the places of `some` among all training images.
    """

    made: Tensor
    held_out: Tensor
    training: Tensor
    rows: Indices
    channels: Sequence[str]

    @property
    def some(self) -> Tensor:
        """As many training images as there are others."""
        return self.training[torch.from_numpy(self.rows)]


def in_features(sets: Sets, describe: Describe, neighbours: int, seed: int) -> list[Row]:
    """Distances and neighbourhoods: of the images made, and of training images in their place, to the held-out ones."""
    made, some, held_out = (describe(images) for images in (sets.made, sets.some, sets.held_out))
    near, floor = kid(made, held_out), kid(some, held_out)
    rows = [_row("KID", near.value, floor.value, near.low, near.high)]
    rows.append(_row("FID", frechet_distance(made, held_out), frechet_distance(some, held_out)))
    endless, floor_endless = extrapolated(made, held_out, seed), extrapolated(some, held_out, seed)
    if endless and floor_endless:
        spread = 2 * endless.deviation
        row = _row(
            "FID, extrapolated", endless.value, floor_endless.value, endless.value - spread, endless.value + spread
        )
        rows.append(row)
    found = [
        vars(manifold(side, held_out, neighbours)) | {"duplicates": diversity(side, held_out).duplicates}
        for side in (made, some)
    ]
    return rows + [_row(name, found[0][name], found[1][name]) for name in found[0]]


def in_pixels(sets: Sets) -> tuple[dict[str, list[Row]], Figures]:
    """Spectra of every channel, and correlations of every two."""
    images = {
        "generated": sets.made.numpy(),
        "real, held out": sets.held_out.numpy(),
        "real, training": sets.some.numpy(),
    }
    spectra = {name: radial_spectrum(of) for name, of in images.items()}
    made, real, some = spectra.values()
    far, floor = log_distance(made, real), log_distance(some, real)
    told = {
        "spectra": [
            {"channel": name, "dB": rounded(far[at]), "real instead": rounded(floor[at])}
            for at, name in enumerate(sets.channels)
        ]
    }
    figures: Figures = {"spectra": partial(quality_plots.spectra, spectra, sets.channels)}
    pairs = of_channels.pairs(len(sets.channels))
    if pairs:
        found = {name: of_channels.correlations(of) for name, of in images.items()}
        names = [" and ".join(sets.channels[at] for at in pair) for pair in pairs]
        told["correlations of channels"] = [
            _correlation(name, *(of[:, at] for of in found.values())) for at, name in enumerate(names)
        ]
        figures["correlations"] = partial(quality_plots.correlations, found, names)
    return told, figures


def copies(sets: Sets, describe: Describe) -> tuple[list[Row], Figures]:
    """Distances to the nearest training image, in features and in pixels."""
    rows: list[Row] = []
    figures: Figures = {}
    turns = orientations(*sets.held_out.shape[2:])
    for space, of in (("features", describe), ("pixels", _pixels)):
        training = of(sets.training)
        found = {
            "generated": _nearest(sets.made, training, of, turns),
            "real, held out": _nearest(sets.held_out, training, of, turns),
        }
        among = _nearest(sets.some, training, of, turns, sets.rows).distances
        told = memorisation(found["generated"].distances, found["real, held out"].distances)
        rows.append(
            {
                "in": space,
                "median of held-out": rounded(told.ratio),
                "below 1 % of held-out": rounded(told.share),
                "p": rounded(told.p),
                "training images below": rounded(float((among < told.threshold).mean())),
            }
        )
        images = sets.made, sets.held_out, sets.training
        figures[f"nearest in {space}"] = partial(quality_plots.nearest, found, turns, *images, space)
        apart = {name: one.distances for name, one in found.items()} | {"real, training": among}
        figures[f"distances in {space}"] = partial(quality_plots.distances, apart, told.threshold, space)
    return rows, figures


def suspected(row: Row) -> list[str]:
    """What is to be said of a row of `copies`: nothing, or that there seem to be some."""
    if row["p"] >= SUSPECT or row["below 1 % of held-out"] <= row["training images below"]:
        return []
    return [
        f"{row['below 1 % of held-out']:.1%} of the images made lie nearer to a training image in {row['in']} than "
        "99 % of the held-out images do: look at the figure of the nearest"
    ]


def rounded(value: float | None) -> float | None:
    """Four digits; None for what is no number."""
    return None if value is None or not np.isfinite(value) else float(f"{value:.4g}")


def _nearest(
    images: Tensor, training: Features, of: Describe, turns: Sequence[Orientation], own: Indices | None = None
) -> Nearest:
    queries = [of(torch.from_numpy(oriented(images.numpy(), one).copy())) for one in turns]
    return nearest(queries, training, own)


def _pixels(images: Tensor) -> Features:
    """Shrunk images as features: their distance is the root mean square difference, black to white being 2."""
    height, width = (min(edge, EDGE) for edge in images.shape[2:])
    small = F.adaptive_avg_pool2d(images, (height, width)).flatten(1).double().numpy()
    return np.asarray(small / np.sqrt(small.shape[1]))


def _row(measure: str, made: float, floor: float, low: float | None = None, high: float | None = None) -> Row:
    return {
        "measure": measure,
        "made": rounded(made),
        "low": rounded(low),
        "high": rounded(high),
        "real instead": rounded(floor),
    }


def _correlation(name: str, made: Features, real: Features, some: Features) -> Row:
    return {
        "channels": name,
        "made": rounded(_mean(made)),
        "real": rounded(_mean(real)),
        "apart": rounded(of_channels.apart(made, real)),
        "real instead": rounded(of_channels.apart(some, real)),
    }


def _mean(values: Features) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
