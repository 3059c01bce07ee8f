"""The completion marker: whole directories open, all others are refused with a reason."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage import manifest
from storage.errors import DataError, MissingError
from storage.manifest import NAME, check_digests, committed, kind_of, read_manifest

KIND = "image store"
FILES = {"a.bin": b"alpha", "sub/b.bin": b"beta" * 1000}


def commit(target: Path, files: dict[str, bytes] = FILES, kind: str = KIND, **facts: Any) -> Path:
    with committed(target, kind, facts) as partial:
        for name, data in files.items():
            (partial / name).parent.mkdir(exist_ok=True)
            (partial / name).write_bytes(data)
        facts["last"] = (1, 2.5, None)
    return target


def rewrite(directory: Path, *, signed: bool, **changes: Any) -> None:
    """Change the manifest; if `signed`, its digest matches again."""
    path = directory / NAME
    content = json.loads(path.read_text()) | changes
    if signed:
        content["digest"] = manifest._digest(content["kind"], content["facts"], content["objects"])
    path.write_text(json.dumps(content))


def test_what_was_committed_is_read_back(tmp_path: Path) -> None:
    read = read_manifest(commit(tmp_path / "store", first="x"), KIND)
    assert read.kind == kind_of(tmp_path / "store") == KIND
    assert read.facts == {"first": "x", "last": [1, 2.5, None]}
    assert read.objects == {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in FILES.items()}
    check_digests(tmp_path / "store", read)


def test_equal_content_has_an_equal_digest_and_other_content_another(tmp_path: Path) -> None:
    stores = [
        commit(tmp_path / "one", seed=0),
        commit(tmp_path / "two", dict(reversed(FILES.items())), seed=0),
        commit(tmp_path / "facts", seed=1),
        commit(tmp_path / "bytes", FILES | {"a.bin": b"alphA"}, seed=0),
        commit(tmp_path / "names", FILES | {"c.bin": b""}, seed=0),
        commit(tmp_path / "kind", kind="model", seed=0),
    ]
    one, two, *others = (read_manifest(store, kind_of(store)).digest for store in stores)
    assert one == two
    assert len({one, *others}) == 5


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda store: (store / NAME).unlink(), "did not finish"),
    "missing file": (lambda store: (store / "sub/b.bin").unlink(), "sub/b.bin is missing"),
    "shorter file": (lambda store: (store / "a.bin").write_bytes(b"alp"), "3 bytes instead of 5"),
    "longer file": (lambda store: (store / "a.bin").write_bytes(b"alphabet"), "8 bytes instead of 5"),
    "a folder in its place": (
        lambda store: ((store / "a.bin").unlink(), (store / "a.bin").mkdir()),
        "a.bin is missing",
    ),
    "cut": (lambda store: (store / NAME).write_bytes((store / NAME).read_bytes()[:-9]), "damaged"),
    "not text": (lambda store: (store / NAME).write_bytes(b"\xff\xfe\x00"), "damaged"),
    "not a table": (lambda store: (store / NAME).write_text("[1]"), "damaged"),
    "a key is gone": (lambda store: rewrite(store, signed=False, objects=None), "damaged"),
    "other facts": (lambda store: rewrite(store, signed=False, facts={}), "digest does not match"),
    "other kind": (lambda store: rewrite(store, signed=False, kind="model"), "digest does not match"),
    "file left out": (lambda store: rewrite(store, signed=False, objects={}), "digest does not match"),
    "path outside": (lambda store: rewrite(store, signed=True, objects={"../x": [1, ""]}), "damaged"),
    "absolute path": (lambda store: rewrite(store, signed=True, objects={"/etc/passwd": [1, ""]}), "damaged"),
    "newer": (lambda store: rewrite(store, signed=True, format=2), "newer than this program"),
    "newer and unreadable": (lambda store: (store / NAME).write_text('{"format": 2}'), "newer than this program"),
    "another kind": (lambda store: rewrite(store, signed=True, kind="patch store"), "its kind is patch store"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_directory_is_refused(damage: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("y")
    store = commit(tmp_path / "store")
    do, reason = DAMAGES[damage]
    do(store)
    with pytest.raises(DataError, match=reason):
        read_manifest(store, KIND)


@pytest.mark.parametrize("read", [kind_of, lambda path: read_manifest(path, KIND)])
def test_a_missing_directory_is_told(read: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="nowhere"):
        read(tmp_path / "nowhere")


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    store = commit(tmp_path / "store")
    (store / "a.bin").write_bytes(b"alphb")
    read = read_manifest(store, KIND)
    with pytest.raises(DataError, match=r"a\.bin has SHA-256"):
        check_digests(store, read)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        commit(tmp_path / "store", FILES | {"c.bin": None})
    assert list(tmp_path.iterdir()) == []


def test_a_failing_manifest_leaves_nothing(tmp_path: Path) -> None:
    """The last file is the manifest; facts that are no JSON, such as NaN, are found only then."""
    with (
        pytest.raises(ValueError, match="JSON"),
        committed(tmp_path / "store", KIND, {"loss": float("nan")}) as partial,
    ):
        (partial / "whole").touch()
    assert list(tmp_path.iterdir()) == []
