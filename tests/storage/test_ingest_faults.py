"""Bad input and sudden deaths: the good files are ingested and the bad ones named, or nothing is left."""

import io
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from storage import images
from storage.errors import DataError, MissingError, RecipeError
from storage.ingest import ingest
from storage.manifest import check_digests
from storage.store import ImageStore

NOISE = np.random.default_rng(0).integers(0, 256, (6, 40, 50), np.uint8)
STACK = np.random.default_rng(1).integers(0, 1 << 16, (2, 3, 2, 40, 50), np.uint16)


def nothing(file: str) -> Mapping[str, str | int]:
    return {}


def encoded(kind: str) -> bytes:
    data = io.BytesIO()
    Image.fromarray(NOISE[0]).save(data, kind)
    return data.getvalue()


def tiff(pixels: np.ndarray, **how: Any) -> bytes:
    data = io.BytesIO()
    tifffile.imwrite(data, pixels, **how)
    return data.getvalue()


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


BAD = {
    "cut.jpg": cut(encoded("JPEG")),
    "cut.png": cut(encoded("PNG")),
    "cut.tif": cut(tiff(NOISE[0])),
    "deflate.tif": cut(tiff(NOISE[0], compression="zlib")),
    "cut.ome.tif": cut(tiff(STACK, ome=True, metadata={"axes": "TZCYX"})),
    "imagej.tif": cut(tiff(STACK, imagej=True, metadata={"axes": "TZCYX"})),
    "zero.tif": b"",
    "zero.png": b"",
    "text.tif": b"file,label\na,1\n",
}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four images of `NOISE` in a shard, so that what is bad is in the middle of one."""
    monkeypatch.setattr("storage.store.CHUNK_BYTES", 2 * NOISE[0].size)
    monkeypatch.setattr("storage.store.SHARD_BYTES", 4 * NOISE[0].size)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six good images, 1 0.tif .. 6 0.tif."""
    (tmp_path / "source").mkdir()
    for number, image in enumerate(NOISE, 1):
        (tmp_path / "source" / f"{number} 0.tif").write_bytes(tiff(image))
    return tmp_path / "source"


def assert_holds_the_good_images(store: ImageStore) -> None:
    assert store.files.column("file").to_pylist() == [f"{number} 0.tif" for number in range(1, 7)]
    assert store.files.column("first_frame").to_pylist() == list(range(6))
    assert [one.shape for one in store.series] == [(6, 1, 1, 40, 50)]
    assert np.array_equal(store.array(store.series[0])[:, 0, 0], NOISE)
    assert {path.name for path in store.path.iterdir() if path.is_dir()} == {"0", "OME"}
    check_digests(store.path, store.manifest)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_left_out_and_named_and_the_others_are_ingested(name: str, folder: Path, tmp_path: Path) -> None:
    (folder / f"3 {name}").write_bytes(BAD[name])
    done = ingest(folder, tmp_path / "store", nothing)
    (faulty,) = done.quarantined
    assert faulty.file == f"3 {name}"
    assert faulty.reason
    assert str(tmp_path) not in faulty.reason
    assert_holds_the_good_images(done.store)


def test_several_files_that_only_fail_when_decoded_are_left_out(folder: Path, tmp_path: Path) -> None:
    """Their headers are whole: they are found after the frames of others were laid out behind them."""
    wide = np.zeros((40, 60), np.uint8)
    late = {f"{number} cut.tif": BAD["deflate.tif"] for number in (0, 2, 3, 6)}
    late |= {"8 cut.png": BAD["cut.png"], "9 wide.tif": tiff(wide, compression="zlib")[:-20]}
    for name, data in late.items():
        (folder / name).write_bytes(data)
        assert images.survey(folder / name).dtype == "uint8"
    done = ingest(folder, tmp_path / "store", nothing)
    assert sorted(one.file for one in done.quarantined) == sorted(late)
    assert_holds_the_good_images(done.store)


def test_a_file_that_changes_while_it_is_ingested_is_left_out(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A microscope that is still writing: the header promised two frames, and one is found."""
    path, read = folder / "3 movie.tif", images.read
    as_movie = {"photometric": "minisblack", "metadata": {"axes": "TYX"}}
    path.write_bytes(tiff(NOISE[:2], **as_movie))

    def late_read(one: Path) -> images.Frames:
        if one == path:
            path.write_bytes(tiff(NOISE[:1], **as_movie))
        return read(one)

    monkeypatch.setattr(images, "read", late_read)
    done = ingest(folder, tmp_path / "store", nothing)
    assert [one.file for one in done.quarantined] == [path.name]
    assert_holds_the_good_images(done.store)


@pytest.mark.parametrize("names", [("text.tif", "zero.png"), ("cut.jpg", "deflate.tif"), ()])
def test_a_folder_without_one_whole_image_leaves_nothing(names: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "notes.txt").touch()
    for name in names:
        (tmp_path / "source" / name).write_bytes(BAD[name])
    with pytest.raises(DataError, match=r"1 file\(s\) named \*\.txt") as told:
        ingest(tmp_path / "source", tmp_path / "store", nothing)
    assert all(name in str(told.value) for name in names)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_an_empty_and_a_missing_folder_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with pytest.raises(DataError, match="the folder is empty"):
        ingest(tmp_path / "source", tmp_path / "store", nothing)
    with pytest.raises(MissingError, match="nowhere"):
        ingest(tmp_path / "nowhere", tmp_path / "store", nothing)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_what_stands_at_the_target_is_refused_and_untouched(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mine").write_text("mine")
    with pytest.raises(RecipeError, match="never changed"):
        ingest(folder, tmp_path / "store", nothing)
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["mine"]
    assert {path.name for path in tmp_path.iterdir()} == {"source", "store"}


DIE = """
import os, signal, sys
from pathlib import Path
from storage import store
from storage.ingest import ingest

store.CHUNK_BYTES = store.SHARD_BYTES = 1
def progress(done, total):
    if done > total / 2:  # headers are the first half, pixels the second
        os.kill(os.getpid(), signal.SIGKILL)
ingest(Path(sys.argv[1]), Path(sys.argv[2]), lambda file: {}, progress=progress)
"""


def test_a_killed_ingest_leaves_no_store_and_the_next_one_cleans_up(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "store"
    killed = subprocess.run([sys.executable, "-c", DIE, folder, target], check=False)
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(MissingError):
        ImageStore.open(target)
    (partial,) = (path for path in tmp_path.iterdir() if path != folder)
    assert 0 < len([path for path in partial.glob("0/0/c/*") if path.is_dir()]) < len(NOISE)
    with pytest.raises(DataError, match="did not finish"):
        ImageStore.open(partial)
    assert_holds_the_good_images(ingest(folder, target, nothing).store)
    assert {path.name for path in tmp_path.iterdir()} == {"source", "store"}
