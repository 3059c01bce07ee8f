"""Files of committed directories are checked as they are read, and metadata before zarr acts on it."""

import json
import random
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from storage import guard
from storage.errors import DataError, DistganError, MissingError
from storage.guard import Guard, guard_of, touch
from storage.manifest import committed, listed, seal, sha256_file
from storage.metadata import MOST_CHUNK_BYTES, read_metadata
from storage.store import create_array, open_array, read_rows, write_shard

SHARD = "images/c/1/0"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Ten rows of six in three shards, committed."""
    with committed(tmp_path / "store", "patch store", {}) as partial:
        write(partial / "images")
        (partial / "obs.parquet").write_bytes(b"table")
    return tmp_path / "store"


def write(path: Path) -> None:
    rows = np.arange(60, dtype=np.uint16).reshape(10, 6)
    create_array(path, rows.shape, "uint16", (2, 6), (4, 6), ("row", "x"))
    for start in (0, 4, 8):
        write_shard(path, start, rows[start : start + 4])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


def swap(path: Path) -> None:
    path.write_bytes((path.parents[1] / "0/0").read_bytes())


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "empty": lambda path: path.write_bytes(b""),
    "shorter": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "flipped": flip,
    "swapped": swap,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_shard_is_not_read_and_the_others_are(damage: str, store: Path) -> None:
    array = open_array(store / "images")
    DAMAGES[damage](store / SHARD)
    reason = {"missing": "is missing", "a folder": "is missing", "flipped": "has SHA-256", "swapped": "has SHA-256"}
    with pytest.raises(DataError, match=f"{SHARD} {reason.get(damage, 'has [0-9]+ bytes instead')}"):
        read_rows(array, 3, 5)
    assert read_rows(array, 0, 4)[3, 5] == 23
    assert read_rows(array, 8, 10).shape == (2, 6)


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "swapped"])
def test_a_damaged_table_or_declaration_is_not_read(damage: str, store: Path) -> None:
    for name in ("obs.parquet", "images/zarr.json"):
        DAMAGES[damage](store / name)
        with pytest.raises((DataError, MissingError), match=r"obs|images"):
            open_array(store / "images") if name.startswith("images") else touch(store / name)


def test_length_is_checked_each_time_and_bytes_once(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr(guard, "sha256_file", lambda path: (read.append(path), sha256_file(path))[1])
    watch = Guard(store, listed(store))
    for _ in range(3):
        watch.touch(SHARD)
    assert read == [store / SHARD]
    (store / SHARD).unlink()
    with pytest.raises(DataError, match="missing"):
        watch.touch(SHARD)


def test_a_file_that_changed_since_is_read_again(store: Path) -> None:
    watch = Guard(store, listed(store))
    watch.touch(SHARD)
    data = (store / SHARD).read_bytes()
    (store / SHARD).unlink()
    (store / "other").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    (store / "other").rename(store / SHARD)
    with pytest.raises(DataError, match="SHA-256"):
        watch.touch(SHARD)


def test_threads_wait_for_the_one_that_reads(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    digest = listed(store).objects[SHARD][1]
    monkeypatch.setattr(guard, "sha256_file", lambda path: (read.append(path.name), time.sleep(0.05), digest)[2])
    watch = Guard(store, listed(store))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(watch.touch, [SHARD] * 100))
    assert read == ["0"]


def test_an_object_that_nobody_listed_is_not_read(store: Path) -> None:
    (store / SHARD).rename(store / "images/c/7")
    with pytest.raises(DataError, match="not one of its files"):
        touch(store / "images/c/7")


def test_a_store_made_anew_at_the_same_place_is_guarded_anew(store: Path) -> None:
    assert read_rows(open_array(store / "images"), 0, 1)[0, 1] == 1
    shutil.rmtree(store)
    with committed(store, "patch store", {}) as partial:
        create_array(partial / "images", (4, 6), "uint16", (2, 6), (4, 6), ("row", "x"))
        write_shard(partial / "images", 0, np.full((4, 6), 7, np.uint16))
    assert read_rows(open_array(store / "images"), 0, 1)[0, 1] == 7


def test_what_is_still_being_written_has_no_guard(tmp_path: Path) -> None:
    write(tmp_path / "images")
    assert guard_of(tmp_path / "images") is None
    assert read_rows(open_array(tmp_path / "images"), 0, 10)[9, 5] == 59


# metadata


def mutated(value: Any, chance: random.Random) -> Any:
    """A JSON value, changed at one random place."""
    odd = (None, -1, 0, 2**70, 1.5, float("nan"), "", "pickle", [], {}, [[]], True, "uint8", 10**9)
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        if chance.random() < 0.15:
            return {name: one for name, one in value.items() if name != key}
        return value | {key: mutated(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        new = [] if chance.random() < 0.2 else [mutated(value[place], chance)]
        return value[:place] + new + value[place + 1 :]
    return chance.choice(odd)


@pytest.mark.parametrize("version", [2, 3])
def test_mutated_metadata_opens_or_is_told(version: int, tmp_path: Path) -> None:
    if version == 3:
        write(tmp_path / "array")
    else:
        zarr.create_array(tmp_path / "array", shape=(10, 6), chunks=(5, 6), dtype="u2", zarr_format=2)[:] = 3
    document = tmp_path / "array" / ("zarr.json" if version == 3 else ".zarray")
    whole, chance, opened, refused = json.loads(document.read_text()), random.Random(0), 0, 0
    for _ in range(150):
        document.write_text(json.dumps(mutated(whole, chance)))
        try:
            open_array(tmp_path / "array")
            opened += 1
        except DistganError:
            refused += 1
    assert opened + refused == 150
    assert refused > 75
    text = json.dumps(whole)
    for length in range(0, len(text), 20):
        document.write_text(text[:length])
        with pytest.raises(DataError, match="does not declare"):
            open_array(tmp_path / "array")


def test_mutated_metadata_of_a_committed_store_is_always_told(store: Path) -> None:
    document, chance = store / "images/zarr.json", random.Random(1)
    whole = json.loads(document.read_text())
    for _ in range(30):
        document.write_text(json.dumps(mutated(whole, chance), indent=2))
        with pytest.raises(DataError, match=r"images/zarr\.json"):
            open_array(store / "images")


def declare(path: Path, **changes: Any) -> None:
    document = path / "zarr.json"
    document.write_text(json.dumps(json.loads(document.read_text()) | changes))


def grid(*chunk: int) -> dict[str, Any]:
    return {"name": "regular", "configuration": {"chunk_shape": list(chunk)}}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"chunk_grid": grid(1 << 20, 1 << 20), "codecs": ["bytes"]}, "which are more than"),
        ({"chunk_grid": grid(1 << 40, 6)}, "more than 1048576 chunks"),
        ({"chunk_grid": grid(5, 6)}, "chunks of"),
        ({"chunk_grid": grid(4)}, "chunks of"),
        ({"codecs": ["bytes", {"name": "numcodecs.pickle"}]}, r"the codec numcodecs\.pickle"),
        ({"codecs": ["vlen-utf8"]}, "the codec vlen-utf8"),
        ({"data_type": "string"}, "the data type string"),
        ({"data_type": "complex64"}, "the data type complex64"),
        ({"shape": [10, -6]}, "the sizes"),
        ({"node_type": "group"}, "zarr_format 3 group"),
    ],
)
def test_dangerous_declarations_are_refused(changes: dict[str, Any], reason: str, tmp_path: Path) -> None:
    write(tmp_path / "images")
    declare(tmp_path / "images", **changes)
    with pytest.raises(DataError, match=reason):
        open_array(tmp_path / "images")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dtype": "|O", "filters": [{"id": "pickle"}]}, "the codec pickle"),
        ({"dtype": "|O"}, "which is no number"),
        ({"filters": [{"id": "json2"}]}, "the codec json2"),
        ({"compressor": {"id": "msgpack2"}}, "the codec msgpack2"),
        ({"filters": [{"id": "vlen-utf8"}]}, "the codec vlen-utf8"),
        ({"dtype": [["a", "<i4"]]}, "the data type"),
        ({"chunks": [1 << 20, 1 << 20]}, str(MOST_CHUNK_BYTES)),
    ],
)
def test_dangerous_declarations_of_version_2_are_refused(changes: dict[str, Any], reason: str, tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a", shape=(10, 6), chunks=(5, 6), dtype="u2", zarr_format=2)
    document = tmp_path / "a/.zarray"
    document.write_text(json.dumps(json.loads(document.read_text()) | changes))
    with pytest.raises(DataError, match=reason):
        open_array(tmp_path / "a")


@pytest.mark.parametrize("separator", [".", "/"])
@pytest.mark.parametrize("version", [2, 3])
def test_keys_are_those_zarr_writes(version: int, separator: str, tmp_path: Path) -> None:
    encoding: Any = {"name": "v2" if version == 2 else "default", "separator": separator}
    path = tmp_path / "array"
    array = zarr.create_array(
        path, shape=(5, 6), chunks=(2, 3), dtype="u1", zarr_format=version, chunk_key_encoding=encoding, fill_value=0
    )
    array[:] = 1
    written = {one.relative_to(path).as_posix() for one in path.rglob("*") if one.is_file()}
    found = read_metadata(path)
    assert set(found.objects()) == {name for name in written if "z" not in name}
    assert (found.grid, found.bytes, found.chunk) == ((3, 2), 30, (2, 3))


def test_an_array_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no Zarr array"):
        open_array(tmp_path)


def test_a_damaged_manifest_guards_nothing_and_is_told(store: Path) -> None:
    path = store / "MANIFEST.json"
    path.write_text(path.read_text().replace("patch", "model"))
    with pytest.raises(DataError, match="digest does not match"):
        open_array(store / "images")
    path.unlink()
    seal(store, "patch store", {})
    open_array(store / "images")
