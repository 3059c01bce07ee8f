"""What a method is to those who walk through its latent space: codes become images, and perhaps images codes.

Decoding       codes -> images, and what codes are drawn from
Encoding       images -> codes, too
RedFirst       some numbers of a code -> the first channel, all of them -> all that is known of such a cell
Translating    the first channel of an image -> the others, by noise
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from distgan.method import Batch, Step


@dataclass(frozen=True)
class Prior:
    """What codes are drawn from: numbers of a standard normal distribution, then numbers of a uniform one.

    normal, uniform: how many of each.  low, high: limits of the latter.  red: how many come first that alone decide the
    first channel of the image, the others only the other channels (separable generators); 0 where all decide all.
    """

    normal: int
    uniform: int = 0
    low: float = -1.0
    high: float = 1.0
    red: int = 0

    @property
    def size(self) -> int:
        """Length of a code."""
        return self.normal + self.uniform

    def drawn(self, step: Step, name: str, count: int) -> Tensor:
        """So many codes, count Z, by the step's noise of that name."""
        uniform = self.low + (self.high - self.low) * step.uniform(f"{name} uniform", count, self.uniform)
        return torch.cat([step.normal(name, count, self.normal), uniform], 1)

    def inside(self, codes: Tensor) -> Tensor:
        """Codes ... Z, their uniform numbers cut to their limits."""
        normal, uniform = codes.split([self.normal, self.uniform], -1)
        return torch.cat([normal, uniform.clamp(self.low, self.high)], -1)

    def surprise(self, codes: Tensor) -> Tensor:
        """Minus the log of the density of codes ... Z within the limits, in nats: ..."""
        normal = codes[..., : self.normal]
        constant = self.normal / 2 * math.log(2 * math.pi) + self.uniform * math.log(self.high - self.low)
        return 0.5 * normal.square().sum(-1) + constant

    def typical(self) -> tuple[float, float]:
        """Mean and standard deviation of `surprise` of codes that are drawn."""
        constant = self.uniform * math.log(self.high - self.low)
        return self.normal / 2 * (1 + math.log(2 * math.pi)) + constant, math.sqrt(self.normal / 2)


@runtime_checkable
class Decoding(Protocol):
    """A method that makes images of codes."""

    @property
    def prior(self) -> Prior | None:
        """What codes are drawn from in training; None of an autoencoder, which draws none."""
        ...

    def decoded(self, codes: Tensor, batch: Batch) -> Tensor:
        """Images N C ... in [-1, 1] of codes N Z.

        batch: as many samples; a conditional method takes what it is told from them, all others nothing.
        """
        ...


@runtime_checkable
class Encoding(Decoding, Protocol):
    """A method that has codes of images."""

    def codes(self, batch: Batch) -> Tensor:
        """The codes of the batch's images, N Z: what `decoded` takes."""
        ...


@runtime_checkable
class RedFirst(Decoding, Protocol):
    """A method that makes the first channel of a cell, and then the others for it, where `prior.red` is not 0."""

    @property
    def prior(self) -> Prior:
        """What codes are drawn from."""
        ...

    @property
    def shown(self) -> tuple[str, ...]:
        """Names of the channels of `cells`."""
        ...

    def reds(self, codes: Tensor) -> Tensor:
        """The first channel of cells of codes N Z, or of their red numbers alone: N 1 H W in [-1, 1]."""
        ...

    def cells(self, noise: Tensor) -> Tensor:
        """Cells of codes N Z with the channels of all classes: N K H W in [-1, 1], the first channel first."""
        ...


@runtime_checkable
class Translating(Protocol):
    """A method that makes the other channels of the first one."""

    def translated(self, step: Step) -> Tensor:
        """The batch's images N C H W in [-1, 1], all channels but the first made anew by the step's noise."""
        ...


def repeated(batch: Batch, times: int) -> Batch:
    """Every sample of the batch so many times, one after another."""
    columns: Mapping[str, Tensor] = {name: values.repeat_interleave(times, 0) for name, values in batch.columns.items()}
    return Batch(batch.images.repeat_interleave(times, 0), columns)
