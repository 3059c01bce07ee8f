"""Ingest: every value as it was in its file, many files in one array, and a table that says where each is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import ome_zarr_models.v05 as ome_zarr
import pytest
import tifffile
import zarr
from PIL import Image

from storage.ingest import ingest
from storage.manifest import check_digests
from storage.store import ImageStore

RANDOM = np.random.default_rng(0)


def noise(dtype: Any, *shape: int) -> np.ndarray:
    if np.issubdtype(dtype, np.floating):
        return RANDOM.normal(size=shape).astype(dtype)
    return RANDOM.integers(0, 2 if dtype is bool else np.iinfo(dtype).max + 1, shape).astype(dtype)


def frames_of(store: ImageStore, file: str, labels: str = "") -> np.ndarray:
    """T C Z Y X of the image whose first file is given, or T 1 Z Y X of one of its label images."""
    row = next(row for row in store.images.to_pylist() if row["file"] == file)
    series = next(one for one in store.series if one.name == row["series"])
    return np.asarray(store.array(series, labels)[row["first_frame"] : row["first_frame"] + row["frames"]])


def picture(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(path)


def tiff(**how: Any) -> Callable[[Path, np.ndarray], None]:
    return lambda path, pixels: tifffile.imwrite(path, pixels, **how)


AS_TCZYX: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "YX": lambda pixels: pixels[None, None, None],
    "YXC": lambda pixels: pixels.transpose(2, 0, 1)[None, :, None],
    "ZYX": lambda pixels: pixels[None, None],
    "TCYX": lambda pixels: pixels[:, :, None],
    "TZCYX": lambda pixels: pixels.swapaxes(1, 2),
}
GREY, RGB = {"photometric": "minisblack"}, {"photometric": "rgb"}
KINDS: dict[str, tuple[str, np.ndarray, Callable[[Path, np.ndarray], None]]] = {
    "grey.jpg": ("YX", noise(np.uint8, 24, 32), picture),
    "colour.JPEG": ("YXC", noise(np.uint8, 24, 32, 3), picture),
    "grey.png": ("YX", noise(np.uint8, 24, 32), picture),
    "bits.png": ("YX", noise(bool, 24, 32), picture),
    "deep.png": ("YX", noise(np.uint16, 24, 32), picture),
    "colour.png": ("YXC", noise(np.uint8, 24, 32, 3), picture),
    "alpha.png": ("YXC", noise(np.uint8, 24, 32, 4), picture),
    "u8.tif": ("YX", noise(np.uint8, 24, 32), tiff()),
    "u16.tiff": ("YX", noise(np.uint16, 24, 32), tiff(byteorder=">")),
    "i16.tif": ("YX", noise(np.int16, 24, 32), tiff()),
    "f32.tif": ("YX", noise(np.float32, 24, 32), tiff()),
    "bits.tif": ("YX", noise(bool, 24, 32), tiff()),
    "tiled.tif": ("YX", noise(np.uint16, 40, 50), tiff(tile=(16, 16))),
    "deflate.tif": ("YX", noise(np.uint16, 24, 32), tiff(compression="zlib", predictor=True)),
    "lzw.tif": ("YX", noise(np.uint8, 24, 32), tiff(compression="lzw")),
    "zstd.tif": ("YX", noise(np.float32, 24, 32), tiff(compression="zstd")),
    "colour.tif": ("YXC", noise(np.uint16, 24, 32, 3), tiff(**RGB)),
    "pages.tif": ("ZYX", noise(np.uint8, 5, 24, 32), tiff(**GREY)),
    "z.ome.tif": ("ZYX", noise(np.uint16, 5, 24, 32), tiff(ome=True, metadata={"axes": "ZYX", "PhysicalSizeX": 0.5})),
    "tc.ome.tif": ("TCYX", noise(np.uint8, 3, 2, 24, 32), tiff(ome=True, metadata={"axes": "TCYX"})),
    "imagej.tif": ("TZCYX", noise(np.uint16, 2, 5, 3, 24, 32), tiff(imagej=True, metadata={"axes": "TZCYX"})),
}


@pytest.fixture(scope="module")
def of_all_kinds(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    folder = tmp_path_factory.mktemp("kinds") / "source"
    folder.mkdir()
    for name, (_, pixels, save) in KINDS.items():
        save(folder / name, pixels)
    done = ingest(folder, folder.with_name("store"))
    assert done.quarantined == ()
    return done.store


@pytest.mark.parametrize("name", KINDS)
def test_values_are_those_of_the_file(name: str, of_all_kinds: ImageStore) -> None:
    axes, pixels, _ = KINDS[name]
    frames = frames_of(of_all_kinds, name)
    if name.lower().endswith(("jpg", "jpeg")):  # lossy: what another decoder makes of it
        path = of_all_kinds.path.with_name("source") / name
        pixels = imagecodecs.jpeg8_decode(path.read_bytes())
    assert frames.dtype == (np.uint8 if pixels.dtype == bool else pixels.dtype)
    assert np.array_equal(frames, AS_TCZYX[axes](pixels))


def test_the_table_has_the_range_shape_and_digest_of_every_file(of_all_kinds: ImageStore) -> None:
    rows = {row["file"]: row for row in of_all_kinds.files.to_pylist()}
    assert set(rows) == set(KINDS)
    for name, (_, pixels, _) in KINDS.items():
        if "jp" not in name.lower():
            assert (rows[name]["min"], rows[name]["max"]) == (pixels.min(), pixels.max())
        assert tuple(rows[name]["shape"]) == pixels.shape
    assert rows["bits.tif"]["dtype"] == rows["bits.png"]["dtype"] == "bool"
    images = of_all_kinds.images.to_pylist()
    assert images[rows["imagej.tif"]["image"]]["frames"] == 2
    assert all(images[row["image"]]["file"] == file for file, row in rows.items())


def test_any_reader_of_ome_zarr_finds_every_image(of_all_kinds: ImageStore) -> None:
    root = zarr.open_group(of_all_kinds.path, mode="r")
    assert ome_zarr.BioFormats2Raw.from_zarr(root)
    assert root["OME"].attrs["ome"]["series"] == [one.name for one in of_all_kinds.series]
    assert len(of_all_kinds.series) > 10
    for one in of_all_kinds.series:
        (scale,) = ome_zarr.Image.from_zarr(root[one.name]).ome_attributes.multiscales[0].datasets
        assert scale.coordinateTransformations[0].scale[2:] == [size or 1 for size in one.pixel_um]
    assert (None, None, 0.5) in {one.pixel_um for one in of_all_kinds.series}
    check_digests(of_all_kinds.path, of_all_kinds.manifest)


def test_files_of_one_shape_share_one_array_in_natural_order(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    names = ["sub/t9.png", "t2.png", "t75.png", "t100.png", "t1000.png"]
    images = {name: noise(np.uint8, 8, 9) for name in names}
    for name in reversed(names):
        picture(folder / name, images[name])
    store = ingest(folder, tmp_path / "store").store
    assert [one.shape for one in store.series] == [(5, 1, 1, 8, 9)]
    assert store.files.column("file").to_pylist() == names
    assert store.images.column("first_frame").to_pylist() == [0, 1, 2, 3, 4]
    assert np.array_equal(store.array(store.series[0])[:, 0, 0], [images[name] for name in names])


def test_time_points_of_several_files_follow_one_another_over_many_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file has another number of frames than a shard, so that files and shards overlap in every way."""
    monkeypatch.setattr("storage.store.CHUNK_BYTES", 2 * 8 * 9)
    monkeypatch.setattr("storage.store.SHARD_BYTES", 4 * 8 * 9)
    folder = tmp_path / "source"
    folder.mkdir()
    movies = [noise(np.uint8, frames, 8, 9) for frames in (3, 1, 11, 2, 5)]
    for number, movie in enumerate(movies):
        tifffile.imwrite(folder / f"m{number}.ome.tif", movie, ome=True, metadata={"axes": "TYX"})
    store = ingest(folder, tmp_path / "store").store
    array = store.array(store.series[0])
    assert (array.chunks[0], array.shards[0], array.shape[0]) == (2, 4, 22)
    assert np.array_equal(array[:, 0, 0], np.concatenate(movies))
    assert store.images.column("first_frame").to_pylist() == [0, 3, 4, 15, 17]
    assert store.images.column("frames").to_pylist() == [3, 1, 11, 2, 5]
    assert store.files.column("max").to_pylist() == [movie.max() for movie in movies]


def test_other_shapes_types_and_voxels_make_images_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    for name, pixels in {
        "a": noise(np.uint8, 8, 9),
        "b": noise(np.uint8, 9, 8),
        "c": noise(np.uint16, 8, 9),
        "d": noise(np.uint8, 8, 9),
    }.items():
        tifffile.imwrite(folder / f"{name}.tif", pixels)
    tifffile.imwrite(folder / "e.tif", noise(np.uint8, 8, 9), ome=True, metadata={"axes": "YX", "PhysicalSizeX": 2})
    store = ingest(folder, tmp_path / "store").store
    rows = {row["file"]: (row["series"], row["first_frame"]) for row in store.images.to_pylist()}
    assert rows == {"a.tif": ("0", 0), "d.tif": ("0", 1), "b.tif": ("1", 0), "c.tif": ("2", 0), "e.tif": ("3", 0)}


def test_what_is_no_image_is_counted_and_what_is_hidden_is_not_seen(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    picture(folder / "a.png", noise(np.uint8, 8, 9))
    for name in ("notes.TXT", "b.txt", "truth.csv", "README", ".DS_Store", "._a.png"):
        (folder / name).touch()
    done = ingest(folder, tmp_path / "store")
    assert done.ignored == {".txt": 2, ".csv": 1, "": 1}
    assert done.quarantined == ()
    assert done.store.files.num_rows == 1


def test_the_digest_is_the_same_every_time_on_every_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File systems list their files in orders of their own, also those whose names sort as equal numbers."""
    folder = tmp_path / "source"
    folder.mkdir()
    for name in ("t1.png", "t01.png", "t001.png", "t²1.png", "1²2.png"):
        picture(folder / name, noise(np.uint8, 8, 9))
    digests, listed = set(), Path.rglob
    for workers, last_first in ((1, False), (3, True)):
        monkeypatch.setattr(Path, "rglob", lambda *what, order=last_first: sorted(listed(*what), reverse=order))
        digests.add(ingest(folder, tmp_path / f"store{workers}", workers=workers).store.manifest.digest)
    assert len(digests) == 1


def test_a_thousand_small_files_are_a_handful(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(1000):
        (folder / f"{number}.png").hardlink_to(folder / "0.png") if number else picture(
            folder / "0.png", noise(np.uint8, 8, 9)
        )
    steps: list[tuple[int, int]] = []
    store = ingest(folder, tmp_path / "store", progress=lambda *step: steps.append(step)).store
    assert store.files.num_rows == 1000
    assert len([path for path in store.path.rglob("*") if path.is_file()]) < 10
    assert [done / total for done, total in steps] == sorted(done / total for done, total in steps)
    assert steps[-1][0] == steps[-1][1]


def test_every_image_of_a_file_has_a_row(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    images = [noise(np.uint8, 8, 9), noise(np.uint16, 10, 7)]
    with tifffile.TiffWriter(folder / "two.tif") as file:
        for pixels in images:
            file.write(pixels, photometric="minisblack", metadata=None)
    store = ingest(folder, tmp_path / "store").store
    assert store.files.column("file").to_pylist() == ["two.tif", "two.tif#1"]
    for name, pixels in zip(("two.tif", "two.tif#1"), images, strict=True):
        assert np.array_equal(frames_of(store, name)[0, 0, 0], pixels)
    assert store.files.column("duplicate_of").to_pylist() == [None, None]
