"""Where the training samples lie while a run reads them: on the device, in memory, or on disk.

device   in the memory of the GPU, of a quarter of what is free there at most
memory   one copy for all workers of a machine, of half of its memory at most
stream   on disk: blocks are shuffled, read ahead, and shuffled again in windows
"""

import hashlib
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distgan.config.run_config import AnyRun
from distgan.config.sections import Augment, Data
from distgan.data.augment import check_augment
from distgan.data.batches import NOTHING, PLAIN, Batches, Feed, Known
from distgan.engine.distributed import Group
from storage.errors import RecipeError
from storage.patches import Patches, PatchStore, memory_bytes
from storage.sampler import BlockSampler, Indices, Order, StratifiedSampler
from storage.shared import SharedArray
from storage.split import column_values
from storage.stream import Stream, chosen_blocks

Residence = Literal["device", "memory", "stream"]


def open_feed(
    store: PatchStore,
    rows: Indices,
    config: AnyRun,
    group: Group,
    device: torch.device,
    known: Known = NOTHING,
) -> Batches:
    """The training samples of a run, where data.resident says or, by default, where they fit.

    Raises RecipeError: they do not fit there, or cannot be augmented or stratified as asked, or not read from the disk
    with their look-alikes.
    """
    check_augment(config.augment, store.shape)
    seed, augment = config.run.seed, config.augment
    order = _stratified(store, rows, config) if config.data.strata else None
    place = residence(store, len(rows), config.data, device)
    # A stream has an order of its own, so all workers follow the first.
    if group.first_decides(torch.tensor(int(place == "stream"), device=device)).item():
        if known.companions is not None:
            raise RecipeError(
                "look-alikes of every class cannot be read along with a stream",
                f"data.resident = {config.data.resident!r}, and {len(rows):,} samples",
                'Set data.resident = "memory", or choose fewer with data.subset',
            )
        return StreamFeed(store, rows, seed, device, config.run.batch_size, config.run.virtual_shards, augment, known)
    if place == "device":
        images = on_device(store, rows, device)
        return Feed(store, rows, seed, device, images=images, order=order, augment=augment, known=known)
    if group.size > 1:
        return SharedFeed(store, rows, seed, device, order, augment, known)
    return Feed(store, rows, seed, device, order=order, augment=augment, known=known)


def residence(store: PatchStore, count: int, data: Data, device: torch.device) -> Residence:
    """Where so many samples of the store shall lie."""
    if data.resident != "auto":
        return data.resident
    size = count * store.sample_bytes
    if device.type == "cuda" and size <= torch.cuda.mem_get_info(device)[0] // 4:
        return "device"
    return "memory" if data.strata or size <= memory_bytes() // 2 else "stream"


class SharedFeed(Feed):
    """Samples of which the processes of a machine share one copy in memory."""

    def __init__(
        self,
        store: PatchStore,
        rows: Indices,
        seed: int,
        device: torch.device,
        order: Order | None = None,
        augment: Augment = PLAIN,
        known: Known = NOTHING,
    ) -> None:
        self._shared = shared_copy(store, rows)
        images = self._shared.array
        super().__init__(store, rows, seed, device, images=images, order=order, augment=augment, known=known)

    def close(self) -> None:
        """Give the copy back; the last process removes it."""
        self.images = np.empty(0)
        self._shared.close()


class StreamFeed(Batches):
    """Samples that stay on disk.

    batch, shards: of the run; who asks only for some shards of a batch reads only their part of the store.
    """

    order_name = "shuffled blocks"

    def __init__(
        self,
        store: PatchStore,
        rows: Indices,
        seed: int,
        device: torch.device,
        batch: int,
        shards: int,
        augment: Augment = PLAIN,
        known: Known = NOTHING,
    ) -> None:
        super().__init__(store, seed, device, augment, known)
        self._stream = Stream(store, rows, batch, shards, seed)
        self.order = self._stream.sampler

    def stored(self, position: int, count: int) -> Patches:
        """The samples at `position` .. `position + count` of the stream, as the store has them."""
        return self._stream.take(position, count)

    def close(self) -> None:
        """Stop reading ahead."""
        self._stream.close()


def shared_copy(store: PatchStore, rows: Indices) -> SharedArray:
    """The samples of these rows in memory, once for all processes of this machine.

    Raises RecipeError: they would take more than half of its memory.
    """
    size = len(rows) * store.sample_bytes
    if size > memory_bytes() // 2:
        raise RecipeError(
            f"the samples chosen from {store.path} do not fit in memory",
            f"{size / 2**30:.1f} GiB, and half of this machine's memory is {memory_bytes() / 2**31:.1f} GiB",
            'Choose fewer with data.subset or data.fraction, or set data.resident = "stream"',
        )

    def fill(images: NDArray[Any]) -> None:
        for first, last, block in chosen_blocks(store, rows):
            images[first:last] = block

    name = f"{store.digest[:16]}-{hashlib.sha256(rows.tobytes()).hexdigest()[:16]}"
    return SharedArray(name, (len(rows), *store.shape[1:]), store.dtype, fill)


def on_device(store: PatchStore, rows: Indices, device: torch.device) -> Tensor:
    """The samples of these rows on the device, of which uint16 ones look like int16: torch gathers those anywhere."""
    dtype = {"uint8": torch.uint8, "uint16": torch.int16, "float32": torch.float32}[store.dtype]
    images = torch.empty((len(rows), *store.shape[1:]), dtype=dtype, device=device)
    for first, last, block in chosen_blocks(store, rows):
        images[first:last] = torch.from_numpy(block.view(np.int16) if store.dtype == "uint16" else block)
    return images


def some_blocks(store: PatchStore, rows: Indices, count: int, seed: int) -> Indices:
    """So many of these rows (all, if there are fewer), rising, of as few blocks of the store as can be."""
    blocks = BlockSampler(rows, store.chunk, 1, 1, seed, 1)
    return np.sort(rows[blocks.take(0, min(count, len(rows)))])


def _stratified(store: PatchStore, rows: Indices, config: AnyRun) -> StratifiedSampler:
    column = str(config.data.strata)
    classes = np.asarray([str(value) for value in column_values(store.obs, column)])[rows]
    count = len(np.unique(classes))
    if config.run.batch_size % count:
        raise RecipeError(
            "a batch cannot have equally many of each class",
            f"run.batch_size = {config.run.batch_size}, and {count} values of data.strata = {column!r}",
            f"Set run.batch_size to a multiple of {count}",
        )
    return StratifiedSampler(classes, config.run.seed)
