"""Encoder and decoder of the conditional beta-VAE that followed the integrated cell (pytorch_integrated_cell, 2020).

Every level is residual and is told the reference image, made as small as its activations, and the class. All
convolutions and dense layers have a spectral norm of one (Miyato et al. 2018). Flat or solid, as in `integrated_cell`.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from distgan.networks.integrated_cell import Edges, halved, kinds_of, levels_of, shape_of, widths_of


class ConditionalEncoder(nn.Module):
    """Images N C ..., references N R ... and classes N K -> mean and log-variance of codes, N 2 latent.

    width: feature maps of the first level, 64 in the published code (32 of solid images); each has twice those before,
    at most 16 times.  depth: levels, 5.
    """

    def __init__(
        self, channels: int, references: int, classes: int, edges: Edges, width: int, depth: int, latent: int
    ) -> None:
        super().__init__()
        self.levels = levels_of(edges, depth)
        widths = [channels, *widths_of(width, depth, 16)]
        self.blocks = nn.ModuleList(
            _Level(inside, outside, references + classes, large, small, up=False)
            for (inside, outside), (large, small) in zip(pairwise(widths), pairwise(self.levels), strict=True)
        )
        self.dense = spectral_norm(nn.Linear(widths[-1] * math.prod(self.levels[-1]), 2 * latent))

    def forward(self, images: Tensor, references: Tensor, classes: Tensor) -> Tensor:
        """images: N C ... and references: N R ..., in [0, 1].  classes: N K, one-hot.  Returns N 2 latent."""
        for block, smaller in zip(self.blocks, halved(references, self.levels)[1:], strict=True):
            images = block(images, smaller, classes)
        return self.dense(images.flatten(1))


class ConditionalDecoder(nn.Module):
    """Codes N latent, references N R ... and classes N K -> light N C ... above 0, by a softplus: its mirror."""

    def __init__(
        self, channels: int, references: int, classes: int, edges: Edges, width: int, depth: int, latent: int
    ) -> None:
        super().__init__()
        self.levels = levels_of(edges, depth)
        widths = [*widths_of(width, depth, 16)[::-1], width]
        self.start = (widths[0], *self.levels[-1])
        self.dense = spectral_norm(nn.Linear(latent, math.prod(self.start)))
        self.blocks = nn.ModuleList(
            _Level(inside, outside, references + classes, large, small, up=True)
            for (inside, outside), (small, large) in zip(pairwise(widths), pairwise(self.levels[::-1]), strict=True)
        )
        self.last = _wrapped(kinds_of(edges).convolution(width, channels, bias=True, kernel_size=3, padding=1))

    def forward(self, codes: Tensor, references: Tensor, classes: Tensor) -> Tensor:
        """codes: N latent.  references: N R ... in [0, 1].  classes: N K, one-hot.  Returns N C ..., at least 0."""
        activations = self.dense(codes).unflatten(1, self.start)
        for block, larger in zip(self.blocks, halved(references, self.levels)[-2::-1], strict=True):
            activations = block(activations, larger, classes)
        return F.softplus(self.last(activations))


class _Level(nn.Module):
    """Two ways between large and small maps, a short and a long one, and a third from what is told, all added.

    large, small: edges on either side.  up: from small to large.
    """

    def __init__(self, inside: int, outside: int, told: int, large: Edges, small: Edges, *, up: bool) -> None:
        super().__init__()
        kinds, shape = kinds_of(large), shape_of(large, small)
        self.factors = tuple(a // b for a, b in zip(large, small, strict=True))
        self.up, self.mean = up, kinds.mean
        turned = kinds.transposed if up else kinds.convolution
        self.short = _wrapped(kinds.convolution(inside, outside, kernel_size=1))
        self.long = nn.Sequential(
            _wrapped(turned(inside, outside, **shape)),
            kinds.norm(outside),
            nn.ReLU(),
            _wrapped(kinds.convolution(outside, outside, kernel_size=3, padding=1)),
            kinds.norm(outside),
        )
        self.told = nn.Sequential(
            _wrapped(kinds.convolution(told, outside, kernel_size=1)), kinds.norm(outside), nn.ReLU()
        )

    def forward(self, activations: Tensor, references: Tensor, classes: Tensor) -> Tensor:
        """references: as large as what is returned.  classes: N K."""
        if self.up:
            short = self.short(F.interpolate(activations, scale_factor=[float(f) for f in self.factors]))
        else:
            short = self.short(self.mean(activations, self.factors))
        places = classes.to(references.dtype).unflatten(1, (-1, *(1 for _ in self.factors)))
        told = torch.cat([references, places.expand(-1, -1, *references.shape[2:])], 1)
        return torch.relu(short + self.long(activations) + self.told(told))


def _wrapped(layer: nn.Module) -> nn.Module:
    return spectral_norm(layer)
