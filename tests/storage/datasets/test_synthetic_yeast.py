"""Synthetic yeast: red tells the stage, green follows it, two proteins look alike, and every time the same."""

from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.datasets import synthetic_yeast as yeast
from storage.drawing import philox
from storage.errors import MissingError

SMALL = {"fields_each": 2, "cells_each": 20}
OLD_LEFT = yeast.Cell(stage=0.1, length=31.2, width=17, old_end=-1, y=0, x=0, tilt=0)


def silent(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("yeast")
    yeast.write(folder, silent, **SMALL)
    return folder


@pytest.fixture(scope="module")
def images(folder: Path) -> dict[str, np.ndarray]:
    return {path.relative_to(folder).as_posix(): np.asarray(Image.open(path), float) for path in folder.rglob("*.png")}


def at_stage(stage: float) -> yeast.Cell:
    return replace(OLD_LEFT, stage=stage, length=28 + 32 * stage)


def test_every_file_is_described(folder: Path, images: dict[str, np.ndarray]) -> None:
    describe, cells = yeast.layout(folder).describe, yeast.planted(folder)
    assert images.keys() == cells.keys()
    assert len(images) == 6 * 2 * 20
    for file, image in images.items():
        known = describe(file)
        assert known["protein"] == file.split("/")[0]
        assert known["field"].startswith(known["protein"])
        assert known["stage"] == cells[file].stage
        assert image.shape == (48, 80, 3)
        assert not image[..., 2].any()
    assert describe("truth.csv") is describe("tips/cell999999.png") is None


def test_the_red_outline_is_as_long_as_the_stage_says(folder: Path, images: dict[str, np.ndarray]) -> None:
    cells = yeast.planted(folder)
    lengths = [np.ptp(np.flatnonzero((image[..., 0] > 30).sum(0) > 2)) for image in images.values()]
    assert np.corrcoef(lengths, [cells[file].stage for file in images])[0, 1] > 0.95


def test_red_polarises_then_cuts() -> None:
    young, grown, dividing = (yeast.red(at_stage(stage)) for stage in (0.1, 0.6, 0.98))
    half = 40
    assert young[:, :half].sum() > 1.3 * young[:, half:].sum()
    assert grown[:, :half].sum() == pytest.approx(grown[:, half:].sum(), rel=0.02)
    assert dividing[18:30, 38:42].sum() > 4 * grown[18:30, 38:42].sum()


@pytest.mark.parametrize("protein", ["tips", "patches", "patches_twin"])
def test_green_lies_where_red_grows(protein: str) -> None:
    def left(cell: yeast.Cell) -> float:
        light = np.mean([yeast.green(philox(1, number), cell, protein) for number in range(40)], axis=0)
        return float(light[:, :40].sum() / light.sum())

    assert left(OLD_LEFT) > 0.6
    assert left(replace(OLD_LEFT, old_end=1)) < 0.4
    assert left(at_stage(0.6)) == pytest.approx(0.5, abs=0.05)


def test_nuclei_part_and_the_ring_tightens() -> None:
    def spread(protein: str, stage: float) -> float:
        light = yeast.green(philox(0), at_stage(stage), protein).sum(0)
        light -= light[35:45].max() * 0.3
        weight = light.clip(0)
        return float(np.sqrt((weight * np.square(np.arange(80) - 39.5)).sum() / weight.sum()))

    parted = [spread("nucleus", stage) for stage in (0.3, 0.6, 0.8, 0.85, 0.9)]
    assert parted[0] == pytest.approx(parted[1], abs=0.5)
    assert parted[1] + 2 < parted[2] < parted[3] < parted[4]
    assert at_stage(0.95).nuclei == (-58.4 / 4, 58.4 / 4)
    assert spread("ring", 0.3) > 2.5 * spread("ring", 0.75)


def test_the_twins_are_the_nearest_two(images: dict[str, np.ndarray]) -> None:
    means = {
        protein: np.mean([image[..., 1] for file, image in images.items() if file.split("/")[0] == protein], axis=0)
        for protein in yeast.PROTEINS
    }
    apart = {pair: float(np.linalg.norm(means[pair[0]] - means[pair[1]])) for pair in combinations(means, 2)}
    order = sorted(apart, key=apart.__getitem__)
    assert order[0] == ("patches", "patches_twin")
    spots = [sum(yeast.green(philox(2, k), at_stage(0.6), name).sum() for k in range(60)) for name in order[0]]
    assert spots[1] > 1.08 * spots[0]  # alike, but not the same


def test_greens_share_only_the_cell() -> None:
    """In one shape, what is drawn anew in one protein tells nothing of another; over shapes, proteins go together."""

    def brightest(cell: yeast.Cell, protein: str, key: int) -> float:
        light = yeast.green(philox(3, key, len(protein)), cell, protein)
        return float(light[:, :40].sum() / light.sum())

    def agreement(cells: list[yeast.Cell]) -> float:
        seen = [[brightest(cell, name, key) for key, cell in enumerate(cells)] for name in ("tips", "patches")]
        return float(np.corrcoef(seen)[0, 1])

    assert abs(agreement([OLD_LEFT] * 150)) < 0.25
    assert agreement([replace(OLD_LEFT, old_end=side) for side in (-1, 1) * 75]) > 0.8


def test_the_same_bytes_every_time(folder: Path, tmp_path: Path) -> None:
    yeast.write(tmp_path, silent, **SMALL)
    for path in folder.rglob("*.*"):
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_a_second_fetch_finds_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yeast, "write", partial(yeast.write, fields_each=1, cells_each=1))
    steps: list[tuple[int, int]] = []
    folder = yeast.fetch(tmp_path, lambda done, total: steps.append((done, total)))
    assert steps == [(done, 6) for done in range(1, 7)]
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic_yeast"]
    monkeypatch.delattr(yeast, "write")
    assert yeast.fetch(tmp_path, silent) == folder


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"truth\.csv"):
        yeast.layout(tmp_path)
