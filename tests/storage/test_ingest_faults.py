"""Bad input and sudden deaths: the good files are ingested and the bad ones named, or nothing is left."""

import io
import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import tifffile
from PIL import Image

from storage import fill, images
from storage.errors import DataError, MissingError, RecipeError
from storage.image_facts import Reason
from storage.ingest import ingest
from storage.layout import Layout, from_pattern
from storage.manifest import check_digests
from storage.store import ImageStore

NOISE = np.random.default_rng(0).integers(0, 256, (6, 40, 50), np.uint8)
STACK = np.random.default_rng(1).integers(0, 1 << 16, (2, 3, 2, 40, 50), np.uint16)


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


def spoilt(pixels: np.ndarray) -> bytes:
    """A TIFF whose header is whole, and whose packed pixels are not."""
    data = bytearray(tiff(pixels, compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        start, size = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    data[start + size // 2 : start + size] = bytes(size - size // 2)
    return bytes(data)


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
    assert store.images.column("first_frame").to_pylist() == list(range(6))
    assert [one.shape for one in store.series] == [(6, 1, 1, 40, 50)]
    assert np.array_equal(store.array(store.series[0])[:, 0, 0], NOISE)
    assert {path.name for path in store.path.iterdir() if path.is_dir()} == {"0", "OME"}
    check_digests(store.path, store.manifest)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_left_out_and_named_and_the_others_are_ingested(name: str, folder: Path, tmp_path: Path) -> None:
    (folder / f"3 {name}").write_bytes(BAD[name])
    done = ingest(folder, tmp_path / "store")
    (faulty,) = done.quarantined
    assert faulty.file == f"3 {name}"
    assert faulty.reason in get_args(Reason)
    assert faulty.found
    assert str(tmp_path) not in faulty.found
    assert_holds_the_good_images(done.store)


def test_several_files_that_only_fail_when_decoded_are_left_out(folder: Path, tmp_path: Path) -> None:
    """Their headers are whole: they are found after the frames of others were laid out behind them."""
    late = {f"{number} late.tif": spoilt(NOISE[0]) for number in (0, 2, 3, 6)}
    late |= {"8 cut.png": BAD["cut.png"], "9 wide.tif": spoilt(NOISE[0, :, :30])}
    for name, data in late.items():
        (folder / name).write_bytes(data)
        assert images.survey(folder / name)[0].dtype == "uint8"
    done = ingest(folder, tmp_path / "store")
    assert sorted(one.file for one in done.quarantined) == sorted(late)
    assert_holds_the_good_images(done.store)


@pytest.mark.parametrize("number", [0, 4, 7])
def test_what_was_written_beside_a_bad_file_leaves_no_trace(number: int, folder: Path, tmp_path: Path) -> None:
    """A shard of the first round is longer than that of the second, or one of the second does not exist."""
    clean = ingest(folder, tmp_path / "clean").store
    (folder / f"{number} late.tif").write_bytes(spoilt(NOISE[0]))
    done = ingest(folder, tmp_path / "store")
    assert [one.file for one in done.quarantined] == [f"{number} late.tif"]
    assert done.store.manifest.digest == clean.manifest.digest


def test_a_file_that_changes_while_it_is_ingested_is_left_out(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A microscope that is still writing: the header promised two frames, and one is found."""
    path, read = folder / "3 movie.tif", images.read
    as_movie = {"photometric": "minisblack", "metadata": {"axes": "TYX"}}
    path.write_bytes(tiff(NOISE[:2], **as_movie))

    def late_read(one: Path, facts: images.ImageFacts, box: images.Box) -> images.Frames:
        if one == path:
            path.write_bytes(tiff(NOISE[:1], **as_movie))
        return read(one, facts, box)

    monkeypatch.setattr(images, "read", late_read)
    done = ingest(folder, tmp_path / "store")
    assert [one.file for one in done.quarantined] == [path.name]
    assert_holds_the_good_images(done.store)


@pytest.mark.parametrize("names", [("text.tif", "zero.png"), ("cut.png", "deflate.tif"), ()])
def test_a_folder_without_one_whole_image_leaves_nothing(names: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "notes.txt").touch()
    for name in names:
        (tmp_path / "source" / name).write_bytes(BAD[name])
    with pytest.raises(DataError, match=r"1 file\(s\) named \*\.txt") as told:
        ingest(tmp_path / "source", tmp_path / "store")
    assert all(name in str(told.value) for name in names)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_an_empty_and_a_missing_folder_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with pytest.raises(DataError, match="the folder is empty"):
        ingest(tmp_path / "source", tmp_path / "store")
    with pytest.raises(MissingError, match="nowhere"):
        ingest(tmp_path / "nowhere", tmp_path / "store")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_what_stands_at_the_target_is_refused_and_untouched(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mine").write_text("mine")
    with pytest.raises(RecipeError, match="never changed"):
        ingest(folder, tmp_path / "store")
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["mine"]
    assert {path.name for path in tmp_path.iterdir()} == {"source", "store"}


def test_what_is_no_file_is_left_out_and_named(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "3 fifo.tif")
    (folder / "3 loop.tif").symlink_to(folder / "3 loop.tif")
    (folder / "3 folder.tif").mkdir()
    done = ingest(folder, tmp_path / "store")
    assert [(one.file, one.reason) for one in done.quarantined] == [
        ("3 fifo.tif", "unreadable"),
        ("3 loop.tif", "unreadable"),
    ]
    assert_holds_the_good_images(done.store)


@pytest.mark.parametrize("data", [BAD["text.tif"], spoilt(NOISE[0])], ids=["header", "pixels"])
def test_the_other_files_of_an_image_go_with_a_bad_one(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for well, channel in itertools.product("123", "ab"):
        (tmp_path / "source" / f"{well}_{channel}.tif").write_bytes(tiff(NOISE[int(well)]))
    (tmp_path / "source" / "2_a.tif").write_bytes(data)
    done = ingest(tmp_path / "source", tmp_path / "store", from_pattern("{well}_{channel}.tif"))
    bad, other = done.quarantined
    assert (bad.file, other.file, other.reason) == ("2_a.tif", "2_b.tif", "incomplete")
    assert done.store.images.column("well").to_pylist() == [1, 3]
    array = done.store.array(done.store.series[0])
    assert np.array_equal(array[:, :, 0], NOISE[[[1, 1], [3, 3]]])


@pytest.mark.parametrize("data", [BAD["text.tif"], spoilt(NOISE[0])], ids=["header", "pixels"])
def test_an_image_stays_when_its_label_image_is_bad(data: bytes, folder: Path, tmp_path: Path) -> None:
    for number in (2, 5):
        (folder / f"{number} l.tif").write_bytes(tiff(NOISE[number]))
    (folder / "3 l.tif").write_bytes(data)

    def describe(file: str) -> dict[str, str | int]:
        return {"number": int(file[0])} | ({"labels": "l"} if "l" in file else {})

    done = ingest(folder, tmp_path / "store", Layout(describe))
    assert [one.file for one in done.quarantined] == ["3 l.tif"]
    assert done.store.images.column("labels").to_pylist() == [[], ["l"], [], [], ["l"], []]
    expected = np.zeros_like(NOISE)
    expected[[1, 4]] = NOISE[[2, 5]]
    assert np.array_equal(done.store.array(done.store.series[0], "l")[:, 0, 0], expected)
    assert np.array_equal(done.store.array(done.store.series[0])[:, 0, 0], NOISE)


DIE = """
import os, signal, sys
from pathlib import Path
from storage import fill, store
from storage.ingest import ingest

store.CHUNK_BYTES = store.SHARD_BYTES = 1
at, done = int(sys.argv[3]), 0
write = fill.write_shard
def write_shard(*what):
    global done
    if done == at:
        os.kill(os.getpid(), signal.SIGKILL)
    done += 1
    return write(*what)
fill.write_shard = write_shard
ingest(Path(sys.argv[1]), Path(sys.argv[2]), workers=1)
"""


@pytest.mark.parametrize("at", [0, 3, 5, 8])
def test_a_killed_ingest_goes_on_and_ends_as_if_nothing_had_been(
    at: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a bad file was found: then six good shards are moved up, and written a second time."""
    monkeypatch.setattr("storage.store.CHUNK_BYTES", 1)
    monkeypatch.setattr("storage.store.SHARD_BYTES", 1)
    (folder / "3 late.tif").write_bytes(spoilt(NOISE[0]))
    whole = ingest(folder, tmp_path / "whole").store
    assert_holds_the_good_images(whole)
    target = tmp_path / "store"
    killed = subprocess.run([sys.executable, "-c", DIE, folder, target, str(at)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(MissingError):
        ImageStore.open(target)
    (partial,) = (path for path in tmp_path.iterdir() if path.name.startswith(".") and path.is_dir())
    with pytest.raises(DataError, match="did not finish"):
        ImageStore.open(partial)
    written: list[Path] = []
    write = fill.write_shard
    monkeypatch.setattr(fill, "write_shard", lambda path, *what: written.append(path) or write(path, *what))
    done = ingest(folder, target)
    assert [one.file for one in done.quarantined] == ["3 late.tif"]
    assert done.store.manifest.digest == whole.manifest.digest
    assert {path.name for path in tmp_path.iterdir()} == {"source", "store", "whole"}
    assert len(written) <= 6 + 6 - at  # in the first round and in the second


def test_a_changed_file_begins_anew(folder: Path, tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", DIE, folder, tmp_path / "store", "4"], check=False)
    assert killed.returncode == -signal.SIGKILL
    (folder / "1 0.tif").write_bytes(tiff(NOISE[5]))
    store = ingest(folder, tmp_path / "store").store
    assert np.array_equal(store.array(store.series[0])[:, 0, 0], NOISE[[5, 1, 2, 3, 4, 5]])
