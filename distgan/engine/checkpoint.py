"""Checkpoints: tensors and JSON, no pickle, committed whole or not at all, checked before use."""

import hashlib
import json
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from distgan.engine.state import State, bytes_of
from storage.durable import remove_abandoned, remove_tree, require_space, staged
from storage.errors import DataError
from storage.manifest import Manifest, NewerFormat, check_digests, read_manifest, seal

LOGGER = logging.getLogger(__name__)
KIND = "checkpoint"
TENSORS = "state.safetensors"
DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint as it was read.  facts: counters, recipe, numerics, best evaluation and state digest."""

    path: Path
    state: State
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run, in one folder.

    The newest `keep` are kept, and besides them the first one at or after the best evaluation,
    which is the facts' `best`: {metric, value, images_seen}, or None.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self.keep = keep
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._begun: Future[object] | None = None

    def save(self, state: State, facts: dict[str, Any]) -> Path:
        """Commit a checkpoint, then delete what is too old, and what was passed over; returns its path.

        Raises DiskError: it could not be written; the earlier ones are untouched.
        """
        path = self.folder / f"images-{facts['images_seen']:012d}"
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_abandoned(self.folder)
        size = sum(value.nbytes for value in state.values())
        require_space(self.folder, size + (1 << 20))
        if path.exists():  # of an earlier attempt, and damaged or beyond the one we resumed from
            remove_tree(path)
        with staged(path) as partial:
            seal(partial, KIND, facts, {TENSORS: write_tensors(partial / TENSORS, state)})
        for other in self._superfluous(path, facts.get("best")):
            remove_tree(other)
        return path

    def later(self, job: Callable[[], object]) -> None:
        """Run a job that saves, on a thread of its own; wait first for the one begun before.

        Raises what the one before raised.
        """
        self.wait()
        self._begun = self._thread.submit(job)

    def wait(self) -> None:
        """Until nothing is being saved.  Raises what the last job raised, once."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.result()

    def latest(self) -> Snapshot | None:
        """The newest checkpoint that is whole, every byte checked; None if there never was one.

        What is damaged is passed over with a warning.  Raises DataError: there are checkpoints, and all of them
        are damaged, or one was written by a newer version.
        """
        faults = []
        for path in self._newest_first():
            try:
                manifest = self._checked(path)
            except NewerFormat:
                raise
            except DataError as error:
                faults.append(f"{path.name}: {error.found}")
                continue
            for fault in faults:
                LOGGER.warning("a damaged checkpoint is passed over: %s; going on from %s", fault, path.name)
            return Snapshot(path, load_file(path / TENSORS), manifest.facts)
        if faults:
            raise DataError(
                f"every checkpoint in {self.folder} is damaged",
                "; ".join(faults),
                "Restore one from a copy, or begin again under another run.name",
            )
        return None

    def best(self, best: dict[str, Any]) -> Snapshot:
        """The first checkpoint at or after the best evaluation, every byte checked.  Raises DataError."""
        path = min(path for path in self._newest_first() if _images(path) >= best["images_seen"])
        manifest = self._checked(path)
        return Snapshot(path, load_file(path / TENSORS), manifest.facts)

    def committed_images(self) -> int:
        """How many images the newest committed checkpoint has seen, by its name alone; 0 if there is none."""
        found = self._newest_first()
        return _images(found[0]) if found else 0

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob(f"images-{12 * '[0-9]'}"), reverse=True)

    def _superfluous(self, newest: Path, best: dict[str, Any] | None) -> list[Path]:
        """What need not stay once `newest` is committed; any newer one was found damaged."""
        found = self._newest_first()
        here = found.index(newest)
        kept = found[here : here + self.keep]
        if best:
            kept += [path for path in found[here:] if _images(path) >= best["images_seen"]][-1:]
        return [path for path in found if path not in kept]

    def _checked(self, path: Path) -> Manifest:
        manifest = read_manifest(path, KIND)
        check_digests(path, manifest)
        return manifest


def _images(path: Path) -> int:
    return int(path.name.removeprefix("images-"))


def write_tensors(path: Path, state: State) -> str:
    """Write a safetensors file straight from the memory of CPU tensors; returns its SHA-256.

    The library's own writer copies the whole state while all other threads wait, and hides the errno of a full
    disk. The format (https://huggingface.co/docs/safetensors): length of the header, header, values.
    """
    header: dict[str, Any] = {}
    end = 0
    ordered = sorted(state, key=lambda name: (-state[name].itemsize, name))  # so each value is aligned
    for name in ordered:
        start, end = end, end + state[name].nbytes
        header[name] = {
            "dtype": DTYPES[state[name].dtype],
            "shape": list(state[name].shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    total = hashlib.sha256()
    with path.open("wb") as file:
        for part in (memoryview(len(text).to_bytes(8, "little") + text), *(bytes_of(state[name]) for name in ordered)):
            file.write(part)
            total.update(part)
    return total.hexdigest()
