"""Figures 11 and 12: where a class is in whole images, from the folder that `distgan detect` wrote."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from distgan.data.frames import spread
from distgan.inference.heatmaps import Frames
from distgan.inference.hits import BANDS, LEVELS, Hits, Truth, find_hits, judged, read_truth
from distgan.inference.overlays import COLOURS, Plane, plane
from distgan.plots.figure_look import figure, picture
from distgan.plots.figure_set import Asked, Drawn
from storage.errors import DataError, RecipeError
from storage.source import Listing, Source, open_source
from storage.store import ImageStore

EXAMPLES = 2
SHOWN = 8
"""Hits of each band, from the likeliest to the least likely."""
ABOUT_PX = 16
"""What is shown around a hit, on each side; white beyond the image."""
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Detected:
    """What was found.  hits: all of them.  right: of each whether it is a known one; None without a truth."""

    source: Source
    frames: Frames
    maps: ImageStore
    hits: Hits
    truth: Truth | None
    right: NDArray[np.bool_] | None
    value_range: tuple[float, float]
    name: str
    sources: dict[str, str]

    def plane(self, row: int, least: float) -> Plane:
        """The plane of a hit, with its hits of at least that probability."""
        hits = self.hits.rows(self.hits.probability >= least)
        image, frame, z = (int(getattr(self.hits, axis)[row]) for axis in ("image", "frame", "z"))
        return plane(self.source, self.frames, self.maps, hits, self.truth, image, frame, z, self.value_range)


def detected(asked: Asked) -> Detected:
    """Raises RecipeError: the heat maps are of another model or store.  Raises MissingError: there are none."""
    settings = asked.settings
    maps = ImageStore.open(Path(settings.detected) / "heatmaps.ome.zarr")
    source, listing = open_source(Path(settings.images))
    model, facts = asked.model(settings.detector), maps.manifest.facts
    for key, found, wanted in (
        ("images", source.digest, facts["source"]),
        ("detector", model.digest, facts["model"]),
    ):
        if found != wanted:
            told = f"{found[:12]}..., and the heat maps are of {wanted[:12]}..."
            raise RecipeError(f"figures.{key} is not what {settings.detected} was made of", told, "Name that")
    frames = Frames.of(listing, _looked_at(listing, maps))
    hits = find_hits(maps)
    if not len(hits):
        raise DataError(f"nothing was found in {settings.detected}", "no hits", "Detect by another model")
    truth = read_truth(Path(settings.truth), maps) if settings.truth else None
    right = judged(hits, maps, truth)[LEVELS[0]][1] if truth else None
    sources = {"detector": model.digest, "images": source.digest}
    return Detected(source, frames, maps, hits, truth, right, model.value_range, str(facts["class"]), sources)


def _looked_at(listing: Listing, maps: ImageStore) -> NDArray[np.int64]:
    """Rows of the listing that have heat maps, which carry the metadata of their images along."""
    shared = [name for name in listing.metadata.column_names if name in maps.images.column_names]
    own = set(map(str, maps.images.select(shared).to_pylist()))
    return np.flatnonzero([str(row) in own for row in listing.metadata.select(shared).to_pylist()])


def heatmaps(asked: Asked) -> Iterator[Drawn]:
    """Figure 11: the images with the likeliest hits."""
    found, high = detected(asked), max(BANDS.values())
    hits = found.hits
    images = list(dict.fromkeys(hits.image[np.argsort(-hits.probability, kind="stable")].tolist()))[:EXAMPLES]
    best = [int(np.argmax(np.where(hits.image == image, hits.probability, -1))) for image in images]
    planes = [found.plane(row, high) for row in best]
    drawn = figure(3.1 * len(planes) + 0.9, 6.4)
    axes = drawn.subplots(2, len(planes), squeeze=False)
    for (above, below), one in zip(axes.T, planes, strict=True):
        picture(above, one.image, 0, 1, one.title)
        _boxes(above, one)
        heat = picture(below, one.heat, 0, 1, colours="inferno")
    bar = drawn.colorbar(heat, ax=axes[1], shrink=0.8)
    bar.set_label(f"probability of {found.name}", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    known = " Dashed: known ones." if found.truth else ""
    yield Drawn(
        "figure-11",
        "Figure 11: detection and heat maps",
        f"The {len(planes)} images with the likeliest hits, and how likely {found.name} is at every position of a "
        f"window of {hits.size} x {hits.size} pixels. Boxes: hits of {high:g} or more, each the best of those it "
        f"overlaps.{known}",
        drawn,
        [
            {"plane": one.title, "y": y, "x": x, "edge": edge, "probability": probability}
            for one in planes
            for y, x, edge, probability in one.hits
        ],
        found.sources,
    )


def _boxes(axis: Axes, one: Plane) -> None:
    for y, x, height, width in one.known:
        axis.add_patch(Rectangle((x - 0.5, y - 0.5), width, height, fill=False, linestyle="--", edgecolor="white"))
    for y, x, edge, probability in one.hits:
        colour = COLOURS["above 0.9"]
        axis.add_patch(Rectangle((x - 0.5, y - 0.5), edge, edge, fill=False, edgecolor=colour, linewidth=1.3))
        told = axis.text(x + 1, y + 1, f"{probability:.2f}", color=colour, fontsize=7, va="top")
        told.set_path_effects([withStroke(linewidth=1.5, foreground="black")])


def bands(asked: Asked) -> Iterator[Drawn]:
    """Figure 12: hits of both bands of the paper, from all over each."""
    found = detected(asked)
    lows = dict(sorted(BANDS.items(), key=lambda one: -one[1]))
    tops = dict(zip(lows, (np.inf, *list(lows.values())[:-1]), strict=True))
    drawn = figure(1.15 * SHOWN, 2.9)
    axes = drawn.subplots(len(lows), SHOWN, squeeze=False)
    rows, told = [], []
    for line, (name, low) in zip(axes, lows.items(), strict=True):
        inside = np.flatnonzero((found.hits.probability >= low) & (found.hits.probability < tops[name]))
        inside = inside[np.argsort(-found.hits.probability[inside], kind="stable")]
        right = "" if found.right is None else f", {found.right[inside].sum():,} of them known"
        told.append(f"{name}: {len(inside):,} hits{right}")
        for axis in line:
            axis.set_axis_off()
        for axis, at in zip(line, spread(len(inside), SHOWN), strict=False):
            row = int(inside[at])
            _hit(axis, found, row, name)
            rows.append(_told(found, row, name))
        line[0].text(-0.12, 0.5, name, transform=line[0].transAxes, rotation=90, va="center", ha="right", fontsize=8)
    dashes = f" Known: it overlaps one of the truth by {LEVELS[0]:g} or more." if found.truth else ""
    yield Drawn(
        "figure-12",
        "Figure 12: hits of high and of moderate probability",
        f"Hits of {found.name} with what is around them, of each band from the likeliest to the least likely. "
        f"{'; '.join(told)}.{dashes}",
        drawn,
        rows,
        found.sources,
    )


def _hit(axis: Axes, found: Detected, row: int, band: str) -> None:
    one, hits = found.plane(row, 2.0), found.hits
    y, x, size = int(hits.y[row]), int(hits.x[row]), hits.size
    around = np.pad(one.image, ABOUT_PX, constant_values=np.nan)[
        y : y + size + 2 * ABOUT_PX, x : x + size + 2 * ABOUT_PX
    ]
    mark = "" if found.right is None else (", known" if found.right[row] else "")
    picture(axis, around, 0, 1, f"{hits.probability[row]:.2f}{mark}")
    corner = ABOUT_PX - 0.5
    axis.add_patch(Rectangle((corner, corner), size, size, fill=False, edgecolor=COLOURS[band], linewidth=1.0))


def _told(found: Detected, row: int, band: str) -> dict[str, object]:
    hits = found.hits
    image = int(hits.image[row])
    facts = {"band": band, "probability": float(hits.probability[row])}
    facts |= {"file": found.maps.images["file"][image].as_py(), "frame": int(hits.frame[row]), "z": int(hits.z[row])}
    facts |= {"y": int(hits.y[row]), "x": int(hits.x[row])}
    return facts | ({} if found.right is None else {"known": bool(found.right[row])})
