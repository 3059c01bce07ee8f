"""Frames from all over a store, however large it is."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from distgan.data import frames
from distgan.data.frames import frames_of_images, frames_of_patches, place_of, spread
from storage.cuts import Cut
from storage.errors import DataError
from storage.ingest import ingest
from storage.layout import from_pattern
from storage.patches import PatchStore
from storage.preprocess import Preparation, prepare
from storage.store import ImageStore


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    """100 frames, each of two channels, 6 planes of 20 x 30; a value tells frame, channel and plane."""
    folder = tmp_path_factory.mktemp("movie")
    t, c, z = np.ogrid[:100, :2, :6]
    image = np.broadcast_to((t * 100 + c * 10 + z)[..., None, None], (100, 2, 6, 20, 30)).transpose(0, 2, 1, 3, 4)
    tifffile.imwrite(folder / "movie.tif", image.astype(np.uint16), imagej=True, metadata={"axes": "TZCYX"})
    return ingest(folder, folder.with_name("movie_store")).store


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    """Three plates of 2 x 2 wells of two fields; a value tells plate and field."""
    folder = tmp_path_factory.mktemp("screen") / "source"
    folder.mkdir()
    for plate in range(3):
        for well in ("A01", "A02", "B01", "B02"):
            for field in range(2):
                pixels = np.full((8, 9), 10 * plate + field, np.uint8)
                pixels[0, 0] = ord(well[0]) + int(well[1:])
                tifffile.imwrite(folder / f"P{plate}_{well}_{field}.tif", pixels)
    return ingest(folder, folder.with_name("store"), from_pattern("{plate}_{well}_{field}.tif")).store


def test_of_one_array_frames_come_from_beginning_to_end(movie: ImageStore) -> None:
    found = frames_of_images(movie)
    shown = [int(one.image[0, 0, 0, 0]) // 100 for one in found]
    assert shown == spread(100, frames.MOST)
    assert shown[0] == 0
    assert shown[-1] == 99
    assert all(one.image.shape == (2, 6, 20, 30) == one.whole and one.is_whole for one in found)
    assert all(one.name == "movie.tif" and one.place is None for one in found)


@pytest.mark.parametrize(
    ("frame_bytes", "shape"),
    [
        (14_400, (2, 6, 20, 30)),
        (5 * 2400, (2, 5, 20, 30)),
        (2400, (2, 1, 20, 30)),
        (1600, (2, 1, 20, 20)),
        (0, (2, 1, 1, 1)),
    ],
)
def test_of_large_frames_the_middle_is_read(
    movie: ImageStore, monkeypatch: pytest.MonkeyPatch, frame_bytes: int, shape: tuple[int, ...]
) -> None:
    monkeypatch.setattr(frames, "BUDGET_BYTES", frames.FEWEST * frame_bytes)
    found = frames_of_images(movie)
    assert len(found) == frames.FEWEST
    for one, frame in zip(found, spread(100, frames.FEWEST), strict=True):
        assert one.image.shape == shape
        assert one.is_whole == (shape == (2, 6, 20, 30))
        planes = np.arange(6)[(6 - shape[1]) // 2 :][: shape[1]]
        expected = np.broadcast_to((frame * 100 + np.asarray([[0], [10]]) + planes)[..., None, None], shape)
        assert np.array_equal(one.image, expected)


def test_what_is_chosen_is_spread() -> None:
    assert spread(10, 4) == [0, 3, 6, 9]
    assert spread(3, 4) == [0, 1, 2]
    assert spread(5, 1) == [0]


def test_what_small_frames_leave_is_for_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "BUDGET_BYTES", 100)
    assert frames._share([10, 10, 200]) == 80
    assert frames._share([200, 60, 200]) == 33
    assert frames._share([10, 20]) == 20


def test_of_a_screen_one_field_of_each_well_is_read(screen: ImageStore) -> None:
    found = frames_of_images(screen)
    wells = [(row, column) for row in "AB" for column in (1, 2)]
    assert {one.place for one in found} == {(f"P{plate}", *well) for plate in range(3) for well in wells}
    assert len(found) == 12
    for one in found:
        assert one.place is not None
        plate, row, column = one.place
        assert one.image[0, 0, 0, 0] == ord(row) + column
        assert one.image[0, 0, 1, 1] == 10 * int(plate[1])  # of its first field
        assert one.name == f"{plate}_{row}{column:02d}_0.tif"


def test_of_many_plates_whole_ones_are_read(screen: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "WELLS", 9)
    assert [one.place[0] for one in frames_of_images(screen) if one.place] == ["P0"] * 4 + ["P2"] * 4
    monkeypatch.setattr(frames, "WELLS", 2)
    assert [one.place for one in frames_of_images(screen)] == [("P0", "A", 1), ("P0", "B", 2)]


@pytest.mark.parametrize(
    ("series", "place"),
    [
        ("P/AF/48/3", ("P", "AF", 48)),
        ("P/B/02/0", ("P", "B", 2)),
        ("0", None),
        ("P/b/02/0", None),
        ("P/B/02", None),
        ("P/Q/B/02/0", None),
    ],
)
def test_the_well_is_read_off_the_path(series: str, place: tuple[str, str, int] | None) -> None:
    assert place_of(series) == place


def test_samples_come_with_their_rows_and_their_label_images(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = Preparation(Cut("tiled", (32, 32)), operations=({"name": "segment_nuclei", "channel": "channel0"},))
    store = prepare(images, tmp_path / "patches", how)
    assert len(frames_of_patches(store)) == store.shape[0] == 108
    monkeypatch.setattr(frames, "SAMPLES", 40)
    found = frames_of_patches(store)
    assert len(found) == 40
    for one in found:
        row = int(one.name.removeprefix("sample "))
        assert np.array_equal(one.image[:, 0], store.read_rows(row, row + 1)[0])
        assert list(one.labels) == ["nucleus"]
        assert np.array_equal(one.labels["nucleus"], store.read_rows(row, row + 1, "nucleus"))


def test_a_large_patch_store_is_read_in_a_few_runs(patch_store: PatchStore, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, int]] = []

    def read_rows(_: PatchStore, start: int, stop: int) -> NDArray[np.uint8]:
        read.append((start, stop))
        return np.zeros((stop - start, 1, 8, 8), np.uint8)

    monkeypatch.setattr(PatchStore, "read_rows", read_rows)
    large = PatchStore(
        **vars(patch_store) | {"shape": (1_000_000, 1, 8, 8), "chunk": 1000, "labels": (), "pixel_um": (None, None)}
    )
    names = [one.name for one in frames_of_patches(large)]
    assert names == [f"sample {row}" for start, stop in read for row in range(start, stop)]
    assert len(read) == frames.BLOCKS
    assert read[0] == (0, 32)
    assert read[-1] == (999_000, 999_032)
    read.clear()
    monkeypatch.setattr(frames, "BUDGET_BYTES", 3 * 64_000)
    frames_of_patches(large)
    assert len(read) == 3


def test_damage_is_told_not_shown(movie: ImageStore, tmp_path: Path) -> None:
    store = ImageStore.open(shutil.copytree(movie.path, tmp_path / "copy"))
    shard = next(path for path in (store.path / "0" / "0" / "c").rglob("*") if path.is_file())
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DataError, match="0/0/c/0"):
        frames_of_images(store)
