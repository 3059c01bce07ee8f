"""What is known of codes -> matplotlib figures, and frames of films."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from distgan.plots.pictures import Picture, colours_of, composite, plain

Floats = NDArray[np.float64]
GAP = 2
FILM_EDGE = 128
"""Pixels that an image in a film has at least, on the longer edge."""


def pictures(images: Tensor, channels: Sequence[str]) -> NDArray[np.float32]:
    """Images N C H W in [-1, 1] -> N H W 3 in [0, 1], each channel in its colour.

    Of N C D H W the brightest of each D is shown.
    """
    flat = (images.amax(2) if images.ndim == 5 else images).numpy()
    colours = colours_of(channels)
    return np.stack([composite(image, [(-1.0, 1.0)] * len(channels), colours) for image in flat])


def mosaic(lines: Sequence[NDArray[np.float32]]) -> Picture:
    """Lines of pictures, each N H W 3, with white between them."""
    count, height, width, _ = lines[0].shape
    canvas = np.ones((len(lines) * (height + GAP) - GAP, count * (width + GAP) - GAP, 3), np.float32)
    for down, line in enumerate(lines):
        for right, picture in enumerate(line):
            y, x = down * (height + GAP), right * (width + GAP)
            canvas[y : y + height, x : x + width] = picture
    return canvas


def lines(images: Sequence[tuple[str, Tensor]], channels: Sequence[str], names: Sequence[str], title: str) -> Figure:
    """Lines of images N C H W in [-1, 1], each beside its name, under the names of the columns."""
    shown = [pictures(line, channels) for _, line in images]
    canvas = mosaic(shown)
    _, height, width, _ = shown[0].shape
    wide = 0.85 * len(names)
    size = (wide + 2.0, wide * canvas.shape[0] / canvas.shape[1] + 0.7)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    axis = figure.subplots()
    axis.imshow(canvas, interpolation="nearest")
    axis.set_title(plain(title, 110), fontsize=9)
    axis.set_xticks([(width + GAP) * x + width / 2 for x in range(len(names))], names, fontsize=7)
    told = [plain(name, 26) for name, _ in images]
    axis.set_yticks([(height + GAP) * y + height / 2 for y in range(len(told))], told, fontsize=7)
    axis.tick_params(length=0, labeltop=True, labelbottom=False)
    axis.spines[:].set_visible(False)
    return figure


def film(frames: NDArray[np.float32], columns: int | None = None) -> list[NDArray[np.uint8]]:
    """Frames of a film, there and back: of L walks of T pictures (L T H W 3), side by side, large enough to be seen.

    columns: so many beside each other; by default as many as below each other.
    """
    count, steps, height, width, _ = frames.shape
    columns = columns or math.ceil(math.sqrt(count))
    times = max(1, math.ceil(FILM_EDGE / max(height, width)))
    found = []
    for step in (*range(steps), *range(steps - 2, 0, -1)):
        shown = list(frames[:, step])
        shown += [np.ones_like(shown[0])] * (-count % columns)
        canvas = mosaic([np.stack(shown[start : start + columns]) for start in range(0, len(shown), columns)])
        found.append((255 * canvas.repeat(times, 0).repeat(times, 1)).round().astype(np.uint8))
    return found


def errors(nearest: Floats, reconstruction: Floats) -> Figure:
    """Each image's reconstruction against its nearest training image; below the line the reconstruction is better."""
    figure = Figure(figsize=(4.2, 4.0), dpi=150, layout="constrained")
    axis = figure.subplots()
    axis.scatter(nearest, reconstruction, s=8, alpha=0.6, linewidth=0)
    most = 1.05 * float(max(nearest.max(), reconstruction.max()))
    axis.plot((0, most), (0, most), color="black", linewidth=1, linestyle="--", label="equally good")
    axis.set(xlim=(0, most), ylim=(0, most), aspect="equal")
    axis.set_xlabel("error of the nearest training image [of white]")
    axis.set_ylabel("error of the reconstruction [of white]")
    axis.legend(fontsize=8)
    return figure


def surprise(reconstruction: Floats, surprises: Floats, typical: tuple[float, float]) -> Figure:
    """How well each image is made again, and how likely its code is; two deviations of drawn codes are shaded."""
    figure = Figure(figsize=(5.0, 4.0), dpi=150, layout="constrained")
    axis = figure.subplots()
    axis.scatter(reconstruction, surprises, s=8, alpha=0.6, linewidth=0)
    mean, deviation = typical
    axis.axhspan(
        mean - 2 * deviation, mean + 2 * deviation, color="C1", alpha=0.2, linewidth=0, label="drawn codes, 95 %"
    )
    axis.set_xlim(left=0)
    axis.set_xlabel("error of the reconstruction [of white]")
    axis.set_ylabel("surprise of the code [nats]")
    axis.legend(fontsize=8)
    return figure
