"""Checks the files of committed directories as they are read: their length each time, their bytes the first time.

Whoever reads an array by its path need not know of the directory around it: the nearest MANIFEST.json above
guards it. Where there is none, as in a directory that is still being written, nothing is checked.
"""

import functools
import threading
from pathlib import Path

from storage.errors import DataError
from storage.manifest import NAME, Manifest, damaged, listed, sha256_file

State = tuple[int, int, int]
"""A file at a moment: inode, bytes, nanosecond of the last change."""


class Guard:
    """The files of one committed directory, for all threads of this process."""

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self.directory = directory
        self.manifest = manifest
        self._locks: dict[str, threading.Lock] = {}
        self._whole: dict[str, State] = {}

    def touch(self, name: str, digest: bool = True) -> None:
        """Check the file `name`, a path below the directory, before it is read.

        Its SHA-256 is computed the first time, and again when the file has changed since; if `digest` is not
        wanted, only its length is looked at.
        Raises DataError: it is missing, was never listed, or its length or bytes are not those written.
        """
        if name not in self.manifest.objects:
            raise self._damaged(f"{name} is not one of its files")
        size, wanted = self.manifest.objects[name]
        path = self.directory / name
        with self._locks.setdefault(name, threading.Lock()):  # one thread reads a file, others wait for its word
            if not path.is_file():
                raise self._damaged(f"{name} is missing")
            state = _state(path)
            if state[1] != size:
                raise self._damaged(f"{name} has {state[1]} bytes instead of {size}")
            if digest and self._whole.get(name) != state:
                found = sha256_file(path)
                if found != wanted:
                    raise self._damaged(f"{name} has SHA-256 {found[:16]}... instead of {wanted[:16]}...")
                self._whole[name] = state

    def _damaged(self, found: str) -> DataError:
        return damaged(self.manifest.kind, self.directory, found)


def guard_of(path: Path) -> tuple[Guard, str] | None:
    """The guard of the committed directory around `path`, and the name of `path` in it; None outside of any.

    Raises DataError: the manifest is damaged.
    """
    path = path.absolute()
    for directory in path.parents:
        marker = directory / NAME
        if marker.is_file():
            return _guard(directory, _state(marker)), path.relative_to(directory).as_posix()
    return None


def touch(path: Path) -> None:
    """Check a file, if it is in a committed directory; raises as `Guard.touch` does."""
    if found := guard_of(path):
        guard, name = found
        guard.touch(name)


@functools.lru_cache(maxsize=64)
def _guard(directory: Path, state: State) -> Guard:
    return Guard(directory, listed(directory))


def _state(path: Path) -> State:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
