"""Microscopy as people look at it: channels below each other, label images in colours, wells on their plate.

Arrays -> matplotlib figures. Values may be of any range: black and white are the 1st and the
99.8th percentile of a channel over all that is shown.
"""

import io
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from storage.durable import write_file
from storage.errors import RecipeError

Picture = NDArray[np.float32]
"""H W 3 in [0, 1]."""
Well = tuple[str, str, int]
"""Plate, row and column."""
PALETTE = np.asarray(((1, 0, 0), (0, 1, 0), (0.2, 0.4, 1), (1, 0, 1), (0, 1, 1), (1, 1, 0)), np.float32)
"""Colours of channels, which are added up; the blue is one that can be seen."""
NAMED = {"red": 0, "rfp": 0, "actin": 0, "green": 1, "gfp": 1, "tubulin": 1}
NAMED |= dict.fromkeys(("blue", "dna", "dapi", "hoechst", "nucleus", "nuclei"), 2)
"""Which of them people expect of a channel."""
GREY = np.ones((1, 3), np.float32)
COLUMNS, LINES = 8, 3
"""Of a sheet; so many lines only where a sample has one picture."""
EDGE = 1792
"""Longest edge of all pictures beside each other, in pixels; larger ones are averaged."""
WIDTH, HEIGHT = 12.0, 14.0
"""Of the pictures of a figure together, in inches, at most."""
BINS = 128
LARGEST = 1e300
"""Of an axis; what is beyond is counted at its end."""


def sheet(
    images: NDArray[Any],
    channels: Sequence[str],
    labels: Mapping[str, NDArray[Any]],
    values: Mapping[str, NDArray[Any]],
    title: str,
    names: Sequence[str],
    pixel_um: float | None = None,
) -> Figure:
    """A column per sample; a row for all channels together, for each channel, and for each label image.

    Samples of one picture each are laid out in lines. Below are histograms.
    images: N C H W.  labels: name -> N H W.  values: channel -> finite values that the histogram is of.
    names: of the samples.  pixel_um: edge of a pixel; a bar of known length is drawn with it.
    """
    edge = EDGE // max(min(len(images), COLUMNS), len(channels) + len(labels))
    small = np.stack([shrunk(image, edge) for image in images])
    ranges, colours = _ranges(small, channels), colours_of(channels)
    mixes = 1 < len(channels) <= len(PALETTE)
    rows = [("all", [composite(image, ranges, colours) for image in small])] if mixes else []
    for index, name in enumerate(channels):
        one = slice(index, index + 1)
        rows.append((name, [composite(image[one], ranges[one], GREY) for image in small]))
    rows += [(f"[{name}]", coloured(found, edge)) for name, found in labels.items()]
    told, lines = [plain(name, 20) for name, _ in rows], [line for _, line in rows]
    on_top = [plain(name, 160 // len(names)) for name in names]
    if len(lines) == 1:
        told, on_top = [], []
        lines = [lines[0][start : start + COLUMNS] for start in range(0, len(images), COLUMNS)]
    mosaic = _mosaic(lines)
    high, wide = _inches(mosaic)
    beside = 0.6 + 0.08 * max(map(len, told), default=0)
    figure = Figure(figsize=(max(wide, 5) + beside, high + 2.7), dpi=160, layout="constrained")
    figure.suptitle(plain(title, 110), fontsize=10)
    above, below = figure.subplots(2, 1, height_ratios=(high + 0.3, 1.6))
    _show(above, mosaic, lines, told, on_top)
    if pixel_um:
        height, width = small.shape[2:]
        _scale_bar(above, pixel_um * images.shape[3] / width, height, width)
    _histogram(below, values, dict(zip(channels, colours, strict=True)))
    return figure


def gallery(images: Sequence[tuple[str, NDArray[Any], Sequence[str]]], title: str) -> Figure:
    """Images of any shapes (caption, C H W, channels), each between its own black and white; up to six channels."""
    rows = -(-len(images) // COLUMNS)
    figure = Figure(figsize=(1.5 * COLUMNS, 1.75 * rows + 0.4), dpi=130, layout="constrained")
    figure.suptitle(plain(title, 110), fontsize=10)
    axes = figure.subplots(rows, COLUMNS, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (caption, image, channels) in zip(axes.flat, images, strict=False):
        channels = channels[: len(PALETTE)]
        small = shrunk(image[: len(PALETTE)], EDGE // COLUMNS)
        axis.imshow(composite(small, _ranges(small[None], channels), colours_of(channels)), interpolation="nearest")
        axis.set_title("\n".join(plain(line, 30) for line in caption.splitlines()), fontsize=5.5)
    return figure


def plates(images: Mapping[Well, NDArray[Any]], wells: Collection[Well], channels: Sequence[str], title: str) -> Figure:
    """Fields (C H W, all of one shape) at the places of their wells, plate by plate.

    wells: all that there are on these plates; those without an image are grey, and places without a well are white.
    """
    names = list(dict.fromkeys(plate for plate, _, _ in images))
    rows = sorted({row for _, row, _ in wells}, key=lambda row: (len(row), row))
    columns = sorted({column for _, _, column in wells})
    channels, edge = channels[: len(PALETTE)], max(32, EDGE // (len(columns) * len(names)))
    small = {well: shrunk(image, edge) for well, image in images.items()}
    ranges, colours = _ranges(np.stack(list(small.values())), channels), colours_of(channels)
    shown = {well: composite(image[: len(channels)], ranges, colours) for well, image in small.items()}
    unread = np.full_like(next(iter(shown.values())), 0.9)
    found = dict.fromkeys(wells, unread) | shown
    nothing = np.ones_like(unread)
    grids = [[[found.get((name, row, column), nothing) for column in columns] for row in rows] for name in names]
    mosaics = [_mosaic(grid) for grid in grids]
    beside = min(len(names), max(1, 12 // len(columns)))
    below = -(-len(names) // beside)
    high, wide = _inches(np.tile(mosaics[0], (below, beside, 1)))
    size = (max(wide, 4) + 0.5 * beside, high + 0.6 * below + 0.3)
    figure = Figure(figsize=size, dpi=160, layout="constrained")
    figure.suptitle(plain(title, 110), fontsize=10)
    axes = list(figure.subplots(below, beside, squeeze=False).flat)
    for axis in axes:
        axis.axis("off")
    for axis, name, mosaic, grid in zip(axes, names, mosaics, grids, strict=False):
        axis.axis("on")
        _show(axis, mosaic, grid, rows, [str(column) for column in columns])
        axis.set_title(plain(name, 60), fontsize=8)
    return figure


def composite(image: NDArray[Any], ranges: Sequence[tuple[float, float]], colours: NDArray[np.float32]) -> Picture:
    """C H W -> H W 3: each channel in its colour (C 3) between its black and its white, added up."""
    black, white = np.asarray(ranges, np.float64).T[..., None, None]
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (image.astype(np.float64) - black) / (white - black)
    shown = np.clip(np.nan_to_num(scaled, nan=0, posinf=1), 0, 1)
    return np.clip(np.einsum("chw,cr->hwr", shown, colours), 0, 1).astype(np.float32)


def coloured(labels: NDArray[Any], edge: int) -> list[Picture]:
    """Label images N H W, down to `edge`: 0 is black, and each other value has a colour; one alone is white."""
    found = labels[labels != 0]
    hues = np.arange(251) * 0.618034 % 1  # a prime of them, and a step that keeps neighbours apart
    palette = hsv_to_rgb(np.stack([hues, np.full(251, 0.7), np.ones(251)], axis=1)).astype(np.float32)
    if not (found != found[:1]).any():
        palette[:] = 1
    pictures = (np.moveaxis(palette[one % 251] * (one != 0)[..., None], 2, 0) for one in labels)
    return [np.moveaxis(shrunk(picture, edge), 0, 2) for picture in pictures]


def colours_of(channels: Sequence[str]) -> NDArray[np.float32]:
    """C 3: grey for one channel alone; of more, what their names say, and what is left of PALETTE."""
    if len(channels) == 1:
        return GREY
    if is_rgb(channels):
        return np.eye(3, dtype=np.float32)
    named = [NAMED.get(name.lower()) for name in channels]
    spare = [index for index in range(len(PALETTE)) if index not in named] or [0]
    left = iter(spare * len(channels))
    return PALETTE[[next(left) if index is None else index for index in named]]


def is_rgb(channels: Sequence[str]) -> bool:
    """Whether the channels are those of a colour picture."""
    return [name.lower() for name in channels] == ["red", "green", "blue"]


def shrunk(image: NDArray[Any], edge: int) -> NDArray[Any]:
    """C H W, averaged down until both edges are at most `edge`; whole blocks only."""
    step = -(-max(image.shape[1:]) // edge)
    if step <= 1:
        return image
    (height, down), (width, right) = ((size // min(step, size), min(step, size)) for size in image.shape[1:])
    blocks = image[:, : height * down, : width * right].reshape(-1, height, down, width, right)
    return blocks.mean(axis=(2, 4))


def finite(values: NDArray[Any]) -> NDArray[Any]:
    """The values, without those that are no numbers."""
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values


def plain(text: str, longest: int) -> str:
    """The end of a name, which tells it from others, as matplotlib shows it; it takes $ for mathematics."""
    shown = "".join(one if one.isprintable() else "?" for one in text)
    return (shown if len(shown) <= longest else f"…{shown[1 - longest :]}").replace("$", r"\$")


def check_suffix(path: Path) -> None:
    """Raises RecipeError: no figure can be written as that."""
    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.removeprefix(".").lower() not in known:
        found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise RecipeError(f"no picture can be written as {path}", found, f"Use one of .{', .'.join(sorted(known))}")


def save(figure: Figure, path: Path) -> None:
    """Write a figure, and the folder it belongs in; raises DiskError."""
    data = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # names may be of any script
        figure.savefig(data, format=path.suffix.removeprefix(".").lower())
    write_file(path, data.getvalue())


def _ranges(images: NDArray[Any], channels: Sequence[str]) -> list[tuple[float, float]]:
    """Black and white of each channel of N C H W; those of a colour picture are the same, or it would change hue."""
    if is_rgb(channels):
        return [(min(0.0, float(images.min())), _range(images)[1])] * 3
    return [_range(images[:, index]) for index in range(len(channels))]


def _range(images: NDArray[Any]) -> tuple[float, float]:
    values = finite(images)
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(one) for one in np.percentile(values, (1, 99.8), method="inverted_cdf"))
    if high <= low:  # sparse, or flat
        low, high = float(values.min()), float(values.max())
    return low, high if high > low else low + max(1.0, abs(low))


def _mosaic(lines: Sequence[Sequence[Picture]]) -> Picture:
    """Lines of pictures of one size, with white between them; the first line is the longest."""
    height, width = lines[0][0].shape[:2]
    down, right = _pitch(height, width)
    canvas = np.ones((len(lines) * down, len(lines[0]) * right, 3), np.float32)
    for y, line in enumerate(lines):
        for x, picture in enumerate(line):
            canvas[y * down : y * down + height, x * right : x * right + width] = picture
    return canvas[: (len(lines) - 1) * down + height, : (len(lines[0]) - 1) * right + width]


def _pitch(height: int, width: int) -> tuple[int, int]:
    gap = max(1, round(max(height, width) / 32))
    return height + gap, width + gap


def _inches(mosaic: Picture) -> tuple[float, float]:
    """Height and width."""
    height, width = mosaic.shape[:2]
    size = min(WIDTH / width, HEIGHT / height)
    return size * height, size * width


def _show(
    axis: Axes, mosaic: Picture, lines: Sequence[Sequence[Picture]], rows: Sequence[str], columns: Sequence[str]
) -> None:
    """A mosaic, and beside it the names of its rows and columns, as many as there are."""
    height, width = lines[0][0].shape[:2]
    down, right = _pitch(height, width)
    axis.imshow(mosaic, interpolation="nearest")
    axis.set_yticks([y * down + height / 2 for y in range(len(rows))], rows, fontsize=7)
    axis.set_xticks([x * right + width / 2 for x in range(len(columns))], columns, fontsize=6)
    axis.tick_params(length=0, labeltop=True, labelbottom=False)
    axis.spines[:].set_visible(False)


def _histogram(axis: Axes, values: Mapping[str, NDArray[Any]], colours: Mapping[str, NDArray[np.float32]]) -> None:
    """From 0, or below it if there are such values; integers have bins of whole numbers."""
    axis.set_xlabel("value, as stored", fontsize=8)
    axis.set_ylabel("pixels", fontsize=8)
    axis.tick_params(labelsize=7)
    known = {name: found for name, found in values.items() if found.size}
    if not known:
        return
    low = min(0, *(found.min().item() for found in known.values()))
    high = max(0, *(found.max().item() for found in known.values()))
    if all(found.dtype.kind in "iu" for found in known.values()):
        step = (high - low) // BINS + 1
        edges = low + step * np.arange((high - low) // step + 2) - 0.5
    else:
        low, high = max(low, -LARGEST), min(high, LARGEST)
        edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    for name, found in known.items():
        colour = colours[name] * (0.8 if len(colours) > 1 else 0)
        counts, _ = np.histogram(np.clip(found, edges[0], edges[-1]), edges)
        axis.stairs(counts, edges, color=colour, label=f" {plain(name, 40)}")
    axis.set(yscale="log", xlim=(edges[0], edges[-1]))
    if 1 < len(colours) <= len(PALETTE):
        axis.legend(fontsize=6)


def _scale_bar(axis: Axes, pixel_um: float, height: int, width: int) -> None:
    """A white bar of a round length, up to a quarter of the first picture, with a black edge."""
    wanted = pixel_um * width / 4
    length = max(digit * 10.0**power for power in range(-6, 6) for digit in (1, 2, 5) if digit * 10.0**power <= wanted)
    right, bottom = width * 0.95, height * 0.92
    for colour, thickness in (("black", 4), ("white", 2)):
        axis.plot((right - length / pixel_um, right), (bottom, bottom), color=colour, linewidth=thickness)
    told = axis.text(
        right, bottom - height * 0.06, f"{length:g} µm", color="white", fontsize=6, ha="right", va="bottom"
    )
    told.set_bbox({"facecolor": "black", "edgecolor": "none", "pad": 1.0})
