"""One copy for all: made once, seen by all, and gone with the last."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from storage import shared
from storage.errors import DiskError
from storage.shared import SharedArray

PROCESS = """
import sys, tempfile
from pathlib import Path
import numpy as np
from storage import shared

shared.MEMORY = Path(sys.argv[1])
tempfile.tempdir = sys.argv[2]

def fill(array):
    print("fills", flush=True)
    array[:] = np.arange(array.size).reshape(array.shape)
    sys.stdin.readline()

one = shared.SharedArray("numbers", (100, 7), "uint16", fill)
print(int(one.array.sum()), flush=True)
sys.stdin.readline()
one.close()
print("closed", flush=True)
"""


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Where copies lie: memory and temporary folder."""
    memory, temporary = tmp_path / "shm", tmp_path / "tmp"
    memory.mkdir()
    temporary.mkdir()
    monkeypatch.setattr(shared, "MEMORY", memory)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    mine = f"distgan-{os.getuid()}"
    return memory / mine, temporary / mine


def numbers(array: NDArray[Any]) -> None:
    array[:] = np.arange(array.size).reshape(array.shape)


def never(array: NDArray[Any]) -> None:
    raise AssertionError("made twice")


def copies(folders: tuple[Path, Path]) -> list[str]:
    return sorted(path.name for folder in folders for path in folder.iterdir() if path.name != "lock")


def process(folders: tuple[Path, Path]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROCESS, *(str(folder.parent) for folder in folders)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(one: "subprocess.Popen[str]") -> str:
    assert one.stdout is not None
    return one.stdout.readline().strip()


def tell(one: "subprocess.Popen[str]") -> None:
    assert one.stdin is not None
    one.stdin.write("\n")
    one.stdin.flush()


def ended(one: "subprocess.Popen[str]") -> None:
    one.communicate(timeout=30)


def test_the_second_finds_what_the_first_made_and_the_last_removes_it(folders: tuple[Path, Path]) -> None:
    first = SharedArray("numbers", (100, 7), "uint16", numbers)
    with SharedArray("numbers", (100, 7), "uint16", never) as second:
        assert first.path == second.path == folders[0] / "numbers"
        assert np.array_equal(second.array, np.arange(700).reshape(100, 7))
        first.close()
        assert copies(folders) == ["numbers"]
    assert copies(folders) == []
    first.close()


def test_nobody_else_can_look_inside_and_nobody_can_write(folders: tuple[Path, Path]) -> None:
    with SharedArray("numbers", (3,), "uint8", numbers) as one:
        assert folders[0].stat().st_mode & 0o777 == 0o700
        assert one.path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(ValueError, match="read-only"):
            one.array[0] = 1


@pytest.mark.parametrize("temporary", ["of both", "of its own"])
def test_processes_share_it_while_one_of_them_lives(folders: tuple[Path, Path], temporary: str, tmp_path: Path) -> None:
    """Jobs of one machine may have temporary folders of their own."""
    own = tmp_path / "own"
    own.mkdir()
    maker = process(folders)
    assert said(maker) == "fills"
    other = process(folders if temporary == "of both" else (folders[0], own / "tmp"))
    time.sleep(0.5)  # it waits, or fails
    tell(maker)
    total = str(sum(range(700)))
    assert said(maker) == said(other) == total
    tell(maker)
    assert said(maker) == "closed"
    assert copies(folders) == ["numbers"]
    tell(other)
    assert said(other) == "closed"
    assert copies(folders) == []
    ended(maker)
    ended(other)


def test_what_killed_processes_left_is_swept_and_made_anew(folders: tuple[Path, Path]) -> None:
    for moment in ("while it is made", "while it is used"):
        killed = process(folders)
        assert said(killed) == "fills"
        if moment == "while it is used":
            tell(killed)
            said(killed)
        killed.send_signal(signal.SIGKILL)
        ended(killed)
        assert copies(folders) == ["numbers.part" if moment == "while it is made" else "numbers"]
        with SharedArray("others", (5,), "uint8", numbers) as one:
            assert one.array.tolist() == [0, 1, 2, 3, 4]
            assert copies(folders) == ["others"]


def test_what_others_use_is_not_swept(folders: tuple[Path, Path]) -> None:
    with SharedArray("a", (5,), "uint8", numbers), SharedArray("b", (5,), "uint8", numbers):
        assert copies(folders) == ["a", "b"]


def test_a_copy_that_could_not_be_made_leaves_nothing_and_no_lock(folders: tuple[Path, Path]) -> None:
    def fails(array: NDArray[Any]) -> None:
        raise RuntimeError("a damaged store")

    with pytest.raises(RuntimeError, match="damaged store"):
        SharedArray("numbers", (5,), "uint8", fails)
    assert copies(folders) == []
    with SharedArray("numbers", (5,), "uint8", numbers) as one:
        assert one.array.sum() == 10


def test_the_temporary_folder_takes_what_memory_has_no_room_for(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    room, stat = {folders[0]: 0, folders[1]: 1 << 20}, os.statvfs(folders[0].parent)

    def statvfs(path: Path) -> os.statvfs_result:
        return os.statvfs_result((1, 1, 1, 1, room[path], *stat[5:]))

    monkeypatch.setattr("os.statvfs", statvfs)
    with SharedArray("numbers", (5,), "uint8", numbers) as one:
        assert one.path.parent == folders[1]
    room[folders[1]] = 0
    with pytest.raises(DiskError, match=r"no room.*data\.resident"):
        SharedArray("numbers", (5,), "uint8", numbers)


def test_a_folder_that_others_can_enter_is_refused(folders: tuple[Path, Path]) -> None:
    folders[0].mkdir(mode=0o755)
    with pytest.raises(DiskError, match="not ours alone"):
        SharedArray("numbers", (5,), "uint8", never)


def test_a_link_in_its_place_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folders[0].symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DiskError, match="not ours alone"):
        SharedArray("numbers", (5,), "uint8", never)


def test_a_copy_that_its_last_user_just_removes_is_not_taken(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening and locking the file the last user removes it: it must be made again."""
    first = SharedArray("numbers", (5,), "uint8", numbers)
    flock = fcntl.flock

    def late(file: int, how: int) -> None:
        if how == fcntl.LOCK_SH and first._file >= 0:
            first.close()
        flock(file, how)

    monkeypatch.setattr("fcntl.flock", late)
    with SharedArray("numbers", (5,), "uint8", numbers) as second:
        assert copies(folders) == ["numbers"]
        assert second.array.sum() == 10


def test_memory_may_be_the_temporary_folder_too(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    link = folders[0].parent.with_name("link")
    link.symlink_to(folders[0].parent)
    monkeypatch.setattr("tempfile.tempdir", str(link))
    with SharedArray("numbers", (3,), "uint8", numbers) as one:
        assert one.path.parent.parent == folders[0].parent.resolve()
