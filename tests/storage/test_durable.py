"""Lasting writes: whole, or not there at all, whatever happens in between."""

import errno
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from storage import durable
from storage.durable import remove_abandoned, remove_tree, require_space, staged, write_file
from storage.errors import DiskError, RecipeError

ABANDON = """
import os, signal, socket, sys
from pathlib import Path
from storage.durable import staged

socket.gethostname = lambda name=sys.argv[2] or socket.gethostname(): name
with staged(Path(sys.argv[1])) as partial:
    (partial / "half").write_bytes(b"x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def write_half(target: Path, error: BaseException) -> None:
    with staged(target) as partial:
        (partial / "half").write_text("x")
        raise error


def overtaken(target: Path) -> None:
    """Write slowly; somebody writes the same meanwhile, and must not take our directory for abandoned."""
    with staged(target) as slow:
        (slow / "whose").write_text("slow")
        with staged(target) as fast:
            (fast / "whose").write_text("fast")
        assert (slow / "whose").exists()


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.json"
    write_file(path, b"one")
    write_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(("owner", "step"), [(Path, "write_bytes"), (durable, "sync"), (Path, "replace")])
def test_a_full_disk_leaves_the_earlier_file(
    owner: object, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    path.write_text("earlier")
    monkeypatch.setattr(owner, step, no_space)
    with pytest.raises(DiskError, match="No space left"):
        write_file(path, b"later")
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_appears_whole_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "store"
    with staged(target) as partial:
        (partial / "sub").mkdir()
        (partial / "sub" / "one").write_text("1")
        assert not target.exists()
    assert (target / "sub" / "one").read_text() == "1"
    assert list(target.parent.iterdir()) == [target]


def test_everything_is_on_the_disk_before_the_rename_and_the_rename_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[object] = []
    fsync, rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda file: (events.append(os.fstat(file).st_ino), fsync(file)))
    monkeypatch.setattr(Path, "rename", lambda path, to: (events.append("rename"), rename(path, to)))
    target = tmp_path / "store"
    with staged(target) as partial:
        (partial / "sub").mkdir()
        (partial / "sub" / "one").write_text("1")
    written = {path.stat().st_ino for path in (target, *target.rglob("*"))}
    assert written == set(events[: events.index("rename")])
    assert events[events.index("rename") + 1 :] == [tmp_path.stat().st_ino]


@pytest.mark.parametrize("error", [ValueError("ours"), KeyboardInterrupt(), SystemExit(), FileNotFoundError(2, "gone")])
def test_an_exception_in_the_block_leaves_nothing_and_is_not_disguised(error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        write_half(tmp_path / "store", error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("owner", "step"), [(Path, "mkdir"), (durable, "sync"), (Path, "rename")])
def test_a_full_disk_leaves_no_directory(
    owner: object, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, step, no_space)
    with pytest.raises(DiskError, match="No space left"), staged(tmp_path / "store") as partial:
        (partial / "half").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="file"), staged(tmp_path / "file" / "store"):
        pass
    with pytest.raises(DiskError, match="file"):
        write_file(tmp_path / "file" / "state.json", b"")


def test_what_stands_at_the_target_is_refused_and_untouched(tmp_path: Path) -> None:
    target = tmp_path / "store"
    target.mkdir()
    (target / "mine").write_text("mine")
    with pytest.raises(RecipeError, match="store"), staged(target):
        pytest.fail("the block must not begin")
    assert (target / "mine").read_text() == "mine"


def test_the_slower_of_two_writers_is_refused_and_the_faster_untouched(tmp_path: Path) -> None:
    target = tmp_path / "store"
    with pytest.raises(RecipeError, match="something stands there"):
        overtaken(target)
    assert (target / "whose").read_text() == "fast"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["store", "store[1]"])
@pytest.mark.parametrize(("host", "left"), [("", 0), ("elsewhere", 1)])
def test_only_directories_of_dead_processes_of_this_host_are_removed(
    name: str, host: str, left: int, tmp_path: Path
) -> None:
    target = tmp_path / name
    killed = subprocess.run([sys.executable, "-c", ABANDON, target, host], check=False)
    assert killed.returncode == -9
    assert not target.exists()
    assert len(list(tmp_path.iterdir())) == 1
    with staged(target):
        pass
    assert len(list(tmp_path.iterdir())) == left + 1


def test_a_tree_is_gone_before_its_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "store"
    target.mkdir()
    (target / "one").touch()
    with monkeypatch.context() as crash:
        crash.setattr(shutil, "rmtree", no_space)
        with pytest.raises(OSError, match="No space"):
            remove_tree(target)
    assert not target.exists()
    target.mkdir()
    remove_tree(target)
    assert not target.exists()


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here = socket.gethostname()
    kept = {"b", ".notes", f".a.partial-{here}-{os.getpid()}-0123abcd", f".a.partial-elsewhere-{ended.pid}-0123abcd"}
    for name in (*kept, f".a.partial-{here}-{ended.pid}-0123abcd", ".a.trash-0123abcd"):
        (tmp_path / name / "inside").mkdir(parents=True)
    remove_abandoned(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_space_is_asked_for_before_writing(tmp_path: Path) -> None:
    require_space(tmp_path, 1)
    with pytest.raises(DiskError, match="MiB are needed"):
        require_space(tmp_path, 1 << 62)
