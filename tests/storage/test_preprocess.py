"""Preparation: every patch is the part of its image that its row names, after the operations asked for."""

import itertools
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from storage.cuts import Cut
from storage.errors import DataError, RecipeError
from storage.ingest import ingest
from storage.layout import Described, Layout
from storage.leakage import pixel_hashes
from storage.manifest import check_digests
from storage.operations import Stack, operations
from storage.patches import PatchStore
from storage.preprocess import Preparation, prepare
from storage.store import ImageStore

RANDOM = np.random.default_rng(0)
MOVIES = {
    name: RANDOM.integers(0, 1 << 12, (frames, 2, 3, 20, 26), np.uint16)
    for name, frames in (("a", 3), ("b", 1), ("c", 4))
}
"""Name -> T C Z Y X."""
CELLS = {name: RANDOM.integers(0, 3, (len(movie), 3, 20, 26), np.uint8) for name, movie in MOVIES.items()}
"""Name -> T Z Y X: a label image without objects that hang together."""
MEDIAN = {"name": "median", "size_zyx": (1, 3, 3)}
TO_BYTES = {"name": "display_range", "low": 1000, "high": 1000 + 4 * 255}
TILES = Cut("tiled", (6, 6))


def describe(file: str) -> Described:
    """`a.ome.tif` is movie a, `a.cell.tif` the label image cell of it."""
    movie, kind, *_ = file.split(".")
    return {"movie": movie} | ({} if kind in ("ome", "tif") else {"labels": kind})


def write(path: Path, pixels: np.ndarray, axes: str, **pixel_um: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, ome=True, metadata={"axes": axes, **pixel_um})


@pytest.fixture(scope="module")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image store of MOVIES and CELLS."""
    folder = tmp_path_factory.mktemp("movies")
    for name, pixels in MOVIES.items():
        write(folder / "raw" / f"{name}.ome.tif", pixels, "TCZYX", PhysicalSizeY=0.25, PhysicalSizeX=0.5)
        write(folder / "raw" / f"{name}.cell.tif", CELLS[name], "TZYX")
    return ingest(folder / "raw", folder / "store", Layout(describe)).store.path


def ingested(folder: Path, images: Mapping[str, np.ndarray], layout: Layout | None = None) -> Path:
    """A store of the images, TIFF files of Y X or T Z Y X."""
    for name, pixels in images.items():
        write(folder / "raw" / name, pixels, {2: "YX", 4: "TZYX"}[pixels.ndim])
    return ingest(folder / "raw", folder / "store", layout or Layout(describe)).store.path


def samples(store: PatchStore, labels: str | None = None) -> list[tuple[dict[str, Any], np.ndarray]]:
    """Each sample's row of metadata, and its values."""
    return list(zip(store.obs.to_pylist(), store.read_rows(0, store.shape[0], labels), strict=True))


def assert_patches_are_of(images: Mapping[str, np.ndarray], store: PatchStore, labels: str | None = None) -> None:
    """images: movie -> T C Z Y X, or T Z Y X of a label image."""
    *depth, height, width = store.shape[2:]
    for row, patch in samples(store, labels):
        z, y, x = row["z"], row["y"], row["x"]
        box = images[row["movie"]][row["frame"]][..., y : y + height, x : x + width]
        assert np.array_equal(patch, box[..., z : z + depth[0], :, :] if depth else box[..., z, :, :])


def places(store: PatchStore) -> list[tuple[Any, ...]]:
    return [tuple(row[key] for key in ("movie", "frame", "z", "y", "x")) for row in store.obs.to_pylist()]


def applied(operation: Mapping[str, Any], movie: np.ndarray) -> np.ndarray:
    """An operation on each frame of T C Z Y X."""
    keys = {key: value for key, value in operation.items() if key != "name"}
    return np.stack([operations()[operation["name"]](Stack(frame, ("0", "1")), **keys).image for frame in movie])


# patches are parts of the images


@pytest.mark.parametrize(
    "cut",
    [
        TILES,
        Cut("tiled", (2, 7, 9), dimensions=3),
        Cut("one_random", (7, 20)),
        Cut("random", (2, 5, 5), dimensions=3, count=3),
        Cut("whole", ()),
        Cut("whole", (), dimensions=3),
    ],
    ids=lambda cut: f"{cut.kind} {cut.dimensions}",
)
def test_patches_and_their_labels_lie_where_their_rows_say(cut: Cut, movies: Path, tmp_path: Path) -> None:
    store = prepare(movies, tmp_path / "patches", Preparation(cut))
    assert_patches_are_of(MOVIES, store)
    assert_patches_are_of(CELLS, store, "cell")
    assert store.labels == ("cell",)
    frames = [(name, t) for name, movie in MOVIES.items() for t in range(len(movie))]
    assert {place[:2] for place in places(store)} == set(frames)
    check_digests(store.path, store.manifest)


def test_tiles_are_all_there_and_shuffled(movies: Path, tmp_path: Path) -> None:
    store = prepare(movies, tmp_path / "patches", Preparation(TILES))
    planes = [(file, t, z) for file, movie in MOVIES.items() for t in range(len(movie)) for z in range(3)]
    wanted = [(*plane, y, x) for plane in planes for y in (0, 6, 12) for x in (0, 6, 12, 18)]
    assert sorted(places(store)) == wanted != places(store)


def test_times_and_slices_and_the_subset_alone_are_cut(movies: Path, tmp_path: Path) -> None:
    how = Preparation(TILES, subset={"movie": ["c", "b"]}, times=(1, 2), slices=(1, 1))
    store = prepare(movies, tmp_path / "patches", how)
    assert {place[:3] for place in places(store)} == {("c", 1, 1), ("c", 2, 1)}
    assert_patches_are_of(MOVIES, store)
    volumes = Preparation(Cut("whole", (), dimensions=3), times=(0, 0), slices=(1, 2))
    store = prepare(movies, tmp_path / "volumes", volumes)
    assert store.shape == (3, 2, 2, 20, 26)
    assert_patches_are_of(MOVIES, store)


@pytest.mark.parametrize(
    "wanted", [{"times": (9, 12)}, {"slices": (1, 3)}, {"slices": (2, 1)}, {"subset": {"movie": ["z"]}}]
)
def test_what_is_not_there_is_told(wanted: dict[str, Any], movies: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"counted from 0|movie is one of a, b, c"):
        prepare(movies, tmp_path / "patches", Preparation(TILES, **wanted))
    assert list(tmp_path.iterdir()) == []


def test_operations_come_before_the_cut_or_after_it(movies: Path, tmp_path: Path) -> None:
    smooth = {name: applied(MEDIAN, movie) for name, movie in MOVIES.items()}
    both = {name: applied(TO_BYTES, movie) for name, movie in smooth.items()}
    store = prepare(movies, tmp_path / "both", Preparation(TILES, (MEDIAN, TO_BYTES)))
    assert (store.dtype, store.value_range) == ("uint8", (0, 255))
    assert_patches_are_of(both, store)
    assert_patches_are_of(smooth, prepare(movies, tmp_path / "before", Preparation(TILES, (MEDIAN,))))
    after = prepare(movies, tmp_path / "after", Preparation(TILES, after=(MEDIAN,)))
    for row, patch in samples(after):
        frame = MOVIES[row["movie"]][row["frame"]]
        box = frame[:, row["z"], None, row["y"] : row["y"] + 6, row["x"] : row["x"] + 6]
        assert np.array_equal(patch, applied(MEDIAN, box[None])[0, :, 0])


def test_operations_change_channels_labels_and_pixels(movies: Path, tmp_path: Path) -> None:
    chain = (
        {"name": "select_channels", "names": ["channel1"]},
        {"name": "max_projection"},
        {"name": "drop_labels", "names": ["cell"]},
    )
    store = prepare(
        movies, tmp_path / "patches", Preparation(Cut("tiled", (10, 10)), chain, ({"name": "resize", "size": [5, 5]},))
    )
    assert (store.channels, store.labels, store.shape[1:]) == (("channel1",), (), (1, 5, 5))
    assert store.pixel_um == (0.5, 1.0)
    assert not (store.path / "labels").exists()


def test_the_metadata_of_images_and_of_samples_come_along(movies: Path, tmp_path: Path) -> None:
    store = prepare(movies, tmp_path / "patches", Preparation(TILES))
    assert store.obs.column_names == ["file", "movie", "frame", "z", "y", "x", "pixels", "dhash"]
    assert set(store.obs.column("file").to_pylist()) == {"a.ome.tif", "b.ome.tif", "c.ome.tif"}
    hashes = pixel_hashes(store.read_rows(0, store.shape[0]))
    assert store.obs.column("pixels").to_pylist() == hashes.tolist()
    assert len(set(store.obs.column("dhash").to_pylist())) > store.shape[0] / 2


def test_the_manifest_remembers_how_the_samples_were_made(movies: Path, tmp_path: Path) -> None:
    how = Preparation(Cut("tiled", (2, 6, 6), dimensions=3), (MEDIAN, TO_BYTES), subset={"movie": ["a"]}, seed=5)
    facts = prepare(movies, tmp_path / "patches", how).manifest.facts
    assert facts["source"] == ImageStore.open(movies).manifest.digest
    assert facts["recipe"]["cut"]["size"] == [2, 6, 6]
    assert facts["recipe"]["operations"] == [MEDIAN | {"size_zyx": [1, 3, 3]}, TO_BYTES]
    assert (facts["recipe"]["seed"], facts["recipe"]["subset"]) == (5, {"movie": ["a"]})
    assert (facts["channels"], facts["pixel_um"]) == (["channel0", "channel1"], [None, 0.25, 0.5])


# values


@pytest.mark.parametrize(
    ("values", "dtype", "value_range"),
    [
        ((7, 300, 4095), np.uint16, (7, 4095)),
        ((9, 9, 9), np.uint16, (9, 10)),
        ((-1.5, 0, 2.25), np.float32, (-1.5, 2.25)),
        ((0, 1, 0), np.bool_, (0, 1)),
        ((0, 1, 0), np.uint8, (0, 255)),
    ],
)
def test_black_and_white(values: tuple[float, ...], dtype: Any, value_range: tuple[float, ...], tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for number, value in enumerate(values):
        tifffile.imwrite(tmp_path / "raw" / f"{number}.tif", np.full((4, 4), value, dtype))
    source = ingest(tmp_path / "raw", tmp_path / "store").store.path
    assert prepare(source, tmp_path / "patches", Preparation(Cut("tiled", (4, 4)))).value_range == value_range


@pytest.mark.parametrize("dtype", [np.int16, np.float64, np.uint32])
def test_values_that_are_not_kept_need_a_display_range(dtype: Any, tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 4000, (8, 9)).astype(dtype)
    source = ingested(tmp_path, {"a.tif": pixels})
    with pytest.raises(RecipeError, match=f"patches of {np.dtype(dtype).name} are not kept.*display_range"):
        prepare(source, tmp_path / "patches", Preparation(Cut("tiled", (4, 4))))
    store = prepare(source, tmp_path / "patches", Preparation(Cut("tiled", (4, 4)), (TO_BYTES,)))
    assert_patches_are_of({"a": applied(TO_BYTES, pixels[None, None, None])}, store)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_refused(value: float, tmp_path: Path) -> None:
    pixels = RANDOM.random((3, 1, 8, 8)).astype(np.float32)
    pixels[1, 0, 5, 6] = value
    source = ingested(tmp_path, {"a.tif": pixels})
    with pytest.raises(DataError, match=r"no numbers.*1 of 16 values of a patch, cut from frame 1 of array '0'"):
        prepare(source, tmp_path / "patches", Preparation(Cut("tiled", (4, 4))))
    assert {path.name for path in tmp_path.iterdir()} == {"raw", "store"}
    assert prepare(source, tmp_path / "patches", Preparation(Cut("tiled", (4, 4)), (TO_BYTES,))).dtype == "uint8"


# several arrays


def in_wells(file: str) -> Described:
    """`P1_A01_f0.tif`."""
    plate, well, field = file.removesuffix(".tif").split("_")
    return {"movie": file.removesuffix(".tif"), "plate": plate, "well": well, "field": int(field[1:])}


def test_the_images_of_a_screen_are_prepared_together(tmp_path: Path) -> None:
    images = {
        f"{plate}_{well}_f{field}": RANDOM.integers(0, 256, (8, 9), np.uint8)
        for plate, well, field in itertools.product(("P1", "P2"), ("A01", "B02"), (0, 1))
    }
    source = ingested(tmp_path, {f"{name}.tif": image for name, image in images.items()}, Layout(in_wells))
    assert len(ImageStore.open(source).series) == 8
    store = prepare(source, tmp_path / "patches", Preparation(Cut("random", (4, 4), count=5)))
    assert store.shape == (40, 1, 4, 4)
    assert_patches_are_of({name: image[None, None, None] for name, image in images.items()}, store)
    assert {"plate", "well", "field"} < set(store.obs.column_names)
    one = prepare(source, tmp_path / "one", Preparation(Cut("whole", ()), subset={"well": ["B02"], "plate": ["P2"]}))
    assert {place[0] for place in places(one)} == {"P2_B02_f0", "P2_B02_f1"}


def test_images_of_two_kinds_are_refused_by_name_unless_one_is_chosen(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    Image.new("RGB", (9, 8)).save(tmp_path / "raw" / "b.png")
    source = ingested(
        tmp_path,
        {"a.tif": np.ones((8, 9), np.uint8), "c.tif": np.ones((9, 9), np.uint8)},
        Layout(lambda file: {"kind": file[0]}),
    )
    with pytest.raises(DataError, match=r"3 kinds.*a\.tif is C Z Y X = 1 x 1 x 8 x 9.*b\.png is .*3 x 1 x 8 x 9"):
        prepare(source, tmp_path / "patches", Preparation(Cut("tiled", (4, 4))))
    store = prepare(source, tmp_path / "patches", Preparation(Cut("tiled", (4, 4)), subset={"kind": ["b"]}))
    assert store.shape == (4, 3, 4, 4)


# what is done and what is not


def test_the_seed_decides_the_places_and_their_order(movies: Path, tmp_path: Path) -> None:
    one, two, other = (
        prepare(movies, tmp_path / name, Preparation(Cut("one_random", (6, 6)), seed=seed))
        for name, seed in (("one", 1), ("two", 1), ("other", 2))
    )
    assert one.digest == two.digest != other.digest
    assert sorted(places(one)) != sorted(places(other))
    assert [place[:3] for place in places(one)] != [place[:3] for place in places(other)]


def unused(*given: object) -> Any:
    pytest.fail("it is told before anything is done")


def test_what_stands_at_the_target_is_untouched(movies: Path, tmp_path: Path) -> None:
    (tmp_path / "patches").write_text("mine")
    with pytest.raises(RecipeError, match="never changed"):
        prepare(movies, tmp_path / "patches", Preparation(TILES), executor=unused)
    assert (tmp_path / "patches").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["patches"]


def test_a_codec_that_is_none_is_told_first(movies: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no codec 'gzip'"):
        prepare(movies, tmp_path / "patches", Preparation(TILES, codec={"name": "gzip"}), executor=unused)


def test_a_damaged_image_store_leaves_nothing(movies: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(movies, tmp_path / "store"))
    shard = next(path for path in (source / "0" / "0" / "c").rglob("*") if path.is_file())
    data = shard.read_bytes()
    shard.write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
    with pytest.raises(DataError, match="is damaged"):
        prepare(source, tmp_path / "patches", Preparation(TILES))
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
