"""What every data set keeps to: its folder is found, checked, fetched whole, and what lies in it is understood."""

import csv
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.datasets import About, dataset_names, load_dataset
from storage.errors import MissingError, ServiceError
from storage.images import SUFFIXES
from storage.layout import PLACES, Layout

OURS = {
    *("file", "image", "series", "first_frame", "frames", "shape", "dtype", "min", "max", "sha256"),
    *("frame", "y", "x", "source_row", "nan", "constant", "saturated", "duplicate_of"),
}
"""Columns that ingest and prepare write."""
STRANGE = ["", "x", "a/b/c.png", "_.jpg", "t1", "20300101_emb00_t", "rosette/.jpg", "ünïcode/名前.tif", "x" * 300]
IMAGES = "LIN_Normalized_WT_size-48-80"
TABLE = (
    "Image_FileName_DAPI,Image_FileName_Tubulin,Image_FileName_Actin,Image_PathName_DAPI,Image_Metadata_Plate_DAPI,"
    "Image_Metadata_Well_DAPI,Replicate,Image_Metadata_Compound,Image_Metadata_Concentration\n"
    "B02_s1_w1A.tif,B02_s1_w2A.tif,B02_s1_w4A.tif,Week1/Week1_1,Week1_1,B02,1,DMSO,0\n"
    "B02_s1_w1B.tif,B02_s1_w2B.tif,B02_s1_w4B.tif,Week2/Week2_2,Week2_2,B02,1,taxol,0.3\n"
)
BROUGHT = {
    "bbbc021": {
        "BBBC021_v1_image.csv": TABLE,
        "BBBC021_v1_moa.csv": "compound,concentration,moa\nDMSO,0,DMSO\n",
        **{
            f"{plate}/B02_s1_w{w}{one}.tif": ""
            for plate, one in (("Week1_1", "A"), ("Week2_2", "B"))
            for w in (1, 2, 4)
        },
    },
    "integrated_cell": {f"{name}/{cell}.png": "" for name in ("TOM20", "ZO1", "LaminB1") for cell in range(30)},
    "lin": {
        f"{IMAGES}_{split}/{name}/cell00000{cell}.png": ""
        for split in ("train", "test")
        for name in ("Alp14", "Tea1")
        for cell in range(3)
    },
}
"""Data sets that are brought by hand -> a folder as they have it, path and content; their images are never opened."""
SMALL: dict[str, dict[str, Any]] = {
    "synthetic_cells": {"flat": 2, "solid": 1},
    "synthetic_embryos": {"dates": 2, "embryos": 2, "times": 2, "size": (3, 32, 32)},
    "synthetic_rosettes": {"dates": 2, "embryos": 2, "times": 1, "size": (3, 64, 64)},
    "synthetic_screen": {"plates": 1, "controls": 1, "fields": 1, "size": 64},
    "synthetic_tissue": {"sections": 11, "size": 64},
    "synthetic_yeast": {"fields_each": 2, "cells_each": 2},
}
"""Data sets that are made here -> arguments that make them quickly; one that is not listed is made in full."""

each = pytest.mark.parametrize("name", dataset_names())
published = pytest.mark.parametrize(
    "name", [name for name in dataset_names() if load_dataset(name).ABOUT.source != "made here"]
)


def silent(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cache")
    for name, files in BROUGHT.items():
        for file, content in files.items():
            (path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (path / name / file).write_text(content)
    with pytest.MonkeyPatch.context() as patch:
        for name, sizes in SMALL.items():
            module = load_dataset(name)
            patch.setattr(module, "write", partial(vars(module)["write"], **sizes))
            module.fetch(path, silent)
    return path


@pytest.fixture
def folder(name: str, cache: Path, request: pytest.FixtureRequest) -> Path:
    """The data set: made, brought, or found among the real images."""
    ours = load_dataset(name).ABOUT.source == "made here" or name in BROUGHT
    return load_dataset(name).fetch(cache if ours else request.getfixturevalue("real_data"), silent)


def is_flat(found: object) -> bool:
    """Whether this may be said of a file: None, or a mapping of names to plain values."""
    return found is None or (
        isinstance(found, dict)
        and all(isinstance(key, str) and key.isidentifier() for key in found)
        and all(type(value) in (str, int, float) for value in found.values())
        and all(type(found.get(place, 0)) is int for place in ("z", "t"))
        and all(type(found.get(place, "")) is str for place in ("channel", "labels"))
        and OURS.isdisjoint(found)
    )


def described(layout: Layout, folder: Path) -> list[dict[str, object]]:
    """What is known of each image of a folder, or of each of its samples."""
    if layout.samples is not None:
        with (folder / layout.samples.table).open(newline="") as file:
            return [dict(row) for row in csv.DictReader(file)]
    files = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES]
    found = [layout.describe(file) for file in files]
    assert all(is_flat(one) for one in found)
    assert all(one is not None for one in found), "an image of the data set is left out"
    return [dict(one) for one in found if one is not None]


@each
def test_it_is_described(name: str) -> None:
    about = load_dataset(name).ABOUT
    assert isinstance(about, About)
    for field in (about.title, about.source, about.licence):
        assert field == field.strip() != ""
        assert "\n" not in field
    assert bool(about.cite) or about.source == "made here"
    assert len(set(about.groups)) == len(about.groups)


@each
def test_the_table_of_the_documentation_has_it_with_its_groups(name: str) -> None:
    lines = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8").splitlines()
    (row,) = [line for line in lines if line.startswith(f"| `{name}` |")]
    groups = row.split(" | ")[3]
    assert all(group in groups for group in load_dataset(name).ABOUT.groups)


@each
def test_a_strange_name_says_little_and_breaks_nothing(name: str, folder: Path) -> None:
    describe = load_dataset(name).layout(folder).describe
    for file in STRANGE:
        found = describe(file)
        assert is_flat(found), file
        assert not set(load_dataset(name).ABOUT.groups) & set(found or ()), file


@each
def test_every_image_or_sample_tells_all_groups(name: str, folder: Path) -> None:
    layout, groups = load_dataset(name).layout(folder), load_dataset(name).ABOUT.groups
    rows = described(layout, folder)
    members: dict[str, set[object]] = {group: {row[group] for row in rows} for group in groups if rows}
    counts = [len(values) for values in members.values()]
    assert all(count >= 2 for count in counts)
    assert counts == sorted(counts)  # the coarsest first


@each
def test_sample_arrays_fit_their_table_and_channels(name: str, folder: Path) -> None:
    layout = load_dataset(name).layout(folder)
    samples = layout.samples
    if samples is None:
        pytest.skip("image files")
    array = np.load(folder / samples.file, allow_pickle=False)
    shape = (array[samples.array] if samples.array else array).shape
    sizes = dict(zip(samples.axes, shape, strict=True))
    assert sizes["N"] == len(described(layout, folder))
    assert sizes.get("C", 1) == len(layout.channels)


@each
def test_the_files_of_an_image_complete_each_other(name: str, folder: Path) -> None:
    """Each image has each of its channels, planes and label images once, and the channels are those of the layout."""
    layout = load_dataset(name).layout(folder)
    if layout.samples is not None:
        pytest.skip("sample arrays")
    images: dict[object, list[tuple[object, ...]]] = {}
    for row in described(layout, folder):
        if not set(PLACES) & set(row):
            continue
        key = frozenset((name, value) for name, value in row.items() if name not in PLACES)
        images.setdefault(key, []).append(tuple(row.get(place) for place in PLACES))
    for places in images.values():
        assert len(set(places)) == len(places)
        channels = {place[0] for place in places if place[0] is not None}
        assert not channels or channels == set(layout.channels)


@each
def test_a_second_fetch_finds_the_first(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object, **__: object) -> None:
        pytest.fail("nothing must be downloaded")

    monkeypatch.setattr(urllib.request, "urlopen", nowhere)
    before = sorted(path.stat().st_mtime_ns for path in folder.rglob("*"))
    assert load_dataset(name).fetch(folder.parent, silent) == folder
    assert sorted(path.stat().st_mtime_ns for path in folder.rglob("*")) == before


@published
def test_without_a_network_it_says_so_and_leaves_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(ServiceError, match=rf"(network is unreachable|no folder).*\$DISTGAN_DATA/{name} "):
        load_dataset(name).fetch(tmp_path, silent)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_data_set_is_told_which_there_are() -> None:
    with pytest.raises(MissingError, match=", ".join(dataset_names())):
        load_dataset("cats")
