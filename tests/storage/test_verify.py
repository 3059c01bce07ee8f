"""`verify` names everything that is not as it was written, in every layout; and nothing of it is read in silence."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from distgan.cli import main
from storage import verify as verification
from storage.errors import DataError, MissingError
from storage.manifest import NAME, committed
from storage.store import create_array, open_array, read_rows, write_shard
from storage.verify import Fault, Index, verify

ROWS = np.random.default_rng(0).integers(0, 999, (12, 8, 9)).astype(np.uint16)


def plain(path: Path, **keys: Any) -> None:
    made: Any = {"shape": ROWS.shape, "chunks": (3, 4, 9), "dtype": "u2", "config": {"write_empty_chunks": True}}
    zarr.create_array(path, **made, **keys)[:] = ROWS


def dotted(version: int, separator: str) -> dict[str, Any]:
    name = "v2" if version == 2 else "default"
    return {"zarr_format": version, "chunk_key_encoding": {"name": name, "separator": separator}}


def sharded(path: Path) -> None:
    create_array(path, ROWS.shape, "uint16", (1, 8, 9), (3, 8, 9), ("t", "y", "x"))
    for start in range(0, 12, 3):
        write_shard(path, start, ROWS[start : start + 3])


LAYOUTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "sharded": (sharded, "c/{}/0/0"),
    "plain": (lambda path: plain(path, **dotted(3, "/")), "c/{}/1/0"),
    "plain, dots": (lambda path: plain(path, **dotted(3, ".")), "c.{}.1.0"),
    "uncompressed": (lambda path: plain(path, compressors=None), "c/{}/1/0"),
    "version 2": (lambda path: plain(path, **dotted(2, ".")), "{}.1.0"),
    "version 2, folders": (lambda path: plain(path, **dotted(2, "/")), "{}/1/0"),
}


def flip(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def swap(path: Path, other: Path) -> None:
    kept = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def copied(path: Path) -> None:
    shutil.copy(path, path.with_name(path.name + "9"))


Damage = Callable[[Path, Path, random.Random], object]
FAULTS: dict[str, Damage] = {
    "missing": lambda path, other, chance: path.unlink(),
    "truncated": lambda path, other, chance: path.write_bytes(
        path.read_bytes()[: chance.randrange(1, path.stat().st_size)]
    ),
    "zero_length": lambda path, other, chance: path.write_bytes(b""),
    "longer": lambda path, other, chance: path.write_bytes(path.read_bytes() + chance.randbytes(5)),
    "changed": lambda path, other, chance: flip(path, chance),
    "swapped": lambda path, other, chance: swap(path, other),
    "unexpected": lambda path, other, chance: copied(path),
}


@pytest.fixture(scope="module", params=LAYOUTS)
def layout(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A committed store with an array of 12 rows at `deep/array`, and the keys of its objects."""
    write, key = LAYOUTS[request.param]
    target = tmp_path_factory.mktemp("store") / "store"
    with committed(target, "patch store", {}) as partial:
        write(partial / "deep/array")
        (partial / "deep/zarr.json").write_text("{}")
        (partial / "obs.parquet").write_bytes(b"table")
    return target, key


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_named_and_never_read(fault: str, seed: int, layout: tuple[Path, str], tmp_path: Path) -> None:
    store, chance = Path(shutil.copytree(layout[0], tmp_path / "store")), random.Random(seed)
    one, two = chance.sample(range(4), 2)
    paths = [store / "deep/array" / layout[1].format(number) for number in (one, two)]
    FAULTS[fault](*paths, chance)
    found = verify(store)
    assert {(each.reason, each.array) for each in found} == {(fault, "deep/array")}
    named = {one: each for each in found for one in [each.object]}
    if fault == "unexpected":
        assert [each.object for each in found] == [paths[0].relative_to(store).as_posix() + "9"]
        return
    hit = {one, two} if fault == "swapped" else {one}
    assert [each.chunk[0] for each in found if each.chunk] == sorted(hit)
    assert set(named) == {f"deep/array/{layout[1].format(number)}" for number in hit}
    array = open_array(store / "deep/array")
    for start in range(0, 12, 3):
        if start // 3 in hit:
            with pytest.raises(DataError, match="is damaged"):
                read_rows(array, start, start + 3)
        else:
            assert np.array_equal(read_rows(array, start, start + 3), ROWS[start : start + 3])


def test_a_whole_store_has_no_faults_and_all_of_it_is_looked_at(layout: tuple[Path, str]) -> None:
    seen: list[tuple[int, int]] = []
    assert verify(layout[0], threads=3, progress=lambda done, total: seen.append((done, total))) == ()
    total = len(json.loads((layout[0] / NAME).read_text())["objects"])
    assert seen == [(number, total) for number in range(1, total + 1)]


def test_all_faults_are_found_at_once_and_sorted(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with committed(store, "image store", {}) as partial:
        sharded(partial / "0/0")
        sharded(partial / "0/labels/cells/0")
        (partial / "0/zarr.json").write_text("{}")
        for name in ("a.bin", "b.bin", "empty"):
            (partial / name).write_text("" if name == "empty" else name * 9)
    (store / "0/0/c/1/0/0").unlink()
    (store / "0/0/zarr.json").write_text("{")
    (store / "0/labels/cells/0/c/3/0/0").write_bytes(b"")
    (store / "0/zarr.json").unlink()
    shutil.copy(store / "b.bin", store / "a.bin")
    (store / "b.bin").unlink()
    (store / "b.bin").mkdir()
    (store / "b.bin/inner").touch()
    (store / "link").symlink_to(tmp_path)
    assert verify(store) == (
        Fault("0/0", (1, 0, 0), "0/0/c/1/0/0", "missing"),
        Fault("0/0", None, "0/0/zarr.json", "truncated"),
        Fault("0/labels/cells/0", (3, 0, 0), "0/labels/cells/0/c/3/0/0", "zero_length"),
        Fault("", None, "0/zarr.json", "missing"),
        Fault("", None, "a.bin", "swapped"),
        Fault("", None, "b.bin", "missing"),
        Fault("", None, "b.bin/inner", "unexpected"),
        Fault("", None, "link", "unexpected"),
    )


@pytest.mark.parametrize("kind", ["checkpoint", "model"])
def test_directories_without_arrays_are_verified_too(kind: str, tmp_path: Path) -> None:
    with committed(tmp_path / "it", kind, {}) as partial:
        (partial / "weights.safetensors").write_bytes(bytes(999))
    assert verify(tmp_path / "it") == ()
    flip(tmp_path / "it/weights.safetensors", random.Random(0))
    assert verify(tmp_path / "it") == (Fault("", None, "weights.safetensors", "changed"),)


def test_a_file_that_the_system_refuses_to_read_does_not_end_it(
    layout: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> str:
        if path.name == "obs.parquet":
            raise PermissionError(13, "no")
        return sha256_file(path)

    sha256_file = verification.sha256_file
    monkeypatch.setattr(verification, "sha256_file", refused)
    assert verify(layout[0]) == (Fault("", None, "obs.parquet", "unreadable"),)


def test_without_a_manifest_nothing_can_be_said(layout: tuple[Path, str], tmp_path: Path) -> None:
    store = Path(shutil.copytree(layout[0], tmp_path / "store"))
    flip(store / NAME, random.Random(3))
    with pytest.raises(DataError, match="damaged"):
        verify(store)
    (store / NAME).unlink()
    with pytest.raises(DataError, match="did not finish"):
        verify(store)
    with pytest.raises(MissingError, match="no such directory"):
        verify(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("key", "index"), [("c/0/1", (0, 1)), ("c.10.2", (10, 2)), ("3.4.5", (3, 4, 5)), ("3/4", (3, 4)), ("7", (7,))]
)
def test_the_index_is_read_off_the_key(key: str, index: Index, tmp_path: Path) -> None:
    with committed(tmp_path / "store", "patch store", {}) as partial:
        (partial / "images" / key).parent.mkdir(parents=True)
        (partial / "images" / key).touch()
        (partial / "images/zarr.json").touch()
    (tmp_path / "store/images" / key).unlink()
    assert verify(tmp_path / "store") == (Fault("images", index, f"images/{key}", "missing"),)


def test_the_command_prints_one_object_and_says_by_its_code_whether_all_is_well(
    layout: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Path(shutil.copytree(layout[0], tmp_path / "store"))
    assert main(["verify", str(store), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "faults": []}
    name = f"deep/array/{layout[1].format(2)}"
    (store / name).unlink()
    assert main(["verify", str(store), "--json"]) == 65
    out, err = capsys.readouterr()
    index = [2, 0, 0] if layout[1] == "c/{}/0/0" else [2, 1, 0]
    fault = {"array": "deep/array", "chunk": index, "object": name, "reason": "missing"}
    assert json.loads(out) == {"ok": False, "faults": [fault]}
    assert name in err
    assert main(["verify", str(store)]) == 65
    assert capsys.readouterr().out == ""
    (store / NAME).unlink()
    assert main(["verify", str(store), "--json"]) == 65
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "data"
