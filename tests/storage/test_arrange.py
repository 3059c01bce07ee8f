"""Several files of one image: each at its place in an array, label images beside it, whatever a shard covers."""

import hashlib
import itertools
import math
from pathlib import Path

import numpy as np
import ome_zarr_models.v05 as ome_zarr
import pytest
import tifffile
import zarr
from PIL import Image

from storage import images
from storage.ingest import ingest
from storage.layout import Layout, from_pattern

RANDOM = np.random.default_rng(0)


def noise(kind: type, *shape: int) -> np.ndarray:
    return RANDOM.integers(0, 2 if kind is bool else np.iinfo(kind).max + 1, shape).astype(kind)


def picture(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(path)


def test_channels_and_planes_of_several_files_become_one_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards cover less than a plane, so that files and shards meet in every way."""
    monkeypatch.setattr("storage.store.CHUNK_BYTES", 1)
    monkeypatch.setattr("storage.store.SHARD_BYTES", 1100 * 1024)
    folder = tmp_path / "source"
    folder.mkdir()
    values = noise(np.uint8, 2, 3, 1100, 1030)
    for c, z in itertools.product(range(2), range(3)):
        tifffile.imwrite(folder / f"e1_{'ab'[c]}_z{z + 4}.tif", values[c, z])
    store = ingest(folder, tmp_path / "store", from_pattern("{embryo}_{channel}_{z}.tif")).store
    (series,) = store.series
    assert (series.shape, series.channels) == ((1, 2, 3, 1100, 1030), ("a", "b"))
    assert store.array(series).shards == (1, 1, 1, 1024, 1024)
    assert np.array_equal(store.array(series)[0], values)
    assert store.images.select(["file", "frames", "embryo"]).to_pylist() == [
        {"file": "e1_a_z4.tif", "frames": 1, "embryo": "e1"}
    ]
    for row in store.files.to_pylist():
        c, z = "ab".index(row["channel"]), row["z"] - 4
        assert (row["min"], row["max"]) == (values[c, z].min(), values[c, z].max())
        assert row["sha256"] == hashlib.sha256((folder / row["file"]).read_bytes()).hexdigest()


def test_label_images_lie_beside_the_images_and_keep_their_values(tmp_path: Path) -> None:
    """1-bit and 8-bit files in one folder, and an image without."""
    folder = tmp_path / "source"
    for name in ("raw", "cells"):
        (folder / name).mkdir(parents=True)
    for number in range(3):
        picture(folder / "raw" / f"{number}.png", noise(np.uint8, 8, 9))
    bits, bytes_ = noise(bool, 8, 9), np.where(noise(bool, 8, 9), np.uint8(255), np.uint8(0))
    picture(folder / "cells" / "0.png", bits)
    picture(folder / "cells" / "2.png", bytes_)

    def describe(file: str) -> dict[str, str | int]:
        kind, name = file.split("/")
        return {"section": int(name[0])} | ({"labels": kind} if kind == "cells" else {})

    store = ingest(folder, tmp_path / "store", Layout(describe)).store
    assert store.series[0].labels == ("cells",)
    assert store.images.column("labels").to_pylist() == [["cells"], [], ["cells"]]
    expected = np.stack([bits.astype(np.uint8), np.zeros((8, 9), np.uint8), bytes_])[:, None, None]
    assert np.array_equal(store.array(store.series[0], "cells")[:], expected)
    root = zarr.open_group(store.path, mode="r")
    image = ome_zarr.Image.from_zarr(root["0"])
    assert image.labels is not None
    assert image.labels.label_paths == ["cells"]
    assert root["0/labels"].attrs["ome"]["version"] == "0.5"
    assert ome_zarr.ImageLabel.from_zarr(root["0/labels/cells"]).ome_attributes.image_label is not None


def test_label_images_of_several_integers_share_one_that_holds_them(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    labels = [noise(np.uint8, 8, 9), noise(np.int16, 8, 9)]
    for number, label in enumerate(labels):
        tifffile.imwrite(folder / f"raw_{number}.tif", noise(np.uint8, 8, 9))
        tifffile.imwrite(folder / f"l_{number}.tif", label)

    def describe(file: str) -> dict[str, str | int]:
        return {"n": int(file[-5])} | ({"labels": "l"} if file[0] == "l" else {})

    store = ingest(folder, tmp_path / "store", Layout(describe)).store
    array = store.array(store.series[0], "l")
    assert array.dtype == np.int16
    assert np.array_equal(array[:, 0, 0], np.stack(labels))


def test_a_task_reads_no_more_of_a_file_than_its_shard_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of a file: a stack by planes, a large plane by rows, a movie by times."""
    monkeypatch.setattr("storage.store.CHUNK_BYTES", 4096)
    monkeypatch.setattr("storage.store.SHARD_BYTES", 1 << 20)
    (tmp_path / "source").mkdir()
    for name, axes, shape in (("z", "ZYX", (50, 300, 300)), ("y", "YX", (6000, 700)), ("t", "TYX", (50, 300, 299))):
        tifffile.imwrite(tmp_path / "source" / f"{name}.tif", noise(np.uint8, *shape), metadata={"axes": axes})
    boxes: list[tuple[str, int]] = []
    read = images.read

    def seen(path: Path, facts: images.ImageFacts, box: images.Box) -> images.Frames:
        boxes.append((path.stem, math.prod(part.stop - part.start for part in box)))
        return read(path, facts, box)

    monkeypatch.setattr(images, "read", seen)
    store = ingest(tmp_path / "source", tmp_path / "store").store
    assert max(size for _, size in boxes) <= 1 << 20
    assert {name: sum(size for one, size in boxes if one == name) for name in "zyt"} == {
        series_file[0]: math.prod(series.shape)
        for series, series_file in zip(store.series, store.images.column("file").to_pylist(), strict=True)
    }
