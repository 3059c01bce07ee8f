"""Checkpoints: tensors and JSON, no pickle, committed whole or not at all, checked before use."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save

from distgan.state import State
from storage.durable import remove_tree, require_space
from storage.errors import DataError
from storage.manifest import Manifest, check_digests, committed, read_manifest

KIND = "checkpoint"


class DamagedCheckpoint(UserWarning):
    """A checkpoint was passed over; the one before it is taken."""


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint as it was read.  facts: counters, recipe and state digest."""

    path: Path
    state: State
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run, in one folder; the newest `keep` are kept."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self.keep = keep

    def save(self, state: State, facts: dict[str, Any]) -> Path:
        """Commit a checkpoint, then delete what is too old, and what was passed over; returns its path.

        Raises DiskError: it could not be written; the earlier ones are untouched.
        """
        path = self.folder / f"images-{facts['images_seen']:012d}"
        self.folder.mkdir(parents=True, exist_ok=True)
        size = sum(value.nbytes for value in state.values())
        require_space(self.folder, size + (1 << 20))
        if path.exists():  # of an earlier attempt, and damaged or beyond the one we resumed from
            remove_tree(path)
        with committed(path, KIND, facts) as partial:
            # Its own writer hides the errno of a full disk.
            (partial / "state.safetensors").write_bytes(save(state))
        found = self._newest_first()
        here = found.index(path)
        for other in found[:here] + found[here + self.keep :]:  # a newer one was found damaged
            remove_tree(other)
        return path

    def latest(self) -> Snapshot | None:
        """The newest checkpoint that is whole, every byte checked; None if there never was one.

        Raises DataError: there are checkpoints, and all of them are damaged.
        """
        faults = []
        for path in self._newest_first():
            try:
                manifest = self._checked(path)
            except DataError as error:
                faults.append(f"{path.name}: {error.found}")
                continue
            for fault in faults:
                warnings.warn(f"checkpoint {fault}; going on from {path.name}", DamagedCheckpoint, stacklevel=2)
            return Snapshot(path, load_file(path / "state.safetensors"), manifest.facts)
        if faults:
            raise DataError(
                f"every checkpoint in {self.folder} is damaged",
                "; ".join(faults),
                "Restore one from a copy, or begin again under another run.name",
            )
        return None

    def committed_images(self) -> int:
        """How many images the newest committed checkpoint has seen, by its name alone; 0 if there is none."""
        found = self._newest_first()
        return int(found[0].name.removeprefix("images-")) if found else 0

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("images-*"), reverse=True)

    def _checked(self, path: Path) -> Manifest:
        manifest = read_manifest(path, KIND)
        check_digests(path, manifest)
        return manifest
