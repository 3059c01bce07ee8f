"""Ways between codes: along the straight line, and over the sphere on which normal codes lie.

A normal code of many dimensions has a length near the root of their number. The middle of a straight line between two
is shorter, where a generator was never trained; the arc keeps the length (White 2016, "Sampling Generative Networks").
"""

import math

import torch
from torch import Tensor

PARALLEL = 1e-7
"""Sine of the angle below which two codes are taken as parallel, and an arc between them as the line."""


def lerp(start: Tensor, end: Tensor, share: Tensor | float) -> Tensor:
    """The straight line: (1 - t) start + t end.

    start, end: ... Z.  share: t, 0 at start and 1 at end; a number, or one that broadcasts to ..., as of `slerp`.
    Returns ... Z of the type of start.
    """
    one, other, t = _wide(start, end, share)
    return ((1 - t) * one + t * other).to(start.dtype)


def slerp(start: Tensor, end: Tensor, share: Tensor | float) -> Tensor:
    """The arc of a great circle (Shoemake 1985) between the directions, its length interpolated linearly.

    start, end: ... Z.  share: t, 0 at start and 1 at end; a number, or one for each code: of a shape that broadcasts to
    ..., so that codes P 1 Z and shares S make P S Z.  Returns ... Z of the type of start.
    Parallel codes, those of length 0, and those of one number are joined by the straight line. Opposite codes have no
    one arc: theirs goes by way of a direction at right angles that is the same for the same start.
    """
    if start.shape[-1] < 2:
        return lerp(start, end, share)
    one, other, t = _wide(start, end, share)
    lengths = [code.norm(dim=-1, keepdim=True) for code in (one, other)]
    zero = (lengths[0] == 0) | (lengths[1] == 0)
    first, last = (code / length.where(length > 0, 1.0) for code, length in zip((one, other), lengths, strict=True))
    cosine = (first * last).sum(-1, keepdim=True)
    across = last - cosine * first
    across = across - (across * first).sum(-1, keepdim=True) * first  # once more, for what rounding has left
    sine = across.norm(dim=-1, keepdim=True)
    parallel = sine < PARALLEL
    across = torch.where(parallel, _at_right_angles(first), across / sine.where(sine > 0, 1.0))
    angle = torch.where(parallel, math.pi, torch.atan2(sine, cosine))  # of the opposite; the others take the line
    length = (1 - t) * lengths[0] + t * lengths[1]
    arc = length * ((t * angle).cos() * first + (t * angle).sin() * across)
    line = (1 - t) * one + t * other
    return torch.where(zero | (parallel & (cosine > 0)), line, arc).to(start.dtype)


def _wide(start: Tensor, end: Tensor, share: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    """In double precision, broadcast against one another."""
    t = torch.as_tensor(share, dtype=torch.float64, device=start.device)[..., None]
    return start.double(), end.double(), t


def _at_right_angles(unit: Tensor) -> Tensor:
    """To each unit code ... Z one at right angles, of length 1."""
    axis = torch.nn.functional.one_hot(unit.abs().argmin(-1), unit.shape[-1]).double()
    other = axis - (axis * unit).sum(-1, keepdim=True) * unit
    return other / other.norm(dim=-1, keepdim=True)
