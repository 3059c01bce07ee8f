"""Arrays -> matplotlib figures. Nothing here saves, shows or logs; every axis has a unit."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

Images = NDArray[np.floating]
"""N C H W in [-1, 1]."""


def montage(images: Images, columns: int = 8, gap: int = 2) -> NDArray[np.float32]:
    """Lay images out in rows: N C H W in [-1, 1] -> H' W' 3 in [0, 1].

    One channel is grey; two are red and green; of more, the first three are red, green and blue.
    """
    count, channels, height, width = images.shape
    rows = math.ceil(count / columns)
    canvas = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), np.float32)
    shown = np.clip(images * 0.5 + 0.5, 0, 1)
    colours = np.zeros((count, height, width, 3), np.float32)
    if channels == 1:
        colours[:] = shown[:, 0, :, :, None]
    else:
        colours[..., : min(channels, 3)] = shown[:, :3].transpose(0, 2, 3, 1)
    for index, picture in enumerate(colours):
        y, x = (index // columns) * (height + gap), (index % columns) * (width + gap)
        canvas[y : y + height, x : x + width] = picture
    return canvas


def grid(images: Images, title: str, columns: int = 8) -> Figure:
    """Images N C H W in [-1, 1] in rows."""
    return side_by_side({title: images}, columns)


def side_by_side(panels: Mapping[str, Images], columns: int = 8) -> Figure:
    """Several sets of images N C H W in [-1, 1], each a grid under its title."""
    pictures = {title: montage(images, columns) for title, images in panels.items()}
    tallest = max(picture.shape[0] / picture.shape[1] for picture in pictures.values())
    figure = Figure(figsize=(5.0 * len(pictures), 5.0 * tallest + 0.4), dpi=150, layout="constrained")
    axes = figure.subplots(1, len(pictures), squeeze=False)[0]
    for axis, (title, picture) in zip(axes, pictures.items(), strict=True):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    return figure


def distance_curve(
    images_seen: Sequence[int],
    values: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    lines: Mapping[str, float],
    against: str = "held out",
) -> Figure:
    """A distance along training with its interval, and levels to compare with.

    against: which real images.  lines: label -> level, for example the floor and an untrained network.
    """
    figure = Figure(figsize=(6.0, 3.6), dpi=150, layout="constrained")
    axis = figure.subplots()
    low, high = np.transpose(intervals)
    axis.fill_between(images_seen, low, high, alpha=0.2, linewidth=0)
    axis.plot(images_seen, values, marker="o", markersize=3, label=f"samples against real images, {against}")
    for number, (label, level) in enumerate(lines.items()):
        axis.axhline(level, linestyle="--", color=f"C{number + 1}", linewidth=1, label=label)
    # Unbiased estimates may fall below zero at the floor; there the curve leaves the picture.
    axis.set_yscale("log", nonpositive="clip")
    axis.set_ylim(bottom=0.5 * min(value for value in (*values, *lines.values()) if value > 0))
    axis.set_xlabel("real images seen [images]")
    axis.set_ylabel("KID [squared discrepancy, no unit]")
    axis.legend(fontsize=8)
    return figure


def spaced(ticks: Sequence[int]) -> list[str]:
    """Names of ascending ticks of a logarithmic axis, "" where one would stand on the next."""
    width, names = (math.log(ticks[-1] / ticks[0]) or 1.0) / 14, [f"{ticks[-1]:,}"]
    free = ticks[-1]
    for tick in reversed(ticks[:-1]):
        fits = math.log(free / tick) > width
        names.append(f"{tick:,}" if fits else "")
        free = tick if fits else free
    return names[::-1]
