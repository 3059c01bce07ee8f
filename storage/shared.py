"""One copy of an array for all processes of a machine: a file that is mapped, and gone when the last of them is.

    FOLDER/lock          held while a copy is looked for, or made
    FOLDER/NAME          the array; everybody who uses it holds a shared lock on it
    FOLDER/NAME.part     being made, locked too; without a lock it is what a killed process left

FOLDER is DIR/distgan-UID of mode 0700, where DIR is /dev/shm if the array has room there, and the system's
temporary folder if not. Locks are flock(2): the kernel releases those of a process that is killed.
"""

import fcntl
import mmap
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.errors import DiskError

MEMORY = Path("/dev/shm")  # noqa: S108 - in a folder of our own, which is checked to be nobody else's
Fill = Callable[[NDArray[Any]], None]


class SharedArray:
    """An array of which this machine has one copy. Use as a context manager, or close it.

    name: names the content.  fill: writes the array, if no other process has.
    Raises DiskError: there is no room for it, or its folder belongs to somebody else.
    """

    def __init__(self, name: str, shape: tuple[int, ...], dtype: str, fill: Fill) -> None:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        folders = [_private(parent) for parent in _parents()]
        with ExitStack() as locks:
            for folder in folders:  # processes may share the one and not the other
                locks.enter_context(_locked(folder / "lock"))
            opened = next((one for folder in folders if (one := _existing(folder / name, size)) is not None), None)
            if opened is None:
                _sweep(folders)
                opened = _made(_roomy(folders, size) / name, size, lambda pages: fill(_array(pages, shape, dtype)))
        self.path, self._file = opened
        self.array = _array(mmap.mmap(self._file, size, prot=mmap.PROT_READ), shape, dtype)

    def close(self) -> None:
        """Give the copy back; the last one to do so removes it. `array` must not be used any more."""
        if self._file < 0:
            return
        self.array = np.empty(0)
        if _lock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB):
            self.path.unlink(missing_ok=True)
        fcntl.flock(self._file, fcntl.LOCK_UN)  # a mapping still alive would keep it locked
        os.close(self._file)
        self._file = -1

    def __enter__(self) -> "SharedArray":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _parents() -> list[Path]:
    temporary = Path(tempfile.gettempdir()).resolve()
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK):
        return list(dict.fromkeys((MEMORY.resolve(), temporary)))
    return [temporary]


def _private(parent: Path) -> Path:
    """Our folder below `parent`, which nobody else can look into or has put there."""
    folder = parent / f"distgan-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise DiskError(
            f"{folder} is not ours alone",
            f"owner {found.st_uid}, mode {stat.filemode(found.st_mode)}",
            "Remove it, or set TMPDIR to another folder",
        )
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _lock(file: int, how: int) -> bool:
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        return False
    return True


def _existing(path: Path, size: int) -> tuple[Path, int] | None:
    """The file of a copy that is there, locked; None if there is none, or its last user is about to remove it."""
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    fcntl.flock(file, fcntl.LOCK_SH)
    found = os.fstat(file)
    if found.st_nlink and found.st_size == size:
        return path, file
    os.close(file)
    return None


def _sweep(folders: list[Path]) -> None:
    """Remove what nobody holds: the copies and unfinished copies of processes that were killed."""
    for path in (path for folder in folders for path in folder.iterdir() if path.name != "lock"):
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        if _lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
            path.unlink(missing_ok=True)
        os.close(file)


def _roomy(folders: list[Path], size: int) -> Path:
    free = {folder: os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize for folder in folders}
    for folder, room in free.items():
        if room > size:
            return folder
    raise DiskError(
        "there is no room for the copy of the samples that the workers share",
        f"{size / 2**30:.1f} GiB, and "
        + ", ".join(f"{room / 2**30:.1f} GiB free in {folder}" for folder, room in free.items()),
        'Free some, or set data.resident = "stream"',
    )


def _made(path: Path, size: int, fill: Callable[[mmap.mmap], None]) -> tuple[Path, int]:
    part = path.with_name(f"{path.name}.part")
    file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
        os.posix_fallocate(file, 0, size)  # a full disk is an error here, and a crash in a mapping
        fill(mmap.mmap(file, size))
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        os.close(file)
        raise
    return path, file


def _array(pages: mmap.mmap, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    return np.frombuffer(pages, dtype).reshape(shape)
