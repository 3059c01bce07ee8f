"""OME-Zarr 0.5 metadata: what makes a directory of arrays images, label images and plates to any reader."""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import zarr

from storage.assemble import natural
from storage.store import Series

VERSION = "0.5"
COLOURS = {
    "red": "FF0000",
    "green": "00FF00",
    "blue": "0000FF",
    "dna": "0000FF",
    "actin": "FF0000",
    "tubulin": "00FF00",
}
"""How a viewer shows a channel of that name; others in the order of `_PALETTE`, one alone in white."""
_PALETTE = ("0000FF", "00FF00", "FF0000", "FF00FF", "00FFFF", "FFFF00")
Attributes = dict[str, Any]


def write_metadata(store: Path, series: Iterable[Series]) -> None:
    """Write the metadata of the collection, its images, their label images, and the plates they stand in."""
    series = sorted(series, key=lambda one: [(natural(part), part) for part in one.name.split("/")])
    _group(store, {"bioformats2raw.layout": 3})
    _group(store / "OME", {"series": [one.name for one in series]})
    for one in series:
        _group(store / one.name, _image(one.name, one.pixel_um) | {"omero": {"channels": _channels(one.channels)}})
        if one.labels:
            _group(store / one.name / "labels", {"labels": list(one.labels)})
        for name in one.labels:
            source = {"image-label": {"version": VERSION, "source": {"image": "../../"}}}
            _group(store / one.name / "labels" / name, _image(name, one.pixel_um) | source)
    in_plates = [one.name.split("/") for one in series if "/" in one.name]
    for plate, places in groupby(in_plates, key=lambda place: place[0]):
        _write_plate(store / plate, [(row, column, field) for _, row, column, field in places])


def _write_plate(plate: Path, fields: list[tuple[str, str, str]]) -> None:
    """The plate's wells, and in each well its fields; `fields` are (row, column, field), in order."""
    rows = sorted({row for row, _, _ in fields}, key=lambda row: (len(row), row))  # Z before AA
    columns = sorted({column for _, column, _ in fields}, key=natural)
    wells = {key: [field for *_, field in found] for key, found in groupby(fields, key=lambda place: place[:2])}
    for row in rows:
        zarr.create_group(plate / row, zarr_format=3)
    for (row, column), names in wells.items():
        _group(plate / row / column, {"well": {"version": VERSION, "images": [{"path": name} for name in names]}})
    described = {
        "version": VERSION,
        "name": plate.name,
        "field_count": max(len(names) for names in wells.values()),
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": column} for column in columns],
        "wells": [
            {"path": f"{row}/{column}", "rowIndex": rows.index(row), "columnIndex": columns.index(column)}
            for row, column in wells
        ],
    }
    _group(plate, {"plate": described})


def _group(path: Path, attributes: Attributes) -> None:
    zarr.create_group(path, zarr_format=3, attributes={"ome": {"version": VERSION} | attributes})


def _image(name: str, pixel_um: tuple[float | None, ...]) -> Attributes:
    space = [
        {"name": axis, "type": "space"} | ({"unit": "micrometer"} if size else {})
        for axis, size in zip("zyx", pixel_um, strict=True)
    ]
    scale = [1.0, 1.0, *(size or 1.0 for size in pixel_um)]
    dataset = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}, *space]
    return {"multiscales": [{"name": name, "axes": axes, "datasets": [dataset]}]}


def _channels(names: tuple[str, ...]) -> list[Attributes]:
    spare = _PALETTE if len(names) > 1 else ("FFFFFF",)
    colours = [COLOURS.get(name.lower(), spare[index % len(spare)]) for index, name in enumerate(names)]
    return [{"label": name, "color": colour, "active": True} for name, colour in zip(names, colours, strict=True)]
