"""From the patch store to batches on the device: which samples train, which are held out, and scaling."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distgan.config import Data
from distgan.method import Batch
from storage.errors import RecipeError
from storage.patches import Patches, PatchStore
from storage.sampler import Sampler
from storage.split import column_values, held_out, matching, share


@dataclass(frozen=True)
class Chosen:
    """Rows of a patch store, sorted: those that train, and those that are held out (possibly none)."""

    train: NDArray[np.int64]
    held_out: NDArray[np.int64]


def choose(store: PatchStore, data: Data) -> Chosen:
    """Which samples of the store a run uses.

    Raises RecipeError: the subset, the split or the fraction leaves nothing.
    """
    wanted = matching(store.obs, data.subset)
    if data.split is None:
        if data.fraction < 1:
            raise RecipeError("a fraction needs groups", "no [data.split]", "Name the column to go by: data.split.by")
        return Chosen(np.flatnonzero(wanted), np.empty(0, np.int64))
    groups = np.asarray([str(value) for value in column_values(store.obs, data.split.by)])
    out = np.zeros_like(wanted)
    out[wanted] = held_out(groups[wanted], data.split.held_out, data.split.seed)
    train = wanted & ~out
    if data.fraction < 1:
        kept = np.zeros_like(wanted)
        kept[train] = share(groups[train], data.fraction, data.split.seed + 1)
        train = kept
    return Chosen(np.flatnonzero(train), np.flatnonzero(out))


class Feed:
    """Batches of the training samples, by their position in the stream of samples.

    The samples stay in memory as the store has them and are scaled on the device.
    """

    def __init__(self, store: PatchStore, rows: NDArray[np.int64], seed: int, device: torch.device) -> None:
        self.images = store.read(rows)
        self.sampler = Sampler(len(rows), seed)
        self.value_range = store.value_range
        self.device = device

    def batch(self, position: int, count: int) -> Batch:
        """The samples at `position` .. `position + count` of the stream."""
        return self.rows(self.sampler.take(position, count))

    def rows(self, rows: NDArray[np.int64]) -> Batch:
        """These samples of the feed, whatever the stream says."""
        return Batch(to_unit_range(self.images[rows], self.value_range, self.device))


def to_unit_range(images: Patches, value_range: tuple[float, float], device: torch.device | None = None) -> Tensor:
    """Stored values -> float32 in [-1, 1] on the device; black is -1 and white is 1.

    The bytes go to the device as they are stored, and are scaled there.
    """
    low, high = value_range
    return torch.from_numpy(images).to(device).float().sub_(low).mul_(2.0 / (high - low)).sub_(1.0)


def from_unit_range(images: Tensor, value_range: tuple[float, float], dtype: str) -> Patches:
    """[-1, 1] -> the values and the dtype of the store; what is outside is cut."""
    low, high = value_range
    values = (images.detach().cpu().float() + 1.0) * ((high - low) / 2.0) + low
    limits = np.iinfo(np.dtype(dtype))
    return np.clip(np.rint(values.numpy()), limits.min, limits.max).astype(dtype)


def open_store(data: Data) -> PatchStore:
    """The patch store a recipe names."""
    return PatchStore.open(Path(data.store))
