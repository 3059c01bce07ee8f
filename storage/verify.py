"""Read every byte of a committed directory, and name everything that is not as it was written."""

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from storage.datasets import Progress
from storage.manifest import NAME, Manifest, listed, sha256_file

Reason = Literal[
    "missing",
    "zero_length",
    "truncated",  # shorter than it was
    "longer",
    "swapped",  # its bytes are those of another object of the directory
    "changed",  # as long as it was, other bytes
    "unexpected",  # nobody wrote it
    "unreadable",  # the system refuses to read it
]
Index = tuple[int, ...]

_CHUNK = re.compile(r"(?:c[/.])?(\d+(?:[/.]\d+)*)|c")
"""Key of a chunk or shard below its array: version 3 (c/0/1, c.0.1) and version 2 (0/1, 0.1)."""
_METADATA = ("zarr.json", ".zarray")


@dataclass(frozen=True)
class Fault:
    """One object that is not as it was written.

    array: path of its array in the directory, "" if it is in none.  chunk: its index in the array's grid of chunks,
    or of shards where there are such; None if it holds no chunk.  object: its path in the directory (POSIX).
    """

    array: str
    chunk: Index | None
    object: str
    reason: Reason


def verify(directory: Path, *, threads: int = 2, progress: Progress = lambda done, total: None) -> tuple[Fault, ...]:
    """Everything that is wrong with a committed directory (image store, patch store, checkpoint, model).

    Reads all its bytes. progress: objects read.  Faults are sorted by object.
    Raises MissingError: there is no such directory.  Raises DataError: it is not committed, or the
    manifest itself is damaged, so that nothing can be said of the rest.
    """
    manifest = listed(directory)
    place = _places(manifest)
    owner = {digest: name for name, (_, digest) in manifest.objects.items()}
    faults = [Fault(*place(name), name, "unexpected") for name in _present(directory) if name not in manifest.objects]
    with ThreadPoolExecutor(threads) as pool:
        reasons = pool.map(lambda name: _reason(directory, name, manifest, owner), manifest.objects)
        for done, (name, reason) in enumerate(zip(manifest.objects, reasons, strict=True), 1):
            if reason is not None:
                faults.append(Fault(*place(name), name, reason))
            progress(done, len(manifest.objects))
    return tuple(sorted(faults, key=lambda fault: fault.object))


def _reason(directory: Path, name: str, manifest: Manifest, owner: dict[str, str]) -> Reason | None:
    """What is wrong with one listed object."""
    path = directory / name
    wanted, wanted_digest = manifest.objects[name]
    try:
        if not path.is_file():
            return "missing"
        size = path.stat().st_size
        if size == 0 and wanted > 0:
            return "zero_length"
        digest = sha256_file(path)
    except FileNotFoundError:  # just now
        return "missing"
    except OSError:
        return "unreadable"
    if digest == wanted_digest:
        return None
    if digest in owner:
        return "swapped"
    return "changed" if size == wanted else "truncated" if size < wanted else "longer"


def _present(directory: Path) -> Iterator[str]:
    """Everything in the directory that is no folder, the manifest left out; links are not followed."""
    for folder, folders, files in os.walk(directory):
        linked = [name for name in folders if Path(folder, name).is_symlink()]
        for name in (*files, *linked):
            found = Path(folder, name).relative_to(directory).as_posix()
            if found != NAME:
                yield found


def _places(manifest: Manifest) -> Callable[[str], tuple[str, Index | None]]:
    """Maps the path of an object to its array and its index there.

    The manifest alone says where arrays are: their own metadata may be what is damaged.
    """
    nodes = {str(PurePosixPath(name).parent) for name in manifest.objects if PurePosixPath(name).name in _METADATA}
    arrays = {node for node, key in (_split(name, nodes) for name in manifest.objects) if _CHUNK.fullmatch(key)}

    def place(name: str) -> tuple[str, Index | None]:
        node, key = _split(name, nodes)
        if node not in arrays:
            return "", None
        found = _CHUNK.fullmatch(key)
        index = tuple(int(one) for one in re.findall(r"\d+", key)) if found else None
        inside = found is not None or "/" not in key
        return (node.removeprefix("."), index) if inside else ("", None)

    return place


def _split(name: str, nodes: set[str]) -> tuple[str, str]:
    """The nearest node of a Zarr hierarchy above an object, "." if none, and the path from there."""
    node = next((one for one in map(str, PurePosixPath(name).parents) if one in nodes), ".")
    return node, name if node == "." else name.removeprefix(f"{node}/")
