"""A critic's classes at every window of whole images, in three ways.

    crops    the windows themselves, cut out by strides and classified in batches
    exact    the same numbers, what windows have in common computed once; for networks that do not normalise per sample
    fast     the network without the zeros that its convolutions see around a window: other numbers, the fewest sums

The latter two are for critics of the published structure (`Critic.strided`).

A feature map of a window is the same map for all windows, read at other places, but for its outermost rows and
columns: what those see of zeros depends on the side alone. So nine maps (the middle, four sides, four corners) hold
every window's features. Where a stride of the network is not one of the windows', maps are computed at every place and
read at a distance ("à trous", Holschneider et al. 1990; Giusti et al. 2013): no window is lost.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from distgan.networks.rosette import Critic

BATCH = 512
"""Windows classified at once."""
TAPS = 4
"""Edge of the critic's convolutions, which are strided by 2 and padded by 1."""
LOW, MIDDLE, HIGH = range(3)
Side = tuple[int, int]
"""Which border of the window a feature lies at: LOW, MIDDLE or HIGH, along y and x."""
CENTRE: Side = (MIDDLE, MIDDLE)
Maps = Mapping[Side, Tensor]
"""A layer's features of all windows, N C Y X, by the side of the window at which they are."""
_REACH = {LOW: ((1, 2, LOW), (2, 4, MIDDLE)), MIDDLE: ((0, 4, MIDDLE),), HIGH: ((0, 2, MIDDLE), (2, 3, HIGH))}
"""What a feature sees of the layer below: first tap, the tap after the last, and the side they lie at there."""
Classifier = Callable[[Tensor], Tensor]
"""Windows N C S S in [-1, 1] -> logits N K."""


def starts(extent: int, size: int, stride: int) -> NDArray[np.int64]:
    """First pixels of the windows along an axis: every `stride`, and the last that fits.

    >>> starts(42, 32, 4).tolist()
    [0, 4, 8, 10]
    """
    return np.unique(np.append(np.arange(0, extent - size + 1, stride), extent - size))


def crops(images: Tensor, size: int, stride: int, classify: Classifier) -> Tensor:
    """Logits of every window, each of them cut out.  images: N C H W in [-1, 1].  Returns N K Y X.

    Y and X are as many as `starts` gives.
    """
    count, _, *extent = images.shape
    y, x = (starts(edge, size, stride) for edge in extent)
    views = images.unfold(2, size, 1).unfold(3, size, 1)[:, :, torch.from_numpy(y)][:, :, :, torch.from_numpy(x)]
    # A plane's windows at a time: taken together they are as many bytes as the images times the overlap.
    found = [
        classify(part.contiguous())
        for plane in views.permute(0, 2, 3, 1, 4, 5)
        for part in plane.flatten(0, 1).split(BATCH)
    ]
    return torch.cat(found).unflatten(0, (count, len(y), len(x))).permute(0, 3, 1, 2)


def normalises_windows(critic: Critic) -> bool:
    """Whether its convolutions are normalised over each sample: then windows have no features in common."""
    return any(isinstance(layer, nn.GroupNorm) for layer in critic.convolutions)


def exact(critic: Critic, images: Tensor, size: int, stride: int) -> Tensor:
    """What `crops` gives, but for rounding.  The critic is one that `normalises_windows` does not hold for."""
    assert not normalises_windows(critic), "windows have no features in common"
    return _everywhere(images, size, stride, lambda part: _shared(critic, part, size, stride, borders=True))


def fast(critic: Critic, images: Tensor, size: int, stride: int) -> Tensor:
    """About what `crops` gives: every feature is computed as in the middle of a window.

    Where the critic normalises over each sample, a place is normalised by the statistics of the window about it.
    """
    return _everywhere(images, size, stride, lambda part: _shared(critic, part, size, stride, borders=False))


def _everywhere(images: Tensor, size: int, stride: int, scores: Callable[[Tensor], Tensor]) -> Tensor:
    """The windows in steps of `stride`; and, where they end before the image, those of the last rows and columns."""
    height, width = images.shape[2:]
    rows = []
    for top, bottom in _runs(height, size, stride):
        parts = [scores(images[:, :, top:bottom, left:right]) for left, right in _runs(width, size, stride)]
        rows.append(torch.cat(parts, 3))
    return torch.cat(rows, 2)


def _runs(extent: int, size: int, stride: int) -> Iterator[tuple[int, int]]:
    """First pixel, and the one after the last, of what is covered in equal steps."""
    steps = (extent - size) // stride
    yield 0, steps * stride + size
    if steps * stride + size < extent:
        yield extent - size, extent


@dataclass(frozen=True)
class _Grid:
    """Where the features of all windows lie.  spacing: of the places, in pixels.  apart: places from a window's feature
    to its next.  features: along an edge of a window.
    """

    spacing: int
    apart: int
    features: int

    def halved(self, stride: int) -> tuple["_Grid", int]:
        """That of the next layer, and the stride at which it is computed."""
        if self.apart == 1 and stride % (2 * self.spacing) == 0:
            return _Grid(2 * self.spacing, 1, self.features // 2), 2
        return _Grid(self.spacing, 2 * self.apart, self.features // 2), 1


def _shared(critic: Critic, images: Tensor, size: int, stride: int, *, borders: bool) -> Tensor:
    """Logits N K Y X of windows in equal steps, which cover the images."""
    grid, maps = _Grid(1, 1, size), dict.fromkeys(((y, x) for y in range(3) for x in range(3)), images)
    for layer in critic.convolutions:
        if isinstance(layer, nn.Conv2d):
            below = grid
            grid, step = below.halved(stride)
            sides = list(maps) if borders else [CENTRE]
            maps = {side: _convolved(layer, maps, side, below.apart, step, borders=borders) for side in sides}
        elif isinstance(layer, nn.GroupNorm):
            maps = {CENTRE: _locally_normalised(layer, maps[CENTRE], grid)}
        else:
            maps = {side: layer(values) for side, values in maps.items()}
    windows = [(edge - size) // stride + 1 for edge in images.shape[2:]]
    return _dense(critic, maps, grid, stride // grid.spacing, windows)


def _convolved(layer: nn.Conv2d, maps: Maps, side: Side, apart: int, step: int, *, borders: bool) -> Tensor:
    """The features of a layer that lie at one side of their windows."""
    total: Tensor | None = None
    for top, bottom, y in _REACH[side[0]]:
        for left, right, x in _REACH[side[1]]:
            weight = layer.weight[:, :, top:bottom, left:right]
            ahead = [(first * apart, (TAPS - last) * apart) for first, last in ((left, right), (top, bottom))]
            # Padded by one place before and two after, as far as these taps reach; what they do not reach is cut off.
            after = 2 * apart if step == 1 else 1
            padding = [edge for first, last in ahead for edge in (apart - first, after - last)]
            below = F.pad(maps[(y, x) if borders else CENTRE], padding)
            found = F.conv2d(below, weight, stride=step, dilation=apart)
            total = found if total is None else total.add_(found)
    assert total is not None
    return total if layer.bias is None else total + layer.bias[:, None, None]


def _locally_normalised(layer: nn.GroupNorm, values: Tensor, grid: _Grid) -> Tensor:
    """Every place by mean and variance, over all features, of the window that lies about it, or nearest to that."""
    edge = grid.apart * grid.features
    moments = torch.stack([values.mean(1), values.square().mean(1)], 1)
    box = F.avg_pool2d(moments, edge, stride=1)
    before, after = edge // 2, edge - 1 - edge // 2
    mean, square = F.pad(box, (before, after, before, after), mode="replicate").split(1, 1)
    scaled = (values - mean) * torch.rsqrt((square - mean.square()).clamp(min=0) + layer.eps)
    return scaled * layer.weight[:, None, None] + layer.bias[:, None, None]


def _dense(critic: Critic, maps: Maps, grid: _Grid, step: int, windows: Sequence[int]) -> Tensor:
    """The rest of the critic, at each window: the features are gathered as its dense layers want them."""
    edge, rows = grid.features, []
    sides = [LOW, *[MIDDLE] * (edge - 2), HIGH]
    for y in range(edge):
        for x in range(edge):
            values = maps.get((sides[y], sides[x]), maps[CENTRE])[..., y * grid.apart :, x * grid.apart :]
            rows.append(values[..., ::step, ::step][..., : windows[0], : windows[1]])
    features = torch.stack(rows, 2).permute(0, 3, 4, 1, 2).flatten(3)  # N Y X, C * edge * edge
    return critic.score(critic.dense(features.flatten(0, 2))).unflatten(0, features.shape[:3]).permute(0, 3, 1, 2)
