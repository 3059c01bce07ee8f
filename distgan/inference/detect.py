"""`distgan detect`: whole images -> heat maps, boxes, and how right they are where the truth is known.

OUT/heatmaps.ome.zarr     how likely the class is, pixel by pixel (`heatmaps`)
OUT/boxes.csv             the hits; `distgan prepare` with cut = "boxes" makes an annotated set of them
OUT/boxes.geojson         the same for viewers
OUT/overlays.png          the planes with the likeliest hits
OUT/curves.png            precision against recall, and FROC; with a truth
OUT/figures.json          what was done, and every figure
"""

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from distgan.inference import overlays
from distgan.inference.detector import Detector, Way
from distgan.inference.heatmaps import Frames, heatmaps
from distgan.inference.hits import BANDS, OURS, Hits, as_geojson, find_hits, judged, read_truth, table
from distgan.inference.windows import starts
from distgan.model import Model
from storage.csv_table import as_csv
from storage.datasets import Progress
from storage.durable import write_file
from storage.errors import InternalError, RecipeError
from storage.source import Source, open_source
from storage.split import matching

SAMPLE = 4
"""Planes in which the way taken is compared with windows cut out one by one; of each the middle."""
SAMPLE_PX = 128
ROUNDING = 1e-3
"""By so much probabilities may differ where the numbers should be the same."""
PICTURES = 8


def detect(
    model: Model,
    store: Path,
    out: Path,
    *,
    stride: int = 4,
    way: Way = "exact",
    wanted: str = "",
    threshold: float = min(BANDS.values()),
    subset: Mapping[str, Sequence[str]] | None = None,
    truth: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Find a class in the images of a store; what figures.json holds.

    wanted: the class, by default the positive one of the recipe.  threshold: of what is written as a box.  subset: as
    of `prepare`.  truth: a table of known boxes.  A call that was killed is gone on with by the same call; with another
    threshold or truth the heat maps that stand there are used.

    Raises RecipeError: the model is no classifier, or other heat maps stand there.  Raises DataError: the images are
    not such as the model was trained on.  Raises MissingError: no such store or truth.
    """
    source, listing = open_source(store)
    if taken := {"probability", "band", "detected"} & set(listing.metadata.column_names):
        raise RecipeError("images have columns with the names of ours", ", ".join(sorted(taken)), "Rename them")
    frames = Frames.of(listing, np.flatnonzero(matching(listing.metadata, subset or {})))
    detector = Detector.of(model.method, model.card, model.digest, wanted=wanted, stride=stride, way=way)
    maps = heatmaps(detector, source, listing, frames, out / "heatmaps.ome.zarr", progress)
    hits = find_hits(maps)
    known = read_truth(truth, maps) if truth else None
    shown = hits.rows(hits.probability >= threshold)
    rows = table(shown, maps)
    figures: dict[str, Any] = {
        "model": model.digest,
        "store": source.digest,
        "class": maps.manifest.facts["class"],
        "way": detector.way,
        "stride": stride,
        "window": detector.size,
        "images": maps.images.num_rows,
        "windows": sum(
            int(
                np.prod([one.shape[0], one.shape[2], *(len(starts(px, detector.size, stride)) for px in one.shape[3:])])
            )
            for one in maps.series
        ),
        "hits": {str(threshold): len(rows)} | {name: sum(row["band"] == name for row in rows) for name in BANDS},
        "difference": difference(detector, source, frames, threshold),
    }
    if known is not None:
        curves = judged(hits, maps, known)
        figures["known"], figures["planes"] = len(known.boxes), known.planes
        figures["overlap"] = {
            str(level): {
                "average_precision": one.average_precision,
                "froc": one.froc,
                "sensitivity_at_false_hits_per_plane": {str(k): v for k, v in one.sensitivities.items()},
                "at_threshold": _at(hits, right, len(known.boxes), threshold),
            }
            for level, (one, right) in curves.items()
        }
        _save(overlays.curves({f"overlap {level:g}": one for level, (one, _) in curves.items()}), out / "curves.png")
    write_file(out / "boxes.csv", as_csv(rows, ["file", *OURS]))
    write_file(out / "boxes.geojson", as_geojson(rows))
    planes = _likeliest(hits)
    pictures = [overlays.plane(source, frames, maps, shown, known, *one, model.value_range) for one in planes]
    _save(overlays.overlay(pictures, figures["class"]), out / "overlays.png")
    write_file(out / "figures.json", (json.dumps(figures, indent=1) + "\n").encode())
    return figures


def difference(detector: Detector, source: Source, frames: Frames, threshold: float) -> dict[str, float]:
    """How far the probabilities are from those of windows cut out, in the middle of a few planes of all.

    Raises InternalError: a way that should give the same numbers does not.
    """
    rows = np.unique(np.linspace(0, len(frames.frame) - 1, SAMPLE).astype(int))
    apart, others = [], []
    for row in rows.tolist():
        series, frame = int(frames.series[row]), int(frames.frame[row])
        depth, *plane = source.series[series].shape[2:]
        y, x = (
            slice(max(0, (px - SAMPLE_PX) // 2), max(0, (px - SAMPLE_PX) // 2) + min(px, SAMPLE_PX)) for px in plane
        )
        images = source.box(series, (slice(frame, frame + 1), slice(depth // 2, depth // 2 + 1), y, x))[:, :, 0]
        ours, cut_out = detector.probabilities(images), detector.probabilities(images, "crops")
        apart.append(np.abs(ours - cut_out).ravel())
        others.append(((ours >= threshold) != (cut_out >= threshold)).ravel())
    found = np.concatenate(apart)
    if detector.way != "fast" and found.max() > ROUNDING:
        raise InternalError(
            "what windows have in common was not computed as in the windows",
            f"probabilities differ by up to {found.max():.3g}",
            "Take --way crops, and report this",
        )
    told = {"mean": float(found.mean()), "largest": float(found.max()), "windows": len(found)}
    return told | {"on_the_other_side_of_the_threshold": float(np.concatenate(others).mean())}


def _at(hits: Hits, right: Any, known: int, threshold: float) -> dict[str, float]:
    chosen = hits.probability >= threshold
    found, told = int(right[chosen].sum()), int(chosen.sum())
    return {"precision": found / told if told else 0.0, "recall": found / known}


def _likeliest(hits: Hits) -> list[tuple[int, int, int]]:
    """Image, frame and z of the planes with the likeliest hits, one plane of an image."""
    found: dict[int, tuple[int, int, int]] = {}
    for row in np.argsort(-hits.probability, kind="stable").tolist():
        place = (int(hits.image[row]), int(hits.frame[row]), int(hits.z[row]))
        found.setdefault(place[0], place)
        if len(found) == PICTURES:
            break
    return list(found.values())


def _save(figure: Figure, path: Path) -> None:
    content = BytesIO()
    figure.savefig(content, format="png")
    write_file(path, content.getvalue())
