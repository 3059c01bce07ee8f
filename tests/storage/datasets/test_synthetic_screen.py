"""Synthetic screen: mechanisms show in the cells, batches in the light, and every time the same."""

import csv
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile

from storage.datasets import synthetic_screen as screen
from storage.drawing import philox
from storage.errors import MissingError
from storage.layout import Layout

SMALL = {"plates": 1, "compounds": 8, "controls": 4, "fields": 1, "size": 112}
Fields = list[dict]


def silent(done: int, total: int) -> None:
    pass


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two plates of 12 wells, one per batch."""
    folder = tmp_path_factory.mktemp("screen")
    screen.write(folder, silent, **SMALL)
    return folder


@pytest.fixture(scope="module")
def layout(folder: Path) -> Layout:
    return screen.layout(folder)


@pytest.fixture(scope="module")
def fields(folder: Path, layout: Layout) -> Fields:
    """Per field what is known of it, and its images by channel or label."""
    found: dict[tuple, dict] = {}
    for path in sorted(folder.rglob("*.tif")):
        known = dict(layout.describe(path.relative_to(folder).as_posix()))
        kind = known.pop("channel", None) or known.pop("labels")
        found.setdefault(tuple(known.values()), known)[kind] = tifffile.imread(path)
    return list(found.values())


def test_every_file_is_described_and_every_field_whole(folder: Path, fields: Fields) -> None:
    assert len(fields) == 24
    for field in fields:
        assert set(screen.ABOUT.groups) <= field.keys()
        images = [field[name] for name in (*screen.CHANNELS, "cells", "nuclei")]
        assert {(image.shape, image.dtype) for image in images} == {((112, 112), np.dtype(np.uint16))}
        assert field["control"] == (field["compound"] == "DMSO") == (field["concentration"] == 0)
    assert len(table(folder / "truth.csv")) == 24


def test_other_files_are_left_out(layout: Layout) -> None:
    for file in ("metadata.csv", "P1/A01_s1.tif", "P9/A01_s1_wDNA.tif", "P1/Z99_s1_wDNA.tif", "x/P1/A01_s1_wDNA.tif"):
        assert layout.describe(file) is None


def test_a_nucleus_has_its_cells_number(fields: Fields) -> None:
    for field in fields:
        nuclei, cells = field["nuclei"], field["cells"]
        np.testing.assert_array_equal(cells[nuclei > 0], nuclei[nuclei > 0])
        assert (np.unique(nuclei)[1:].size) > 1
        dna = field["DNA"].astype(float)
        assert dna[nuclei > 0].mean() > 2 * dna[nuclei == 0].mean()
        assert field["tubulin"][cells > 0].mean() > 1.5 * field["tubulin"][cells == 0].mean()


def nuclear_area(field: dict) -> float:
    return float(np.median(np.unique(field["nuclei"], return_counts=True)[1][1:]))


@pytest.mark.parametrize("plate", ["P1", "P2"])
def test_nuclei_tell_damage_from_control_from_synthesis(fields: Fields, plate: str) -> None:
    def area(moa: str, dose: float) -> float:
        return float(
            np.mean(
                [
                    nuclear_area(field)
                    for field in fields
                    if (field["plate"], field["moa"], field["concentration"]) == (plate, moa, dose)
                ]
            )
        )

    control = area("DMSO", 0)
    assert area("DNA damage", 10) > area("DNA damage", 1) > 1.1 * control
    assert area("protein synthesis", 10) < area("protein synthesis", 1) < 0.95 * control


def test_each_trait_changes_the_picture() -> None:
    """What the other mechanisms do, seen on one field drawn twice: stress fibres and microtubules."""

    def roughness(moa: str, channel: int) -> float:
        normal, effect = np.array(list(screen.TRAITS.values())), np.array(screen.MECHANISMS.get(moa, np.zeros(6)))
        light, cells, _ = screen.draw(philox(5), normal * np.exp(effect), 128)
        shown = light[channel]
        return float(np.abs(np.diff(shown, axis=0))[cells[1:] > 0].mean() / shown[cells > 0].mean())

    assert roughness("microtubule destabilisation", 2) < 0.75 * roughness("DMSO", 2)
    normal = np.array(list(screen.TRAITS.values()))
    disrupted = normal * (1, 1, 1, 1, 0.15, 1)
    bright = [screen.draw(philox(5), traits, 128)[0][1].sum() for traits in (normal, disrupted)]
    assert bright[1] < 0.8 * bright[0]


def test_controls_show_the_gain_of_their_plate(folder: Path, fields: Fields) -> None:
    truth = {row["plate"]: row for row in table(folder / "truth.csv")}
    for channel, mask in (("DNA", "nuclei"), ("tubulin", "cells")):
        seen = {
            plate: np.mean(
                [
                    field[channel][field[mask] > 0].mean() - 200
                    for field in fields
                    if field["plate"] == plate and field["control"]
                ]
            )
            for plate in ("P1", "P2")
        }
        planted = float(truth["P1"][f"gain_{channel}"]) / float(truth["P2"][f"gain_{channel}"])
        assert not 0.75 < planted < 1.33
        assert seen["P1"] / seen["P2"] == pytest.approx(planted, rel=0.25)


def test_the_illumination_is_as_written() -> None:
    light = screen.Lamp(np.ones(3), tilt_y=0.1, tilt_x=-0.2, fall=0.05).illumination(5)
    assert light[2, 2] == 1
    assert light[4, 2] == pytest.approx(1 + 0.1 - 0.05)
    assert light[0, 4] == pytest.approx(1 - 0.1 - 0.2 - 0.1)


def test_a_mechanism_has_two_compounds_in_each_batch_and_a_compound_one_batch() -> None:
    batches = [screen.wells(0, batch, 2, 16, 8) for batch in (0, 1)]
    for batch in batches:
        assert len(batch) == 24
        for moa in screen.MECHANISMS:
            assert len({well.compound for well in batch if well.moa == moa}) == 2
    first, second = ({well.compound for well in batch} for batch in batches)
    assert first & second == {"DMSO"}


def test_the_same_bytes_every_time(folder: Path, tmp_path: Path) -> None:
    screen.write(tmp_path, silent, **SMALL)
    files = [path.relative_to(folder) for path in folder.rglob("*.*")]
    assert len(files) == 24 * 5 + 2
    for file in files:
        assert (tmp_path / file).read_bytes() == (folder / file).read_bytes()


def test_a_second_fetch_finds_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"plates": 1, "compounds": 4, "controls": 1, "fields": 1, "size": 32}
    monkeypatch.setattr(screen, "write", partial(screen.write, **small))
    steps: list[tuple[int, int]] = []
    folder = screen.fetch(tmp_path, lambda done, total: steps.append((done, total)))
    assert steps[-1][0] == steps[-1][1] == len(steps)
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic_screen"]
    monkeypatch.delattr(screen, "write")
    assert screen.fetch(tmp_path, silent) == folder


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"metadata\.csv"):
        screen.layout(tmp_path)
