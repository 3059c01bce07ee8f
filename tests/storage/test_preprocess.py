"""Preparation: every patch is the part of its image that its row names, after the operations asked for."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from storage.errors import DataError, RecipeError
from storage.ingest import ingest
from storage.manifest import read_manifest
from storage.patches import KIND, PatchStore
from storage.preprocess import OPERATIONS, Preparation, prepare
from storage.store import ImageStore

RANDOM = np.random.default_rng(0)
MOVIES = {
    f"{name}.ome.tif": RANDOM.integers(0, 1 << 12, (frames, 2, 3, 20, 26), np.uint16)
    for name, frames in (("a", 3), ("b", 1), ("c", 4))
}
"""File -> T C Z Y X."""
MEDIAN = {"name": "median", "size_zyx": (3, 3, 5)}
TO_BYTES = {"name": "display_range", "low": 1000, "high": 1000 + 4 * 255}


def nothing(file: str) -> Mapping[str, str | int]:
    return {}


def write_all(folder: Path, images: Mapping[str, np.ndarray], **how: Any) -> Path:
    folder.mkdir(parents=True)
    for name, pixels in images.items():
        tifffile.imwrite(folder / name, pixels, **how)
    return folder


@pytest.fixture(scope="module")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movies")
    metadata = {"axes": "TCZYX", "PhysicalSizeY": 0.25, "PhysicalSizeX": 0.5}
    source = write_all(folder / "source", MOVIES, ome=True, metadata=metadata)
    return ingest(source, folder / "store", lambda file: {"movie": file[0]}).store.path


def samples(store: PatchStore) -> list[tuple[dict[str, Any], np.ndarray]]:
    """Each sample's row of metadata, and C H W."""
    rows = np.arange(store.shape[0])
    return list(zip(store.obs.to_pylist(), store.read(rows), strict=True))


def assert_patches_are_of(images: Mapping[str, np.ndarray], store: PatchStore) -> None:
    size = store.shape[2]
    for row, patch in samples(store):
        z, y, x = row["z"], row["y"], row["x"]
        frame = images[row["file"]][row["frame"]]
        assert np.array_equal(patch, frame[:, z, y : y + size, x : x + size])


def places(store: PatchStore) -> list[tuple[Any, ...]]:
    return [tuple(row[key] for key in ("file", "frame", "z", "y", "x")) for row in store.obs.to_pylist()]


def test_tiles_cover_every_plane_once(movies: Path, tmp_path: Path) -> None:
    store = prepare(movies, tmp_path / "patches", Preparation(6, "tiled"))
    assert_patches_are_of(MOVIES, store)
    planes = [(file, t, z) for file, movie in MOVIES.items() for t in range(len(movie)) for z in range(3)]
    wanted = [(*plane, y, x) for plane in planes for y in (0, 6, 12) for x in (0, 6, 12, 18)]
    assert sorted(places(store)) == wanted
    assert places(store) != wanted  # they are shuffled


def test_one_random_patch_of_every_plane(movies: Path, tmp_path: Path) -> None:
    store = prepare(movies, tmp_path / "patches", Preparation(7, "one_random"))
    assert_patches_are_of(MOVIES, store)
    planes = [(file, t, z) for file, movie in MOVIES.items() for t in range(len(movie)) for z in range(3)]
    assert sorted(place[:3] for place in places(store)) == planes
    assert len({place[3:] for place in places(store)}) > len(planes) / 2
    assert {(0 <= y <= 13, 0 <= x <= 19) for *_, y, x in places(store)} == {(True, True)}


@pytest.mark.parametrize("cut", ["tiled", "one_random"])
def test_a_patch_may_be_as_large_as_the_image_and_no_larger(cut: Any, movies: Path, tmp_path: Path) -> None:
    assert {place[3] for place in places(prepare(movies, tmp_path / "whole", Preparation(20, cut)))} == {0}
    with pytest.raises(RecipeError, match=r"21 pixels, and the images are 20 x 26.*20 or less"):
        prepare(movies, tmp_path / "larger", Preparation(21, cut))
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def direct_median(frame: np.ndarray) -> np.ndarray:
    """C Z Y X; the median over boxes of 3 x 3 x 5, mirrored at the borders."""
    padded = np.pad(frame, ((0, 0), (1, 1), (1, 1), (2, 2)), mode="symmetric")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, (3, 3, 5), (1, 2, 3)), (-3, -2, -1))


def direct_bytes(frame: np.ndarray) -> np.ndarray:
    return np.clip(np.round((frame.astype(np.float64) - 1000) / 4), 0, 255)


def test_operations_are_those_of_the_books_and_in_the_order_given(movies: Path, tmp_path: Path) -> None:
    both = {name: np.stack([direct_bytes(direct_median(one)) for one in movie]) for name, movie in MOVIES.items()}
    store = prepare(movies, tmp_path / "both", Preparation(6, "tiled", (MEDIAN, TO_BYTES)))
    assert (store.dtype, store.value_range) == ("uint8", (0, 255))
    assert_patches_are_of(both, store)
    reverse = {name: np.stack([direct_median(direct_bytes(one)) for one in movie]) for name, movie in MOVIES.items()}
    assert_patches_are_of(reverse, prepare(movies, tmp_path / "reverse", Preparation(6, "tiled", (TO_BYTES, MEDIAN))))
    smooth = {name: np.stack([direct_median(one) for one in movie]) for name, movie in MOVIES.items()}
    store = prepare(movies, tmp_path / "median", Preparation(6, "one_random", (MEDIAN,)))
    assert store.dtype == "uint16"
    assert_patches_are_of(smooth, store)


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ({"name": "sharpen"}, "no operation 'sharpen'.*display_range, median"),
        ({}, "no operation 'None'"),
        ({"name": "median"}, "missing.*Its keys are size_zyx"),
        ({"name": "median", "size": (3, 3, 3)}, r"{'size'.*Its keys are size_zyx"),
        ({**TO_BYTES, "gamma": 2}, "unexpected.*Its keys are low, high"),
        ({"name": "median", "size_zyx": (3, 3)}, "median cannot"),
        ({"name": "median", "size_zyx": 3}, "median cannot"),
        ({"name": "median", "size_zyx": ("a", "b", "c")}, "median cannot"),
        ({"name": "display_range", "low": 5, "high": 5}, "display_range cannot"),
        ({"name": "display_range", "low": "dark", "high": 5}, "display_range cannot"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_read(
    operation: Mapping[str, Any], reason: str, movies: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=reason):
        prepare(movies, tmp_path / "patches", Preparation(6, "tiled", (TO_BYTES, operation)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_keep_the_shape(name: str) -> None:
    keys = {"median": MEDIAN, "display_range": TO_BYTES}[name]
    frame = MOVIES["a.ome.tif"][0]
    assert OPERATIONS[name](frame, **{key: value for key, value in keys.items() if key != "name"}).shape == frame.shape


def test_the_subset_alone_is_cut(movies: Path, tmp_path: Path) -> None:
    how = Preparation(6, "tiled", subset={"movie": ["c", "b"]})
    store = prepare(movies, tmp_path / "patches", how)
    assert set(store.obs.column("file").to_pylist()) == {"b.ome.tif", "c.ome.tif"}
    assert set(store.obs.column("movie").to_pylist()) == {"b", "c"}
    assert store.shape[0] == (1 + 4) * 3 * 12
    assert_patches_are_of(MOVIES, store)


def test_many_shards_hold_what_one_would(movies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = Preparation(6, "one_random", (TO_BYTES,))
    one = prepare(movies, tmp_path / "one", how)
    monkeypatch.setattr("storage.preprocess.CHUNK_BYTES", 2 * 2 * 36)
    monkeypatch.setattr("storage.preprocess.SHARD_BYTES", 6 * 2 * 36)
    many = prepare(movies, tmp_path / "many", how, threads=3)
    assert len([path for path in (many.path / "images" / "c").rglob("*") if path.is_file()]) == 4
    assert_patches_are_of({name: direct_bytes(movie) for name, movie in MOVIES.items()}, many)
    assert sorted(places(many)) == sorted(places(one))
    assert places(many) != places(one)


def test_the_seed_alone_decides_the_places_and_their_order(movies: Path, tmp_path: Path) -> None:
    one, two, other = (
        prepare(movies, tmp_path / name, Preparation(6, "one_random", seed=seed), threads=threads)
        for name, seed, threads in (("one", 1, 1), ("two", 1, 3), ("other", 2, 1))
    )
    assert one.digest == two.digest != other.digest
    assert sorted(places(one)) != sorted(places(other))
    assert [place[:3] for place in places(one)] != [place[:3] for place in places(other)]


def test_the_manifest_remembers_where_the_samples_came_from(movies: Path, tmp_path: Path) -> None:
    how = Preparation(6, "tiled", (MEDIAN, TO_BYTES), {"movie": ["a"]}, 5)
    store = prepare(movies, tmp_path / "patches", how)
    facts = read_manifest(store.path, KIND).facts
    assert facts["source"] == ImageStore.open(movies).manifest.digest
    assert facts["recipe"] == {
        "size": 6,
        "cut": "tiled",
        "operations": [MEDIAN | {"size_zyx": [3, 3, 5]}, TO_BYTES],
        "subset": {"movie": ["a"]},
        "seed": 5,
    }
    assert store.channels == ("channel0", "channel1")
    assert store.pixel_um == (0.25, 0.5)


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_images_that_are_no_bytes_need_a_display_range(dtype: Any, tmp_path: Path) -> None:
    images = {"a.tif": RANDOM.uniform(0, 4000, (8, 9)).astype(dtype)}
    source = ingest(write_all(tmp_path / "source", images), tmp_path / "store", nothing).store.path
    with pytest.raises(RecipeError, match=f"patches of {np.dtype(dtype).name} are not kept.*display_range"):
        prepare(source, tmp_path / "patches", Preparation(4, "tiled"))
    store = prepare(source, tmp_path / "patches", Preparation(4, "tiled", (TO_BYTES,)))
    assert_patches_are_of({"a.tif": direct_bytes(images["a.tif"])[None, None, None]}, store)


@pytest.mark.parametrize(("values", "value_range"), [((7, 300, 4095), (7, 4095)), ((9, 9, 9), (9, 10))])
def test_black_and_white_of_16_bits_are_the_extremes(
    values: tuple[int, ...], value_range: tuple[int, int], tmp_path: Path
) -> None:
    images = {f"{value}.tif": np.full((4, 4), value, np.uint16) for value in values}
    source = ingest(write_all(tmp_path / "source", images), tmp_path / "store", nothing).store.path
    assert prepare(source, tmp_path / "patches", Preparation(4, "tiled")).value_range == value_range


def test_images_of_two_kinds_are_refused_by_name_unless_one_is_chosen(tmp_path: Path) -> None:
    folder = write_all(tmp_path / "source", {"a.tif": np.ones((8, 9), np.uint8), "c.tif": np.ones((9, 9), np.uint8)})
    Image.new("RGB", (9, 8)).save(folder / "b.png")
    source = ingest(folder, tmp_path / "store", lambda file: {"kind": file[0]}).store.path
    with pytest.raises(DataError, match=r"3 kinds.*a\.tif is C Z Y X = 1 x 1 x 8 x 9.*b\.png is .*3 x 1 x 8 x 9"):
        prepare(source, tmp_path / "patches", Preparation(4, "tiled"))
    store = prepare(source, tmp_path / "patches", Preparation(4, "tiled", subset={"kind": ["b"]}))
    assert store.channels == ("red", "green", "blue")


def test_what_stands_at_the_target_is_untouched(movies: Path, tmp_path: Path) -> None:
    (tmp_path / "patches").write_text("mine")
    with pytest.raises(RecipeError, match="never changed"):
        prepare(movies, tmp_path / "patches", Preparation(6, "tiled"))
    assert (tmp_path / "patches").read_text() == "mine"


def test_a_damaged_image_store_leaves_nothing(movies: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(movies, tmp_path / "store"))
    shard = next(path for path in (source / "0" / "0" / "c").rglob("*") if path.is_file())
    data = shard.read_bytes()
    shard.write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
    with pytest.raises(DataError, match="is damaged"):
        prepare(source, tmp_path / "patches", Preparation(6, "tiled"))
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_progress_ends_with_all_samples(movies: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    prepare(movies, tmp_path / "patches", Preparation(6, "tiled"), progress=lambda *step: steps.append(step))
    assert steps == sorted(steps)
    assert steps[-1] == (288, 288)
