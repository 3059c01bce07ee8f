"""Encoders, decoders and critics of the integrated cell (Johnson et al. 2018, tables S1 to S7).

They are flat for images C H W and solid for C D H W. At each level an axis is halved while its edge is even, so that
any edges will do; what is left of them is to be small. At 256 x 256 with ten structures they have the published code's
numbers of parameters. Convolutions have no offset; weights begin as N(0, 0.02), scales as N(1, 0.02).
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from storage.errors import RecipeError

Layers = Literal["code", "tables"]
"""Where the code and the tables of the paper differ: these alone normalise a decoder's dense layer and its image, and
an image critic's first convolution."""
Edges = tuple[int, ...]
"""H W or D H W."""
White = Callable[[Tensor, str], Tensor]
"""Activations and the name of their place -> the same with white noise."""
MOST_PLACES = 1024
"""Of the smallest activation map."""


class Encoder(nn.Module):
    """Images N C ... -> codes N D, one for each head, normalised over the batch (S1, S5).

    width: feature maps of the first convolution, 64 in the paper; each has twice those before, at most 16 times.
    depth: convolutions, 6.  heads: lengths of the codes.
    """

    def __init__(self, channels: int, edges: Edges, width: int, depth: int, heads: Sequence[int]) -> None:
        super().__init__()
        kinds, levels = kinds_of(edges), levels_of(edges, depth)
        widths = [channels, *widths_of(width, depth, 16)]
        layers: list[nn.Module] = []
        for (inside, outside), (large, small) in zip(pairwise(widths), pairwise(levels), strict=True):
            layers += [kinds.convolution(inside, outside, **shape_of(large, small)), kinds.norm(outside), nn.PReLU()]
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        units = widths[-1] * math.prod(levels[-1])
        self.heads = nn.ModuleList(nn.Sequential(nn.Linear(units, size), nn.BatchNorm1d(size)) for size in heads)
        _initialise(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        """images: N C ....  Returns N D for each head."""
        activations = self.convolutions(images)
        return [head(activations) for head in self.heads]


class Decoder(nn.Module):
    """Codes N D -> logits of images N C ...: a sigmoid makes them light from 0 to 1 (S2, S6)."""

    def __init__(self, channels: int, edges: Edges, width: int, depth: int, code: int, layers: Layers) -> None:
        super().__init__()
        kinds, levels = kinds_of(edges), levels_of(edges, depth)[::-1]
        widths = [*widths_of(width, depth, 16)[::-1], channels]
        self.start = (widths[0], *levels[0])
        norm = [kinds.norm(widths[0])] if layers == "tables" else []
        self.dense = nn.Sequential(
            nn.Linear(code, math.prod(self.start)), nn.Unflatten(1, self.start), *norm, nn.PReLU()
        )
        found: list[nn.Module] = []
        for (inside, outside), (small, large) in zip(pairwise(widths), pairwise(levels), strict=True):
            found += [kinds.transposed(inside, outside, **shape_of(large, small)), kinds.norm(outside), nn.PReLU()]
        self.convolutions = nn.Sequential(*found[: -1 if layers == "tables" else -2])
        _initialise(self)

    def forward(self, codes: Tensor) -> Tensor:
        """codes: N D.  Returns logits N C ...."""
        return self.convolutions(self.dense(codes))


class ImageCritic(nn.Module):
    """Images N C ... -> scores N K, logits (S4, S7).  White noise is added to them, and before the dense layer.

    width: feature maps of the first convolution, 64 in the paper; each has twice those before, at most 8 times.
    depth: convolutions, 5.  The dense layer is the code's; the tables' 4 x 4 convolution makes no single score.
    """

    def __init__(self, channels: int, edges: Edges, width: int, depth: int, scores: int, layers: Layers) -> None:
        super().__init__()
        kinds, levels = kinds_of(edges), levels_of(edges, depth)
        widths = [channels, *widths_of(width, depth, 8)]
        found: list[nn.Module] = []
        for (inside, outside), (large, small) in zip(pairwise(widths), pairwise(levels), strict=True):
            norm = [kinds.norm(outside)] if found or layers == "tables" else []
            found += [kinds.convolution(inside, outside, **shape_of(large, small)), *norm, nn.LeakyReLU(0.2)]
        self.convolutions = nn.Sequential(*found)
        self.dense = nn.Sequential(nn.Flatten(), nn.Linear(widths[-1] * math.prod(levels[-1]), scores))
        _initialise(self)

    def forward(self, images: Tensor, white: White) -> Tensor:
        """images: N C ... in [0, 1].  Returns N K."""
        return self.dense(white(self.convolutions(white(images, "images")), "activations"))


class CodeCritic(nn.Module):
    """Codes N D -> scores N, logits (S3).  width: units of the third dense layer, 512; before it, twice."""

    def __init__(self, code: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(code, 2 * width),
            nn.LeakyReLU(0.2),
            *(nn.Linear(2 * width, 2 * width), nn.BatchNorm1d(2 * width), nn.LeakyReLU(0.2)),
            *(nn.Linear(2 * width, width), nn.BatchNorm1d(width), nn.LeakyReLU(0.2)),
            nn.Linear(width, 1),
        )
        _initialise(self)

    def forward(self, codes: Tensor) -> Tensor:
        """codes: N D.  Returns N."""
        return self.layers(codes).squeeze(1)


def levels_of(edges: Edges, depth: int) -> list[Edges]:
    """The edges of the activations before and after each of so many layers.

    >>> levels_of((4, 32, 48), 3)
    [(4, 32, 48), (2, 16, 24), (1, 8, 12), (1, 4, 6)]

    Raises RecipeError: they stay large.
    """
    levels = [edges]
    for _ in range(depth):
        levels.append(tuple(edge if edge % 2 else edge // 2 for edge in levels[-1]))
    if math.prod(levels[-1]) > MOST_PLACES:
        raise RecipeError(
            "the images are not made small enough by the networks",
            f"{' x '.join(map(str, edges))} become {' x '.join(map(str, levels[-1]))} in {depth} layers",
            f"Prepare edges that are multiples of {2**depth} (prepare.patch), or set a larger method.depth",
        )
    return levels


def halved(images: Tensor, levels: Sequence[Edges]) -> list[Tensor]:
    """The images N C ... at each of these sizes, by means over space."""
    found = [images]
    for large, small in pairwise(levels):
        found.append(kinds_of(large).mean(found[-1], [a // b for a, b in zip(large, small, strict=True)]))
    return found


class Kinds:
    """The layers for images of so many dimensions, 2 or 3."""

    def __init__(self, dimensions: int) -> None:
        flat = dimensions == 2
        self._convolution: Callable[..., nn.Module] = nn.Conv2d if flat else nn.Conv3d
        self._transposed: Callable[..., nn.Module] = nn.ConvTranspose2d if flat else nn.ConvTranspose3d
        self.norm: Callable[[int], nn.Module] = nn.BatchNorm2d if flat else nn.BatchNorm3d
        self.mean: Callable[..., Tensor] = F.avg_pool2d if flat else F.avg_pool3d

    def convolution(self, inside: int, outside: int, **shape: Any) -> nn.Module:
        """A convolution, without offset if nothing is said."""
        return self._convolution(inside, outside, **{"bias": False, **shape})

    def transposed(self, inside: int, outside: int, **shape: Any) -> nn.Module:
        """A transposed convolution without offset."""
        return self._transposed(inside, outside, bias=False, **shape)


def kinds_of(edges: Edges) -> Kinds:
    """The layers for images of these edges."""
    return Kinds(len(edges))


def shape_of(large: Edges, small: Edges) -> dict[str, Any]:
    """Of a convolution between maps of these edges: four wide along an axis that is halved, else three."""
    strides = tuple(a // b for a, b in zip(large, small, strict=True))
    return {"kernel_size": tuple(2 + stride for stride in strides), "stride": strides, "padding": 1}


def widths_of(width: int, depth: int, most: int) -> list[int]:
    """Feature maps of so many layers, each twice those before, at most `most` times the first."""
    return [width * min(2**level, most) for level in range(depth)]


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
