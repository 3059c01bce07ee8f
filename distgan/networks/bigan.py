"""The encoder of CytoGAN's BiGAN, and its critic of pairs of an image and a code; its generator is CytoGAN's."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from distgan.networks.condition import Condition
from distgan.networks.cytogan import Columns
from distgan.networks.rosette import initialise

Dropout = Callable[[Tensor, int], Tensor]
"""Activations and the number of the layer -> activations of which some are zero."""


def _convolution(inside: int, outside: int, number: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 5, 2 if number else 1, 2)


def _widths(channels: int, width: int) -> list[tuple[int, int]]:
    return [(channels, 8 * width), (8 * width, 4 * width), (4 * width, 2 * width), (2 * width, width)]


class Encoder(nn.Module):
    """Images N C S S -> codes N Z; S a multiple of 8.

    width: feature maps of the last of four convolutions, 16 in the paper; the first has 8 times as many.
    """

    def __init__(self, channels: int, size: int, code: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (inside, outside) in enumerate(_widths(channels, width)):
            layers += [_convolution(inside, outside, number), nn.BatchNorm2d(outside, eps=1e-3), nn.LeakyReLU(0.2)]
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        self.dense = nn.Linear(width * (size // 8) ** 2, code)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """images: N C S S.  Returns N Z."""
        return self.dense(self.convolutions(images))


class PairCritic(nn.Module):
    """Images N C S S and codes N Z -> scores N; S a multiple of 8.

    width: as of the encoder.  dense_width: units of the last of three dense layers, 256 in the paper; the first two
    have 4 times as many.
    """

    def __init__(self, channels: int, size: int, code: int, width: int, dense_width: int, condition: Condition) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            _convolution(inside, outside, number) for number, (inside, outside) in enumerate(_widths(channels, width))
        )
        units = [width * (size // 8) ** 2 + code + condition.size, 4 * dense_width, 4 * dense_width, dense_width]
        self.dense = nn.ModuleList(nn.Linear(inside, outside) for inside, outside in pairwise(units))
        self.condition = condition
        self.activation = nn.LeakyReLU(0.2)
        self.score = nn.Linear(dense_width, 1)
        initialise(self)

    def forward(self, images: Tensor, codes: Tensor, columns: Columns, dropout: Dropout) -> Tensor:
        """images: N C S S.  codes: N Z.  columns: N each.  Returns N."""
        for number, layer in enumerate(self.convolutions):
            images = dropout(self.activation(layer(images)), number)
        joined = self.condition(torch.cat([images.flatten(1), codes], 1), columns)
        for number, layer in enumerate(self.dense, len(self.convolutions)):
            joined = dropout(self.activation(layer(joined)), number)
        return self.score(joined).squeeze(1)
