"""From the patch store to batches on the device: which samples train, which are held out, and scaling."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from distgan.config.sections import Augment, Data, Draw, Split
from distgan.data.augment import augmented, moved
from distgan.data.companions import Places, companions_of, one_of_each
from distgan.method import Batch, Sample
from storage.errors import DataError, RecipeError
from storage.leakage import Leaks, equal_pixels, leaks
from storage.patches import Patches, PatchStore
from storage.sampler import Indices, Order, Sampler
from storage.shares import drawn
from storage.split import Mask, column_values, fold_of, held_out, held_out_by_name, left_out, matching, share

PLAIN = Augment()


@dataclass(frozen=True)
class Chosen:
    """Rows of a patch store, sorted: those that train, those that choose (settings, the best checkpoint, when to stop)
    and those that are held out; the latter two are possibly none.
    """

    train: Indices
    held_out: Indices
    validation: Indices = field(default_factory=lambda: np.empty(0, np.int64))


def choose(store: PatchStore, data: Data) -> Chosen:
    """Which samples of the store a run uses.

    Raises RecipeError: the subset, the split or the fraction leaves nothing.  Raises DataError: a held-out sample
    is also trained on, pixel by pixel, and data.allow does not name that.
    """
    wanted = matching(store.obs, data.subset)
    if data.split is None:
        if data.draw is not None:
            rows = np.flatnonzero(wanted)
            return Chosen(rows[_drawn(store, data, data.draw, wanted)], np.empty(0, np.int64))
        if data.fraction < 1:
            raise RecipeError("a fraction needs groups", "no [data.split]", "Name the column to go by: data.split.by")
        return Chosen(np.flatnonzero(wanted), np.empty(0, np.int64))
    groups = _column(store, data.split.by, wanted)
    classes = None if data.split.stratify is None else _column(store, data.split.stratify, wanted)
    out = _held_out(groups, data.split, classes)
    train, rows = ~out, np.flatnonzero(wanted)
    validation = np.zeros_like(out)
    if data.validation is not None:
        own = wanted.copy()
        own[rows[out]] = False
        of = data.validation
        own_classes = None if of.stratify is None else _column(store, of.stratify, own)
        validation[train] = _held_out(_column(store, of.by, own), of, own_classes)
        train &= ~validation
    if data.draw is not None:
        own = np.zeros_like(wanted)
        own[rows[train]] = True
        train[train] = _drawn(store, data, data.draw, own)
    elif data.fraction < 1:
        of_train = None if classes is None else classes[train]
        train[train] = share(groups[train], data.fraction, data.split.seed + 1, of_train)
    chosen = Chosen(rows[train], rows[out], rows[validation])
    if "duplicates" not in data.allow:
        _refuse_duplicates(store, chosen)
    return chosen


def sample_of(store: PatchStore, data: Data, columns: tuple[str, ...] = (), labels: tuple[str, ...] = ()) -> Sample:
    """What the samples are, with the classes of these columns: all that occur in data.subset, sorted.

    Raises RecipeError: there is no such column or label image.  Raises DataError: a sample has no value in it.
    """
    wanted = matching(store.obs, data.subset)
    if missing := [name for name in labels if name not in store.labels]:
        raise RecipeError(
            f"{store.path} has no label image {missing[0]!r}",
            f"it has {', '.join(store.labels) or 'none'}",
            "Name one of these, or prepare from images that have labels",
        )
    classes = {name: _classes(store, name, wanted) for name in columns}
    return Sample(store.shape[1:], store.channels, classes, labels=labels)


def _classes(store: PatchStore, name: str, wanted: Mask) -> tuple[str, ...]:
    values = [value for value, one in zip(column_values(store.obs, name), wanted, strict=True) if one]
    if None in values:
        raise DataError(
            f"not every sample of {store.path} has a value of {name!r}",
            f"{values.count(None):,} of {len(values):,} have none",
            "Choose those that have one with data.subset",
        )
    numbers = all(isinstance(value, float) for value in values)
    return () if numbers else tuple(sorted({str(value) for value in values}))


def counted(store: PatchStore, rows: Indices, sample: Sample) -> Sample:
    """The same, with how many of these rows are of each class."""
    counts = {
        name: torch.bincount(_values(store, name, rows, of), minlength=len(of))
        for name, of in sample.classes.items()
        if of
    }
    return replace(sample, counts={name: tuple(count.tolist()) for name, count in counts.items()})


@dataclass(frozen=True)
class Known:
    """What is known of some samples besides their images, in their order, as `distgan.method.Batch` has it.

    columns: N each.  labels: N H W or N D H W each, in the dtype of the store.  companions: places among the samples.
    """

    columns: Mapping[str, Tensor] = field(default_factory=dict)
    labels: Mapping[str, Patches] = field(default_factory=dict)
    companions: Places | None = None


def known_of(store: PatchStore, rows: Indices, sample: Sample, companions: str = "") -> Known:
    """What the sample says that comes along, of these rows; label images are read into memory.

    companions: the column of every class of which a look-alike comes along; "" is none.
    """
    columns = {name: _values(store, name, rows, classes) for name, classes in sample.classes.items()}
    places = companions_of(store, rows, companions, sample.classes[companions]) if companions else None
    return Known(columns, {name: store.read(rows, name) for name in sample.labels}, places)


def _values(store: PatchStore, name: str, rows: Indices, classes: tuple[str, ...]) -> Tensor:
    column = column_values(store.obs, name)
    values = [column[row] for row in rows]
    if not classes:
        return torch.tensor(values, dtype=torch.float32)
    number = {known: index for index, known in enumerate(classes)}
    return torch.tensor([number[str(value)] for value in values], dtype=torch.int64)


def _drawn(store: PatchStore, data: Data, draw: Draw, among: Mask) -> Mask:
    by, classes = draw.by or (data.split and data.split.by), draw.classes or (data.split and data.split.stratify)
    groups = _column(store, by, among) if by else np.flatnonzero(among).astype(np.str_)
    return drawn(groups, _column(store, classes, among) if classes else None, data.fraction, draw.seed, draw.rule)


def _column(store: PatchStore, name: str, wanted: Mask) -> NDArray[np.str_]:
    return np.asarray([str(value) for value in column_values(store.obs, name)])[wanted]


def _held_out(groups: NDArray[np.str_], split: Split, classes: NDArray[np.str_] | None) -> Mask:
    if split.leave_out is not None:
        return left_out(groups, split.leave_out)
    if split.folds is not None and split.fold is not None:
        return fold_of(groups, split.folds, split.fold, split.seed, classes)
    if split.stable:
        return held_out_by_name(groups, split.held_out or 0.0, split.seed)
    return held_out(groups, split.held_out or 0.0, split.seed, classes)


def _refuse_duplicates(store: PatchStore, chosen: Chosen) -> None:
    twice = chosen.held_out[equal_pixels(store.obs.take(chosen.train), store.obs.take(chosen.held_out))]
    if len(twice):
        raise DataError(
            f"held-out samples of {store.path} are also trained on",
            f"{len(twice)} of {len(chosen.held_out)} equal a training sample in every pixel, such as row {twice[0]}",
            'Split by a column that keeps them together (data.split.by), or set data.allow = ["duplicates"]',
        )


def leaks_of(store: PatchStore, chosen: Chosen, data: Data) -> Leaks:
    """What the held-out samples share with the training samples."""
    columns = [name for name in ("file", data.split.by if data.split else "") if name in store.obs.column_names]
    return leaks(store.obs.take(chosen.train), store.obs.take(chosen.held_out), columns)


NOTHING = Known()


class Batches(ABC):
    """Batches of training samples, by their position in an endless stream of samples.

    They come to the device as the store has them, and are scaled and augmented there.
    order_name: of what the stream is made; with the seed, a position in it means the same samples for ever.
    made: digest of the store of made samples that come with the real ones, or "".
    """

    order_name: str = "shuffled samples"
    made: str = ""

    order: Order

    def __init__(self, store: PatchStore, seed: int, device: torch.device, augment: Augment, known: Known) -> None:
        self.value_range = store.value_range
        self.seed = seed
        self.device = device
        self.augment = augment
        self.known = known

    def batch(self, position: int, count: int) -> Batch:
        """The samples at `position` .. `position + count` of the stream."""
        images = to_unit_range(self.stored(position, count), self.value_range, self.device)
        columns, labels = self._known_at(position, count)
        labels = {name: moved(label, self.augment, self.seed, position) for name, label in labels.items()}
        companions = self.companions(position, count)
        channels = images.shape[1]
        if companions is not None:
            images = torch.cat([images, companions.flatten(1, 2)], 1)  # all are moved alike
        images = augmented(images, self.augment, self.seed, position)
        if companions is not None:
            companions = images[:, channels:].unflatten(1, companions.shape[1:3])
        return Batch(images[:, :channels], columns, labels, companions)

    def companions(self, position: int, count: int) -> Tensor | None:
        """Their look-alikes of every class, N P C H W, not augmented; None where none come along."""
        return None

    def _known_at(self, position: int, count: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        if not self.known.columns and not self.known.labels:
            return {}, {}
        return self._known(self.order.take(position, count))

    def _known(self, rows: Indices) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        places = torch.from_numpy(rows)
        columns = {name: values[places].to(self.device) for name, values in self.known.columns.items()}
        labels = {
            name: torch.from_numpy(pixels[rows].astype(np.int64)).to(self.device)
            for name, pixels in self.known.labels.items()
        }
        return columns, labels

    @abstractmethod
    def stored(self, position: int, count: int) -> Patches | Tensor:
        """The same samples as the store has them."""

    def close(self) -> None:  # noqa: B027 - most have nothing to give back
        """Give back what other processes share, or what runs in the background."""


class Feed(Batches):
    """Batches of samples that are all at hand, in memory or on the device.

    images: those of `rows`, read from the store if not given; uint16 ones on a device look like int16.
    order: in which they come; truly shuffled if not given.  known: of `rows`.
    """

    def __init__(
        self,
        store: PatchStore,
        rows: Indices,
        seed: int,
        device: torch.device,
        *,
        images: Patches | Tensor | None = None,
        order: Order | None = None,
        augment: Augment = PLAIN,
        known: Known = NOTHING,
    ) -> None:
        super().__init__(store, seed, device, augment, known)
        self.store, self.store_rows = store, rows
        self.images = store.read(rows) if images is None else images
        self.order = Sampler(len(rows), seed) if order is None else order

    def stored(self, position: int, count: int) -> Patches | Tensor:
        """The samples at `position` .. `position + count` of the stream, as the store has them."""
        return self._gathered(self.order.take(position, count))

    @property
    def obs(self) -> pa.Table:
        """The metadata of its samples, one row each."""
        return self.store.obs.take(self.store_rows)

    def companions(self, position: int, count: int) -> Tensor | None:
        """Their look-alikes of every class, N P C H W, not augmented; None where none come along."""
        if self.known.companions is None:
            return None
        places = one_of_each(self.known.companions, self.order.take(position, count), self.seed, position)
        found = to_unit_range(self._gathered(places.reshape(-1)), self.value_range, self.device)
        return found.unflatten(0, places.shape)

    def rows(self, rows: Indices) -> Batch:
        """These samples of the feed, whatever the stream says, not augmented."""
        return Batch(to_unit_range(self._gathered(rows), self.value_range, self.device), *self._known(rows))

    def _gathered(self, rows: Indices) -> Patches | Tensor:
        if isinstance(self.images, Tensor):
            found = self.images[torch.from_numpy(rows).to(self.device)]
            return found.view(torch.uint16) if found.dtype == torch.int16 else found
        return self.images[rows]


def to_unit_range(
    images: Patches | Tensor, value_range: tuple[float, float], device: torch.device | None = None
) -> Tensor:
    """Stored values -> float32 in [-1, 1] on the device; black is -1 and white is 1.

    The bytes go to the device as they are stored, and are scaled there.
    """
    low, high = value_range
    stored = images if isinstance(images, Tensor) else torch.from_numpy(images)
    return stored.to(device).to(torch.float32, copy=True).sub_(low).mul_(2.0 / (high - low)).sub_(1.0)


def from_unit_range(images: Tensor, value_range: tuple[float, float], dtype: str) -> Patches:
    """[-1, 1] -> the values and the dtype of the store; what is outside of an integer dtype is cut."""
    low, high = value_range
    values = ((images.detach().cpu().float() + 1.0) * ((high - low) / 2.0) + low).numpy()
    if np.issubdtype(np.dtype(dtype), np.floating):
        return values.astype(dtype)
    limits = np.iinfo(np.dtype(dtype))
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)


def open_store(data: Data) -> PatchStore:
    """The patch store a recipe names."""
    return PatchStore.open(Path(data.store))
