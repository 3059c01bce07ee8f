"""Heat maps -> boxes, each the best of those it overlaps; as a table that `prepare` takes, and as GeoJSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from distgan.inference.windows import starts
from distgan.metrics.detection import Curve, Floats, Integers, curve, matched, suppressed
from storage.cuts import read_boxes
from storage.errors import RecipeError
from storage.store import ImageStore, read_box

BANDS = {"0.8-0.9": 0.8, "above 0.9": 0.9}
"""The bands of the paper (section 3.5), and where they begin."""
OVERLAP = 0.3
"""Of two boxes that overlap by more, the less likely one is left out."""
FLOOR = 0.01
"""What is less likely is not even counted as a wrong hit."""
LEVELS = (0.3, 0.5)
"""Overlaps with a known box at which a hit is right."""
OURS = ("frame", "z", "y", "x", "height", "width", "probability", "band", "detected")
"""Columns of the table beside `file`."""


@dataclass(frozen=True)
class Hits:
    """Boxes of equal size, the likeliest of each plane first.

    image: row of the images table.  frame, z: the plane in its image.  y, x: the corner.  size: the edge.
    """

    image: Integers
    frame: Integers
    z: Integers
    y: Integers
    x: Integers
    probability: Floats
    size: int

    def __len__(self) -> int:
        return len(self.image)

    @property
    def boxes(self) -> Integers:
        """N 4, as `metrics.detection` has them."""
        edge = np.full(len(self), self.size)
        return np.stack([self.y, self.x, edge, edge], axis=1)

    def rows(self, chosen: Any) -> "Hits":
        """Some of them."""
        columns = {name: column[chosen] for name, column in vars(self).items() if name != "size"}
        return Hits(**columns, size=self.size)


def band(probability: float) -> str:
    """The highest of BANDS that a probability reaches, or "".

    >>> band(0.85), band(0.95), band(0.5)
    ('0.8-0.9', 'above 0.9', '')
    """
    return next((name for name, low in reversed(BANDS.items()) if probability >= low), "")


def find_hits(maps: ImageStore) -> Hits:
    """The windows of FLOOR or more that overlap no likelier one of their plane by more than OVERLAP."""
    facts = maps.manifest.facts
    size, stride = int(facts["window"]), int(facts["stride"])
    found: list[tuple[int, int, int, Integers, Floats]] = []
    for image, frame, z, plane in planes(maps):
        y, x = (starts(extent, size, stride) for extent in plane.shape)
        windows = plane[np.ix_(y + size // 2, x + size // 2)]
        row, column = np.nonzero(windows >= FLOOR)
        corners = np.stack([y[row], x[column]], axis=1)
        scores = windows[row, column].astype(np.float64)
        kept = suppressed(np.pad(corners, ((0, 0), (0, 2)), constant_values=size), scores, OVERLAP)
        found.append((image, frame, z, corners[kept], scores[kept]))
    counts = [len(scores) for *_, scores in found]
    place = [np.repeat(np.array([one[axis] for one in found], np.int64), counts) for axis in range(3)]
    corners = np.concatenate([np.empty((0, 2), np.int64), *(one[3] for one in found)])
    scores = np.concatenate([np.empty(0), *(one[4] for one in found)])
    return Hits(place[0], place[1], place[2], corners[:, 0], corners[:, 1], scores, size)


def planes(maps: ImageStore) -> Iterator[tuple[int, int, int, Floats]]:
    """Row of the images table, frame in the image, z, and the heat map Y X, of every plane."""
    arrays = {one.name: maps.array(one) for one in maps.series}
    for image, row in enumerate(maps.images.select(["series", "first_frame", "frames"]).to_pylist()):
        array = arrays[row["series"]]
        for frame in range(row["frames"]):
            at = row["first_frame"] + frame
            for z in range(array.shape[2]):
                box = (slice(at, at + 1), slice(0, 1), slice(z, z + 1))
                yield image, frame, z, read_box(array, box)[0, 0, 0]


def places(images: pa.Table) -> list[tuple[str, int, int]]:
    """Of each image the file, frame and plane by which a table names what is first in it.

    Samples of a patch store are named by what they were cut from.
    """
    known = set(images.column_names)
    names = [images.column(name).to_pylist() if name in known else [0] * images.num_rows for name in ("frame", "z")]
    return [
        (str(file), int(t or 0), int(z or 0)) for file, t, z in zip(images["file"].to_pylist(), *names, strict=True)
    ]


def table(hits: Hits, maps: ImageStore) -> list[dict[str, Any]]:
    """A row for each hit: `file` and OURS."""
    of, detected = places(maps.images), maps.manifest.facts["class"]
    return [
        {
            "file": of[image][0],
            "frame": of[image][1] + frame,
            "z": of[image][2] + z,
            "y": y,
            "x": x,
            "height": hits.size,
            "width": hits.size,
            "probability": round(probability, 6),
            "band": band(probability),
            "detected": detected,
        }
        for image, frame, z, y, x, probability in zip(
            *(getattr(hits, name).tolist() for name in ("image", "frame", "z", "y", "x", "probability")), strict=True
        )
    ]


def as_geojson(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Polygons in pixels, x before y, y downwards, as QuPath reads them (RFC 7946 itself has degrees)."""
    features = []
    for row in rows:
        y, x, bottom, right = row["y"], row["x"], row["y"] + row["height"], row["x"] + row["width"]
        ring = [[x, y], [right, y], [right, bottom], [x, bottom], [x, y]]
        told = {name: row[name] for name in ("file", "frame", "z", "probability", "band")}
        properties = {"objectType": "annotation", "classification": {"name": row["detected"]}, **told}
        features.append(
            {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties}
        )
    return (json.dumps({"type": "FeatureCollection", "features": features}, indent=1) + "\n").encode()


@dataclass(frozen=True)
class Truth:
    """Known boxes.  plane: number of the plane of each; planes: how many were looked at."""

    boxes: Integers
    plane: Integers
    planes: int


def read_truth(path: Path, maps: ImageStore) -> Truth:
    """The known boxes in the planes of the heat maps, of a table as `prepare` takes it.

    Columns: file, x, y, width, height; z and frame where images have several. Boxes in other images are left out.
    Raises MissingError, DataError: there is no such table.  Raises RecipeError: none of its boxes is in these images.
    """
    number = {key: index for index, key in enumerate(_planes(maps))}
    rows = read_boxes(path)
    found = [(number[key], row) for row in rows if (key := _place(row)) in number]
    if not found:
        raise RecipeError(
            f"{path} has no box in these images",
            f"the first is in {_place(rows[0])}, the first plane looked at is {next(iter(number), None)}",
            "Give it the columns file, frame and z as the images have them",
        )
    boxes = [[int(row[name]) for name in ("y", "x", "height", "width")] for _, row in found]
    return Truth(np.array(boxes), np.array([plane for plane, _ in found]), len(number))


def judged(hits: Hits, maps: ImageStore, truth: Truth) -> dict[float, tuple[Curve, Any]]:
    """Of each of LEVELS the curve of all hits, and which of them are right."""
    number = {key: index for index, key in enumerate(_planes(maps))}
    of = places(maps.images)
    keys = zip(hits.image.tolist(), hits.frame.tolist(), hits.z.tolist(), strict=True)
    plane = np.array([number[of[i][0], of[i][1] + t, of[i][2] + z] for i, t, z in keys], np.int64)
    found = {}
    for level in LEVELS:
        right = matched(hits.boxes, hits.probability, plane, truth.boxes, truth.plane, level)
        found[level] = curve(hits.probability, right, len(truth.boxes), truth.planes), right
    return found


def plane_number(maps: ImageStore, image: int, frame: int, z: int) -> int:
    """As `Truth` counts the planes: image after image."""
    file, t, plane = places(maps.images)[image]
    return _planes(maps).index((file, t + frame, plane + z))


def _planes(maps: ImageStore) -> list[tuple[str, int, int]]:
    """File, frame and z of every plane."""
    depth = {one.name: one.shape[2] for one in maps.series}
    rows = maps.images.select(["series", "frames"]).to_pylist()
    return [
        (file, frame + t, plane + z)
        for (file, frame, plane), row in zip(places(maps.images), rows, strict=True)
        for t in range(row["frames"])
        for z in range(depth[row["series"]])
    ]


def _place(row: Mapping[str, Any]) -> tuple[str, int, int]:
    return str(row.get("file", "")), int(row.get("frame") or 0), int(row.get("z") or 0)
