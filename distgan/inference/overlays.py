"""Pictures of detection: heat maps and boxes on the images, and the curves of what was found."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from distgan.inference.heatmaps import Frames
from distgan.inference.hits import Hits, Truth, band, plane_number
from distgan.metrics.detection import PER_IMAGE, Curve
from storage.source import Source
from storage.store import ImageStore, read_box

COLOURS = {"above 0.9": "#ff3030", "0.8-0.9": "#ffb000", "": "#40c0ff"}
LONGEST = 44
"""Letters of a title; of a longer one the end is told, where names differ."""
MOST_PX = 1024
"""Of a larger plane the part about its likeliest hit is shown."""


@dataclass(frozen=True)
class Plane:
    """One picture.  image, heat: Y X, of [0, 1].  hits: y, x, edge and probability.  known: y, x, height, width."""

    title: str
    image: NDArray[Any]
    heat: NDArray[Any]
    hits: Sequence[tuple[int, int, int, float]]
    known: Sequence[Sequence[int]]


def plane(
    source: Source,
    frames: Frames,
    maps: ImageStore,
    hits: Hits,
    truth: Truth | None,
    image: int,
    frame: int,
    z: int,
    value_range: tuple[float, float],
) -> Plane:
    """What there is to see in a plane of the heat maps: the mean of the channels, from black to white."""
    own = hits.rows((hits.image == image) & (hits.frame == frame) & (hits.z == z))
    row = maps.images.slice(image, 1).to_pylist()[0]
    series = next(one for one in maps.series if one.name == row["series"])
    at = row["first_frame"] + frame
    middle = (int(own.y[0]), int(own.x[0])) if len(own) else (0, 0)
    first = [max(0, min(c - MOST_PX // 2, px - MOST_PX)) for c, px in zip(middle, series.shape[3:], strict=True)]
    y, x = (slice(low, min(low + MOST_PX, px)) for low, px in zip(first, series.shape[3:], strict=True))
    heat = read_box(maps.array(series), (slice(at, at + 1), slice(0, 1), slice(z, z + 1), y, x))[0, 0, 0]
    index = next(number for number, one in enumerate(source.series) if (one.name or "0") == series.name)
    from_frame = int(frames.frame[frames.of_series(index)[at]])
    low, high = value_range
    pixels = source.box(index, (slice(from_frame, from_frame + 1), slice(z, z + 1), y, x))[0, :, 0].mean(0)
    known = truth.boxes[truth.plane == plane_number(maps, image, frame, z)].tolist() if truth else []
    found = [
        (int(top) - y.start, int(left) - x.start, hits.size, float(probability))
        for top, left, probability in zip(own.y, own.x, own.probability, strict=True)
    ]
    title = f"{row['file'].rpartition('/')[2]}, frame {frame}, z {z}"
    moved = [[one[0] - y.start, one[1] - x.start, one[2], one[3]] for one in known]
    return Plane(title, np.clip((pixels - low) / (high - low), 0, 1), heat, found, moved)


def overlay(planes: Sequence[Plane], name: str) -> Figure:
    """Each plane twice: with its boxes (known ones dashed), and with its heat map."""
    columns = min(4, max(1, len(planes)))
    rows = max(1, math.ceil(len(planes) / columns))
    figure = Figure(figsize=(3.0 * columns + 0.8, 6.2 * rows + 0.3), dpi=90, layout="constrained")
    axes = figure.subplots(2 * rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    picture = None
    for number, one in enumerate(planes):
        boxes, heat = (
            axes[2 * (number // columns), number % columns],
            axes[2 * (number // columns) + 1, number % columns],
        )
        for axis in (boxes, heat):
            axis.imshow(one.image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        picture = heat.imshow(one.heat, cmap="inferno", vmin=0, vmax=1, alpha=0.55, interpolation="nearest")
        for y, x, height, width in one.known:
            boxes.add_patch(Rectangle((x, y), width, height, fill=False, linestyle="--", edgecolor="white"))
        for y, x, edge, probability in one.hits:
            colour = COLOURS[band(probability)]
            boxes.add_patch(Rectangle((x, y), edge, edge, fill=False, edgecolor=colour, linewidth=1.4))
            boxes.text(x + 1, y + 1, f"{probability:.2f}", color=colour, fontsize=7, va="top")
        boxes.set_title(one.title if len(one.title) <= LONGEST else f"...{one.title[-LONGEST:]}", fontsize=6)
    if picture is not None:
        figure.colorbar(picture, ax=axes, shrink=0.5, label=f"probability of {name}")
    figure.suptitle(f"{name}: red above 0.9, yellow 0.8 to 0.9, dashed where one is known", fontsize=9)
    return figure


def curves(found: Mapping[str, Curve]) -> Figure:
    """Precision against recall, and sensitivity against false hits per plane (FROC)."""
    figure = Figure(figsize=(9.0, 3.8), dpi=130, layout="constrained")
    precision, froc = figure.subplots(1, 2)
    froc.set_xscale("log", base=2)  # first, or no wrong hit at all could not be drawn
    froc.set_xlim(PER_IMAGE[0], PER_IMAGE[-1])
    for label, one in found.items():
        precision.step(one.recall, one.precision, where="post", label=f"{label}: average {one.average_precision:.3f}")
        froc.step(one.wrong, one.recall, where="post", label=f"{label}: mean {one.froc:.3f}")
    precision.set(
        xlabel="recall [share of the known]", ylabel="precision [share of the hits]", xlim=(0, 1), ylim=(0, 1.02)
    )
    froc.set(xlabel="false hits per plane", ylabel="sensitivity [share of the known]", ylim=(0, 1.02))
    for axis in (precision, froc):
        axis.legend(fontsize=8, loc="lower left" if axis is precision else "lower right")
    return figure
