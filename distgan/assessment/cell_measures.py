"""What is measured of cells and of what a method makes of them, one number for each cell."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from distgan.families.cells import CellMethod
from distgan.method import Batch, Method
from storage.errors import RecipeError

BATCH = 64


def as_cells(method: Method) -> CellMethod:
    """The method, if it is an integrated cell.  Raises RecipeError: it is none."""
    if isinstance(method, CellMethod):
        return method
    raise RecipeError(
        f"{method.config.name} is no integrated cell",
        "codes of cells are wanted",
        "Take cell_autoencoder, conditional_autoencoder or conditional_beta_vae, or the metric reconstruction",
    )


def parts(batch: Batch) -> Iterator[Batch]:
    """The batch in parts of at most BATCH cells."""
    for start in range(0, len(batch), BATCH):
        yield batch.part(slice(start, start + BATCH))


@torch.no_grad()
def made(batch: Batch, make: Callable[[Batch], Tensor]) -> Tensor:
    """What `make` makes of every cell, some at a time."""
    return torch.cat([make(part) for part in parts(batch)])


def likeliest(cells: CellMethod, batch: Batch) -> Tensor:
    """Images N C ... of the likeliest structure of each cell's class in its shape: z^s = 0 (algorithm 3)."""
    return made(batch, lambda part: cells.decoded(part.images.new_zeros(len(part), cells.config.latent), part))


def correlations(cells: CellMethod, images: Tensor, others: Tensor) -> Tensor:
    """Pearson's correlation of the structure channels of each image with those of the other, N; 0 where one is even."""
    one, other = (cells.light(light, cells.structure).flatten(1).double() for light in (images, others))
    one, other = one - one.mean(1, keepdim=True), other - other.mean(1, keepdim=True)
    return F.cosine_similarity(one, other, eps=1e-12)


def cross_entropies(one: Tensor, made: Tensor) -> Tensor:
    """Mean cross-entropy of light N ... in [0, 1] that was made, against real light; of each image, N, in nats."""
    return F.binary_cross_entropy(made.clamp(1e-6, 1 - 1e-6), one, reduction="none").flatten(1).mean(1)


def psnrs(one: Tensor, made: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of light N ... in [0, 1] that was made; of each image, N, in dB."""
    return -10 * (one - made).double().square().flatten(1).mean(1).clamp(min=1e-12).log10()


def names_of(cells: CellMethod, channels: tuple[int, ...]) -> list[str]:
    """The names of these channels."""
    known = cells.sample.channels or tuple(map(str, range(cells.sample.shape[0])))
    return [known[channel] for channel in channels]
