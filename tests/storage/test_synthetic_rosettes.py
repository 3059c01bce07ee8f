"""Synthetic rosettes: labels are true, parts are the paper's, the same bytes every time, and `prepare` takes it."""

import csv
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile

from storage.cuts import Cut
from storage.datasets import synthetic_rosettes as rosettes
from storage.ingest import ingest
from storage.preprocess import Preparation, prepare

SIZE = (3, 80, 80)
LABELS = rosettes.Labels(test=(3, 4), train=(6, 9), small=(2, 5))
Box = dict[str, int]


def silent(done: int, total: int) -> None:
    pass


def write(folder: Path, seed: int = 0) -> Path:
    folder.mkdir()
    rosettes.write(folder, silent, dates=2, embryos=3, times=2, size=SIZE, labels=LABELS, seed=seed)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("set") / "rosettes")


def known(folder: Path) -> dict[tuple[str, int], list[Box]]:
    """Boxes by stack and plane."""
    found: dict[tuple[str, int], list[Box]] = {}
    with (folder / "truth.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            box = {name: int(row[name]) for name in ("y", "x", "height", "width", "cells")}
            found.setdefault((row["file"], int(row["z"])), []).append(box)
    return found


def crops(folder: Path) -> list[tuple[str, str, str, int, int, int]]:
    """Part, label, stack, plane, y and x of every labelled crop."""
    found = []
    for path in sorted(folder.glob("labelled/*/*/*.tif")):
        *stack, plane, y, x = path.stem.split("_")
        place = (int(plane[1:]), int(y[1:]), int(x[1:]))
        found.append((path.parts[-3], path.parts[-2], f"whole/{'_'.join(stack)}.tif", *place))
    return found


def test_the_parts_are_as_large_as_they_should_be(folder: Path) -> None:
    counts = Counter((part, label) for part, label, *_ in crops(folder))
    assert (counts["test", "rosette"], counts["test", "non_rosette"]) == LABELS.test
    for kind, label in enumerate(("rosette", "non_rosette")):
        assert counts["small", label] == LABELS.small[kind]
        assert counts["small", label] + counts["rest", label] == LABELS.train[kind]
    assert counts["spare", "non_rosette"] == rosettes.SPARE * sum(label == "rosette" for _, label, *_ in crops(folder))


def test_the_test_is_of_the_last_date_alone(folder: Path) -> None:
    dates = {part: {stack[6:14] for one, _, stack, *_ in crops(folder) if one == part} for part in ("test", "rest")}
    assert dates == {"test": {"20300102"}, "rest": {"20300101"}}


def test_a_rosette_is_in_the_middle_of_its_crop_and_of_no_other(folder: Path) -> None:
    truth = known(folder)
    for _, label, stack, plane, y, x in crops(folder):
        boxes = truth.get((stack, plane), [])
        apart = [max(abs(box["y"] - y), abs(box["x"] - x)) for box in boxes]
        if label == "rosette":
            assert min(apart) <= rosettes.JITTER
        else:  # the box of a rosette at the edge is moved into the image, by less than half of it
            inside = [box for box in boxes if 0 < box["y"] < SIZE[1] - 32 and 0 < box["x"] < SIZE[2] - 32]
            assert all(max(abs(box["y"] - y), abs(box["x"] - x)) >= rosettes.APART for box in inside)


def test_a_crop_is_the_part_of_its_stack(folder: Path) -> None:
    for part, label, stack, plane, y, x in crops(folder)[::5]:
        name = f"{Path(stack).stem}_p{plane}_y{y:03d}_x{x:03d}.tif"
        image = tifffile.imread(folder / "labelled" / part / label / name)
        assert image.shape == (32, 32)
        assert np.array_equal(image, tifffile.imread(folder / stack)[plane, y : y + 32, x : x + 32])


def test_boxes_are_inside_and_brighter_than_what_is_around(folder: Path) -> None:
    middles, whole = [], []
    for (file, plane), boxes in known(folder).items():
        image = tifffile.imread(folder / file)[plane]
        assert image.dtype == np.uint8
        for box in boxes:
            assert 0 <= box["y"] <= SIZE[1] - 32
            assert 0 <= box["x"] <= SIZE[2] - 32
            assert 5 <= box["cells"] <= 8
            middles.append(image[box["y"] + 12 : box["y"] + 20, box["x"] + 12 : box["x"] + 20].mean())
            whole.append(image.mean())
    assert len(middles) > 10
    assert np.mean(middles) > 1.3 * np.mean(whole)


def test_the_same_bytes_every_time(folder: Path, tmp_path: Path) -> None:
    def content(one: Path) -> dict[str, bytes]:
        return {path.relative_to(one).as_posix(): path.read_bytes() for path in one.rglob("*") if path.is_file()}

    assert content(write(tmp_path / "again")) == content(folder)
    assert content(write(tmp_path / "other", seed=1)) != content(folder)


def test_names_tell_what_is_known() -> None:
    crop = {"label": "rosette", "date": "20300102", "embryo": "20300102_emb03", "time": 12, "part": "small", "plane": 4}
    assert rosettes.metadata("labelled/small/rosette/20300102_emb03_t012_p4_y001_x090.tif") == crop
    whole = {"label": "unlabelled", "date": "20300102", "embryo": "20300102_emb03", "time": 0}
    assert rosettes.metadata("whole/20300102_emb03_t000.tif") == whole
    assert rosettes.metadata("truth.csv") == {}


def test_prepare_takes_the_crops_and_the_known_boxes(folder: Path, tmp_path: Path) -> None:
    ingest(folder, tmp_path / "images", rosettes.layout(folder))
    labelled = prepare(
        tmp_path / "images", tmp_path / "crops", Preparation(Cut("whole", ()), subset={"part": ["test"]})
    )
    assert labelled.shape[1:] == (1, 32, 32)
    assert Counter(labelled.obs["label"].to_pylist()) == {"rosette": 3, "non_rosette": 4}
    cut = Cut("boxes", (32, 32), boxes=str(folder / "truth.csv"))
    found = prepare(tmp_path / "images", tmp_path / "found", Preparation(cut, subset={"label": ["unlabelled"]}))
    boxes = {(file, z, box["y"], box["x"]) for (file, z), boxes in known(folder).items() for box in boxes}
    places = zip(*(found.obs[name].to_pylist() for name in ("file", "z", "y", "x")), strict=True)
    assert sorted(places) == sorted(boxes)


def test_a_second_fetch_finds_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = partial(rosettes.write, dates=1, embryos=2, times=1, size=(2, 64, 64), labels=LABELS)
    monkeypatch.setattr(rosettes, "write", quick)
    folder = rosettes.fetch(tmp_path, silent)
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert rosettes.fetch(tmp_path, silent) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == written
