"""Made samples that train beside real ones, or in their place: does adding them help a network that reads them?"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from distgan.config.sections import Augment, Made
from distgan.data.batches import Feed, Known, known_of
from distgan.method import Sample
from storage.errors import RecipeError
from storage.patches import PatchStore
from storage.sampler import Indices, Order, Sampler, StratifiedSampler


class MadeFeed(Feed):
    """Real and made samples in memory, those of the made store after the real ones.

    part: "half" takes real and made ones in turns, so that every batch has equally many; "all" leaves real ones out.
    rows: of the real samples.  known: of these.
    Raises RecipeError: the made samples are not such as the real ones, or there is more that goes by the real ones'
    rows.
    """

    def __init__(
        self,
        store: PatchStore,
        rows: Indices,
        made: Made,
        sample: Sample,
        seed: int,
        device: torch.device,
        augment: Augment,
        known: Known,
    ) -> None:
        other = PatchStore.open(Path(made.store))
        for what in ("channels", "dtype", "value_range", "shape"):
            wanted, found = (getattr(one, what) for one in (store, other))
            if (wanted[1:] != found[1:]) if what == "shape" else wanted != found:
                raise RecipeError(
                    f"the made samples of {other.path} are not such as those of {store.path}",
                    f"{what} {found}, and {wanted} is wanted",
                    "Make them by a model that was trained on this store: distgan sample MODEL --out NAME.zarr",
                )
        if missing := [name for name in sample.labels if name not in other.labels]:
            raise RecipeError(
                f"the made samples of {other.path} have no label image {missing[0]!r}",
                f"they have {', '.join(other.labels) or 'none'}",
                "Make them by a model that makes these structures",
            )
        if known.companions is not None or set(known.columns) - set(sample.classes):
            raise RecipeError(
                "made samples have no look-alikes and no stored codes",
                f"data.made.store = {made.store!r}",
                "Leave data.made out",
            )
        own = np.arange(other.shape[0])
        of_made = known_of(other, own, replace(sample, counts={}))
        labels, columns = of_made.labels, of_made.columns
        images, kept = other.read(own), rows[:0]
        if made.part == "half":
            images, kept = np.concatenate([store.read(rows), images]), rows
            labels = {name: np.concatenate([known.labels[name], of]) for name, of in labels.items()}
            columns = {name: torch.cat([known.columns[name], of]) for name, of in columns.items()}
        order = _order(len(kept), len(own), seed)
        both = Known(columns, labels)
        super().__init__(store, kept, seed, device, images=images, order=order, augment=augment, known=both)
        self.made = other.digest
        self.order_name = f"shuffled samples, {made.part} of them made ({other.digest[:12]}...)"


def _order(real: int, made: int, seed: int) -> Order:
    if not real:
        return Sampler(made, seed)
    return StratifiedSampler(np.repeat(["real", "made"], [real, made]), seed)
