"""The completion marker of stores, checkpoints and models: what is in a directory, to the last byte.

`MANIFEST.json` is written last. A directory without one is unfinished, and is refused. It lists every
file with its length and SHA-256, holds what the writer wanted remembered (`facts`), and has a digest
of all of it, so that the name of a store's content can be handed on as provenance.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.durable import staged
from storage.errors import DataError, MissingError

NAME = "MANIFEST.json"
FORMAT = 1
Facts = dict[str, Any]
"""JSON values: str, int, float, bool, None, lists and dicts of these."""


class NewerFormat(DataError):
    """A later version of this program wrote it: it may be whole, but cannot be read here."""


@dataclass(frozen=True)
class Manifest:
    """What a committed directory holds.

    kind: "image store", "patch store", "checkpoint", "model".  objects: path -> (bytes, SHA-256).
    digest: SHA-256 of kind, facts and objects; equal content has an equal digest.
    """

    kind: str
    facts: Facts
    objects: dict[str, tuple[int, str]]
    digest: str


@contextlib.contextmanager
def committed(target: Path, kind: str, facts: Facts) -> Iterator[Path]:
    """Write a directory and commit it: the block fills the path it is given, and may add to `facts`."""
    with staged(target) as partial:
        yield partial
        seal(partial, kind, facts)


def seal(directory: Path, kind: str, facts: Facts, known: Mapping[str, str] | None = None) -> Manifest:
    """Write the manifest of what stands in `directory`.  known: SHA-256 of files that need not be read again."""
    known = known or {}
    files = {path.relative_to(directory).as_posix(): path for path in directory.rglob("*") if path.is_file()}
    unread = [name for name in files if name not in known]
    with ThreadPoolExecutor(2) as pool:
        digests = dict(zip(unread, pool.map(lambda name: sha256_file(files[name]), unread), strict=True))
    digests |= {name: known[name] for name in files if name in known}
    objects = {name: (files[name].stat().st_size, digests[name]) for name in sorted(files)}
    facts = json.loads(json.dumps(facts, allow_nan=False))
    manifest = Manifest(kind, facts, objects, _digest(kind, facts, objects))
    content = {"format": FORMAT, "kind": kind, "facts": facts, "objects": objects, "digest": manifest.digest}
    (directory / NAME).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return manifest


def read_manifest(directory: Path, kind: str) -> Manifest:
    """The manifest of a committed directory, with every file's presence and length checked.

    Raises MissingError: there is no such directory.  Raises DataError: it was not committed, is of
    another kind, or a file is missing or has another length.
    """
    if not directory.is_dir():
        raise MissingError(
            f"there is no {kind} at {directory}", "no such directory", "Check the path, or make it first"
        )
    manifest = _parse(directory, kind)
    for name, (size, _) in manifest.objects.items():
        path = directory / name
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            told = f"{name} has {found} bytes instead of {size}" if found is not None else f"{name} is missing"
            raise damaged(kind, directory, told)
    return manifest


def listed(directory: Path) -> Manifest:
    """The manifest of a committed directory of any kind, none of its files looked at.

    Raises MissingError: there is no such directory.  Raises DataError: it was not committed, or the
    manifest is damaged.
    """
    if not directory.is_dir():
        raise MissingError(f"there is nothing at {directory}", "no such directory", "Check the path")
    return _parse(directory, None)


def kind_of(directory: Path) -> str:
    """What kind of thing a committed directory is; raises as `listed` does."""
    return listed(directory).kind


def check_digests(directory: Path, manifest: Manifest) -> None:
    """Read every byte and compare; raises DataError naming the first file that differs."""
    for name, (_, wanted) in manifest.objects.items():
        found = sha256_file(directory / name)
        if found != wanted:
            raise damaged(manifest.kind, directory, f"{name} has SHA-256 {found[:16]}... instead of {wanted[:16]}...")


def damaged(kind: str, directory: Path, found: str) -> DataError:
    """The error of a committed directory that is not as it was written."""
    return DataError(
        f"the {kind} at {directory} is damaged",
        found,
        "Make it again, or restore it from a copy; `distgan verify` names all that is damaged",
    )


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parse(directory: Path, kind: str | None) -> Manifest:
    path = directory / NAME
    if not path.is_file():
        raise DataError(
            f"{directory} is not a committed {kind or 'store'}",
            f"it has no {NAME}, which is written last: whoever made it did not finish",
            "Make it again",
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if int(content["format"]) > FORMAT:
            raise NewerFormat(f"{path} is newer than this program", f"format {content['format']}", "Upgrade distgan")
        objects = {name: (int(size), str(digest)) for name, (size, digest) in content["objects"].items()}
        manifest = Manifest(content["kind"], content["facts"], objects, content["digest"])
        whole = manifest.digest == _digest(manifest.kind, manifest.facts, objects)
        inside = all(_stays_inside(name) for name in objects)
    except DataError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise DataError(f"{path} is damaged", str(error), "Make it again, or restore it from a copy") from None
    if not (whole and inside):
        raise DataError(
            f"{path} is damaged", "its digest does not match its content", "Make it again, or restore it from a copy"
        )
    if kind is not None and manifest.kind != kind:
        raise DataError(f"{directory} is no {kind}", f"its kind is {manifest.kind}", f"Give the path of a {kind}")
    return manifest


def _stays_inside(name: str) -> bool:
    return not name.startswith("/") and ".." not in Path(name).parts


def _digest(kind: str, facts: Facts, objects: dict[str, tuple[int, str]]) -> str:
    content = [kind, facts, sorted((name, size, digest) for name, (size, digest) in objects.items())]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
