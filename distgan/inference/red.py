"""Cells whose first channel comes first: which models make such, how they are shown, and codes of a red image alone.

"Red" is the first channel, which is in every image; the others are of one class each (Osokin et al. 2017).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distgan.codes import RedFirst
from distgan.inference.invert import PAIRS, Search, lowered, train_encoder
from distgan.method import Batch, Step
from distgan.model import Model
from storage.datasets import Progress
from storage.errors import RecipeError


def red_first(model: Model, wish: str) -> RedFirst:
    """The method of a model that makes the first channel of a cell first.  wish: the option that asks for it.

    Raises RecipeError: it makes all channels at once.
    """
    method = model.method
    if isinstance(method, RedFirst) and method.prior.red:
        return method
    raise RecipeError(
        f"{model.config.method.name} has no red codes",
        "all numbers of a code decide all channels",
        f"Leave {wish} out, or take a model of a separable generator (separable_*, star_*)",
    )


def panels(cells: Tensor, names: Sequence[str], channels: int) -> list[tuple[str, Tensor]]:
    """Cells N K H W in [-1, 1] as images of so many channels: the red one alone, then on it each class.

    names: K names of channels.  Returns a name and N C H W of each.
    """
    red, others = cells[:, :1], channels - 1
    dark = torch.full_like(red, -1.0).expand(-1, others, -1, -1)
    found = [(names[0], torch.cat([red, dark], 1))]
    for start in range(1, cells.shape[1], others):
        found += [(names[start], torch.cat([red, cells[:, start : start + others]], 1))]
    return found


@dataclass(frozen=True)
class Reds:
    """Of N red images: red codes N R, what is made of them N 1 H W, and its errors N, black 0 and white 1."""

    codes: Tensor
    made: Tensor
    errors: Tensor


@torch.no_grad()
def reds_of(
    method: RedFirst, wanted: Tensor, rows: Sequence[int], search: Search, progress: Progress = lambda done, total: None
) -> Reds:
    """Red codes whose red channels are near: Σ (x - G(z))² is lowered by L-BFGS, from drawn codes and an encoder's.

    wanted: N 1 H W in [-1, 1].  rows: their names, by which starts are drawn.  search: `encoder` steps train one on
    pairs of red codes and red images.  progress: of that training.
    Raises RecipeError: there is nothing to begin from.
    """
    red, starts = method.prior.red, []

    def pair(step: Step) -> tuple[Tensor, Tensor]:
        codes = step.normal("pairs", PAIRS, red)
        return codes, method.reds(codes)

    if search.encoder:
        starts.append(train_encoder(pair, red, wanted.shape[1:], search, progress)(wanted)[:, None])
    if search.starts:
        steps = (Step(Batch(wanted[:1]), 0, row, seed=search.seed) for row in rows)
        starts.append(torch.stack([step.normal("red start", search.starts, red) for step in steps]))
    if not starts:
        raise RecipeError("there is nothing to find codes by", "no encoder, no starts", "Raise --encoder or --starts")
    codes = torch.cat(starts, 1)
    times = codes.shape[1]
    target = wanted.repeat_interleave(times, 0)

    tried = codes.flatten(0, 1)
    if search.evaluations:
        tried = lowered(method.reds, target, tried, search.evaluations)
    made = method.reds(tried)
    errors = 0.5 * (made - target).flatten(1).square().mean(1).sqrt().view(-1, times)
    which = errors.argmin(1) + times * torch.arange(len(wanted))
    return Reds(tried[which], made[which], errors.flatten()[which])
