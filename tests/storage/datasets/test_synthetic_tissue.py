"""Synthetic tissue: labels lie where the image is dark, cells are whole, neighbours are alike."""

import csv
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.ndimage import label

from storage.datasets import synthetic_tissue as tissue
from storage.drawing import philox

SMALL = {"sections": 8, "size": 160}


def silent(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tissue")
    tissue.write(folder, silent, **SMALL)
    return folder


@pytest.fixture(scope="module")
def raw(folder: Path) -> np.ndarray:
    """Z Y X."""
    return np.stack([tifffile.imread(path) for path in sorted((folder / "raw").iterdir())])


@pytest.fixture(scope="module")
def labels(folder: Path) -> dict[str, np.ndarray]:
    """Z Y X bool each."""
    return {
        name: np.stack([np.asarray(Image.open(path)) > 0 for path in sorted((folder / name).iterdir())])
        for name in tissue.LABELS
    }


@pytest.fixture(scope="module")
def cells(folder: Path) -> list[dict[str, float]]:
    with (folder / "truth.csv").open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def overlap(stack: np.ndarray, apart: int) -> float:
    first, second = stack[:-apart], stack[apart:]
    return float((first & second).sum() / (first | second).sum())


def test_every_file_is_described(folder: Path) -> None:
    describe = tissue.layout(folder).describe
    assert describe("raw/03.tif") == {"section": 3}
    assert describe("membranes/12.png") == {"section": 12, "labels": "membranes"}
    for path in folder.rglob("*/*"):
        known = describe(path.relative_to(folder).as_posix())
        assert known["section"] == int(path.stem)
        assert known.get("labels", "raw") == path.parent.name
    assert describe("truth.csv") is describe("synapses/00.png") is None


def test_labels_are_of_both_kinds(folder: Path) -> None:
    for name in tissue.LABELS:
        found = set()
        for path in (folder / name).iterdir():
            with Image.open(path) as image:
                found.add((image.mode, tuple(np.unique(np.asarray(image)).tolist())))
        assert found == {("1", (False, True)), ("L", (0, 255))}


def test_labels_lie_where_the_image_is_dark(raw: np.ndarray, labels: dict[str, np.ndarray]) -> None:
    membranes, mitochondria = labels["membranes"], labels["mitochondria"]
    assert raw.shape == membranes.shape == mitochondria.shape == (8, 160, 160)
    assert raw.dtype == np.uint8
    assert not (membranes & mitochondria).any()
    cytoplasm = raw[~membranes & ~mitochondria].mean()
    assert raw[membranes].mean() < cytoplasm - 40
    assert raw[mitochondria].mean() < cytoplasm - 30
    assert 0.12 < membranes.mean() < 0.3
    assert 0.01 < mitochondria.mean() < 0.12


def test_neighbours_are_alike(labels: dict[str, np.ndarray]) -> None:
    for stack in labels.values():
        assert overlap(stack, 1) > overlap(stack, 2) > overlap(stack, 5)
        assert overlap(stack, 1) > 0.3


def test_membranes_part_the_cells() -> None:
    """No piece of what is not membrane belongs to two cells, even where the membrane is thinnest."""
    for section in tissue.cut(philox(4), 4, 160):
        pieces, count = label(section.gap >= 1.2)
        assert count > 8
        for piece in range(1, count + 1):
            assert len(np.unique(section.owner[pieces == piece])) == 1


def test_the_truth_counts_what_the_labels_show(labels: dict[str, np.ndarray], cells: list[dict[str, float]]) -> None:
    for z in range(8):
        here = [row for row in cells if row["section"] == z]
        assert sum(row["pixels"] for row in here) == (~labels["membranes"][z]).sum()
        assert sum(row["mitochondria_pixels"] for row in here) == labels["mitochondria"][z].sum()
        assert all((row["mitochondria"] > 0) == (row["mitochondria_pixels"] > 0) for row in here)
        assert label(labels["mitochondria"][z])[1] <= sum(row["mitochondria"] for row in here) * 1.5 + 1


def test_big_cells_hold_more_mitochondria() -> None:
    block = tissue.cut(philox(0, 1), 4, 256)
    areas = np.bincount(block[2].owner.ravel(), minlength=len(block[0].seeds))
    counts = np.mean(
        [np.bincount(tissue.settle(philox(key), block).cell, minlength=len(areas)) for key in range(6)], axis=0
    )
    assert np.corrcoef(areas, counts)[0, 1] > 0.7


def test_the_same_bytes_every_time(folder: Path, tmp_path: Path) -> None:
    tissue.write(tmp_path, silent, **SMALL)
    for path in folder.rglob("*.*"):
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_a_second_fetch_finds_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tissue, "write", partial(tissue.write, sections=2, size=64))
    steps: list[tuple[int, int]] = []
    folder = tissue.fetch(tmp_path, lambda done, total: steps.append((done, total)))
    assert steps == [(1, 2), (2, 2)]
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic_tissue"]
    monkeypatch.delattr(tissue, "write")
    assert tissue.fetch(tmp_path, silent) == folder
