"""Every lasting write goes through here: whole and on the disk, or not there at all.

A directory is written under a temporary name beside its place, every file of it is flushed to the
disk, and one rename commits it. Whoever reads sees the old state or the new one.
"""

import contextlib
import errno
import glob
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil

from storage.errors import DiskError, RecipeError


def write_file(path: Path, data: bytes) -> None:
    """Replace the file at `path` by `data`, durably and in one step."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(data)
            sync(partial)
            partial.replace(path)
            sync(path.parent)
        finally:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A fresh directory that becomes `target` when the block ends well, and vanishes when it does not.

    Raises RecipeError: something stands at `target` (what is committed is never written again).
    Raises DiskError: writing failed, or the disk is full.
    """
    require_nothing(target)
    partial = target.with_name(f"{_partial_prefix(target)}{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(target)
            partial.mkdir()
            yield partial
            sync_tree(partial)
            require_nothing(target)  # another process may have been faster
            partial.rename(target)
            sync(target.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_tree(path: Path) -> None:
    """Delete a directory so that a crash in between leaves nothing that looks whole (`remove_abandoned` finds it)."""
    trash = path.with_name(f".{path.name}.trash-{uuid.uuid4().hex[:8]}")
    path.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)


def remove_abandoned(directory: Path) -> None:
    """Remove what processes of this host that are gone left in `directory` while they wrote or deleted there."""
    for path in directory.glob(f".*.partial-{glob.escape(socket.gethostname())}-*"):
        if not psutil.pid_exists(int(path.name.rsplit("-", 2)[1])):
            shutil.rmtree(path, ignore_errors=True)
    for path in directory.glob(".*.trash-*"):
        shutil.rmtree(path, ignore_errors=True)


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a directory's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: Path) -> None:
    """`sync` for every file and directory below `root`, and for `root`."""
    for directory, _, files in os.walk(root, topdown=False):
        for name in files:
            sync(Path(directory, name))
        sync(Path(directory))


def require_space(directory: Path, wanted_bytes: int) -> None:
    """Raise DiskError, before anything is written, if the disk has not `wanted_bytes` left."""
    free = shutil.disk_usage(directory).free
    if free < wanted_bytes:
        raise DiskError(
            f"there is no space to write in {directory}",
            f"{free / 2**20:.1f} MiB are free and {wanted_bytes / 2**20:.1f} MiB are needed",
            "Free some space; what was committed before is untouched",
        )


@contextlib.contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write `target` into a DiskError."""
    try:
        yield
    except DiskError:
        raise
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        raise DiskError(
            f"{target} could not be written",
            os.strerror(error.errno),
            "Free some space or choose another place, and run it again",
        ) from error


_REFUSALS = frozenset(
    (
        *(errno.ENOSPC, errno.EDQUOT, errno.EIO),  # the disk is full or broken
        *(errno.EROFS, errno.EACCES, errno.EPERM),  # it is not ours to write
        *(errno.EEXIST, errno.ENOTDIR),  # a file stands where a folder should
    )
)


def require_nothing(target: Path) -> None:
    """Raise RecipeError if something stands at `target`."""
    if target.exists():
        raise RecipeError(
            f"{target} cannot be written",
            "something stands there, and what is committed is never changed",
            "Give another name, or remove it first",
        )


def _partial_prefix(target: Path) -> str:
    return f".{target.name}.partial-{socket.gethostname()}-"


def _remove_abandoned(target: Path) -> None:
    """Remove what processes of this host that are gone left while writing `target`."""
    for path in target.parent.glob(f"{glob.escape(_partial_prefix(target))}*"):
        if not psutil.pid_exists(int(path.name.rsplit("-", 2)[1])):
            shutil.rmtree(path, ignore_errors=True)
