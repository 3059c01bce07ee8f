"""Limited-memory BFGS of many small problems at once, each as if it were alone.

torch.optim.LBFGS sees a batch as one problem: the curvature of one image then bends the steps of the others. Here every
problem has its own history and its own step, and one evaluation serves all: a problem whose step has lowered its value
enough goes on from there, and one whose has not tries a shorter one (Nocedal and Wright 2006, algorithms 3.1 and 7.4).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

MEMORY = 10
ARMIJO = 1e-4
"""By what part of the slope a step must lower the value."""
SHORTEST = 2.0**-12
"""A shorter step is given up, and the steepest descent is tried; a problem that fails there has ended."""


@dataclass(frozen=True)
class Minimum:
    """Of N problems.  points: N Z.  values: N.  evaluations: of all together.  ended: N, which could get no lower."""

    points: Tensor
    values: Tensor
    evaluations: int
    ended: Tensor


def minimise(function: Callable[[Tensor], Tensor], start: Tensor, evaluations: int) -> Minimum:
    """Lower each of N problems from its own start.

    function: points N Z -> values N, the i-th a function of the i-th point alone.  start: N Z.  evaluations: at most so
    many, each of function and slope.  A value that is not finite counts as no better than any.
    """
    points = start.detach().clone()
    values, slopes = _evaluated(function, points)
    history = _History(points)
    directions, lengths = _descent(slopes), torch.ones_like(values)
    ended = slopes.norm(dim=1) == 0
    done = 1
    while done < evaluations and not ended.all():
        tried = points + lengths[:, None] * directions
        found, their_slopes = _evaluated(function, tried)
        done += 1
        down = (slopes * directions).sum(1)
        lower = (found <= values + ARMIJO * lengths * down) & (found < values) & ~ended
        history.note(lower, tried - points, their_slopes - slopes)
        points = torch.where(lower[:, None], tried, points)
        slopes = torch.where(lower[:, None], their_slopes, slopes)
        values = torch.where(lower, found, values)
        lengths = torch.where(lower, 1.0, lengths / 2)
        stuck = ~lower & (lengths < SHORTEST)
        ended |= (stuck & (history.count == 0)) | (slopes.norm(dim=1) == 0)
        history.forget(stuck)
        new = history.directions(slopes)
        new = torch.where((history.count == 0)[:, None], _descent(slopes), new)
        directions = torch.where((lower | stuck)[:, None], new, directions)
        lengths = torch.where(stuck, 1.0, lengths)
    return Minimum(points, values, done, ended)


class _History:
    """The last MEMORY steps of each problem, and by how much its slope changed; the newest last."""

    def __init__(self, points: Tensor) -> None:
        count, size = points.shape
        self.steps = points.new_zeros(MEMORY, count, size)
        self.changes = points.new_zeros(MEMORY, count, size)
        self.curvatures = points.new_zeros(MEMORY, count)
        """1 / (s y), 0 where there is none: such a step leaves all as it is."""
        self.count = points.new_zeros(count, dtype=torch.int64)

    def note(self, which: Tensor, steps: Tensor, changes: Tensor) -> None:
        """Remember a step of those problems, unless it went along no upward curve."""
        curved = (steps * changes).sum(1)
        which = which & (curved > 1e-10 * steps.norm(dim=1) * changes.norm(dim=1))
        inverse = 1 / curved.where(which, 1.0)
        for kept, new in ((self.steps, steps), (self.changes, changes), (self.curvatures, inverse)):
            chosen = which.view(-1, *[1] * (new.ndim - 1))
            kept.copy_(torch.where(chosen, torch.cat([kept[1:], new[None]]), kept))
        self.count += which

    def forget(self, which: Tensor) -> None:
        """Of those problems, everything."""
        self.curvatures[:, which] = 0
        self.count[which] = 0

    def directions(self, slopes: Tensor) -> Tensor:
        """Where to go from slopes N Z, by the two loops."""
        going = -slopes
        parts = []
        for step, change, curvature in reversed(list(zip(self.steps, self.changes, self.curvatures, strict=True))):
            part = curvature * (step * going).sum(1)
            parts.append(part)
            going = going - part[:, None] * change
        newest = self.curvatures[-1] * self.changes[-1].square().sum(1)
        going = going / newest.where(newest > 0, 1.0)[:, None]
        for step, change, curvature, part in zip(
            self.steps, self.changes, self.curvatures, reversed(parts), strict=True
        ):
            going = going + (part - curvature * (change * going).sum(1))[:, None] * step
        return going


def _descent(slopes: Tensor) -> Tensor:
    """Downhill, by a step of length 1 at most."""
    return -slopes / slopes.norm(dim=1, keepdim=True).clamp(min=1)


def _evaluated(function: Callable[[Tensor], Tensor], points: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        values = function(points)
        (slopes,) = torch.autograd.grad(values.sum(), points)
    return values.detach(), slopes
