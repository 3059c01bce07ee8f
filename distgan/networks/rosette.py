"""The generator and the critic of the rosette paper (Wang et al., section 2.2 and 2.3, and its code).

Both are one rule for squares of 32, 64 and 128 pixels: at width 32 and 32 pixels the generator has
36,277,633 trainable parameters and the critic 689,633, as published.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from distgan.method import Normalisation
from storage.errors import RecipeError

SIZES = (32, 64, 128)
Downsample = Literal["stride", "pool"]


class Generator(nn.Module):
    """Noise N Z -> images N C S S in [-1, 1].

    width: feature maps before the last convolution at 128 pixels; 32 in the paper.
    momentum: of the running statistics of batch normalisation.
    """

    def __init__(self, channels: int, size: int, noise: int, width: int, momentum: float) -> None:
        super().__init__()
        _check(size)
        steps = int(math.log2(size // 8))
        wide = 16 * width
        self.wide = wide
        self.dense = nn.Sequential(
            nn.Linear(noise, 2 * wide, bias=False),
            batch_norm(1, 2 * wide, momentum),
            nn.ReLU(),
            nn.Linear(2 * wide, wide * 64, bias=False),
            batch_norm(1, wide * 64, momentum),
            nn.ReLU(),
        )
        layers: list[nn.Module] = []
        for step in range(steps):
            inside, outside = wide >> step, wide >> (step + 1)
            layers.append(nn.ConvTranspose2d(inside, outside, 4, stride=2, padding=1, bias=False))
            layers += [batch_norm(2, outside, momentum), nn.ReLU()]
        # The name of the last layer in checkpoints counts the padding that went before it.
        layers += [nn.Identity(), SameSize(wide >> steps, channels, 4, padding=2)]
        self.convolutions = nn.Sequential(*layers)
        initialise(self)

    def forward(self, noise: Tensor) -> Tensor:
        """noise: N Z.  Returns N C S S."""
        return torch.tanh(self.convolutions(self.dense(noise).unflatten(1, (self.wide, 8, 8))))


class SameSize(nn.Conv2d):
    """A 4 x 4 convolution of N C S S that keeps the size: padded by one before and by two after.

    It pads by two on both sides and leaves the first row and column out, the same numbers in half the time: on a CPU,
    padding by itself is a copy of the largest activations.
    """

    def forward(self, input: Tensor) -> Tensor:
        """input: N C S S.  Returns N channels S S."""
        return super().forward(input)[..., 1:, 1:]


class Critic(nn.Module):
    """Images N C S S -> scores N; or N K of K outputs, where it tells K classes apart.

    width: feature maps of the first convolution; 32 in the paper.  norm: of the convolutions; the dense
    layer is layer-normalised unless there is no normalisation at all, or `dense_norm` says otherwise.
    slope: of what is below zero.  score_norm: the scores are batch-normalised, as those of the published classifier.
    downsample: what halves the size: the stride of a convolution, or max pooling after one of stride 1.
    depth: convolutions of each size; those after the first are 3 x 3 and keep it.  skip: what goes into each of
    these is added to what comes out (He et al. 2016).  The published critic is all defaults.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        width: int,
        norm: Normalisation,
        momentum: float,
        *,
        outputs: int = 1,
        slope: float = 0.2,
        dense_norm: Normalisation | None = None,
        score_norm: bool = False,
        downsample: Downsample = "stride",
        depth: int = 1,
        skip: bool = False,
    ) -> None:
        super().__init__()
        _check(size)
        self.strided = downsample == "stride" and depth == 1
        steps = int(math.log2(size // 4))
        layers: list[nn.Module] = []
        inside = channels
        for step in range(steps):
            outside = width << step
            # Three entries for each size, by which a weight's name says how deep it lies.
            layers += [halving(inside, outside, downsample, bias=norm == "none"), normalise(norm, outside, momentum)]
            more = [SameMaps(outside, norm, momentum, slope, skip=skip) for _ in range(depth - 1)]
            layers.append(nn.Sequential(nn.LeakyReLU(slope), *more) if more else nn.LeakyReLU(slope))
            inside = outside
        self.convolutions = nn.Sequential(*layers)
        self.hidden = hidden = width << steps
        dense_norm = dense_norm or ("none" if norm == "none" else "layer")
        dense_norms: dict[str, nn.Module] = {"none": nn.Identity(), "layer": nn.LayerNorm(hidden)}
        self.dense = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * inside, hidden, bias=dense_norm == "none"),
            dense_norms.get(dense_norm) or batch_norm(1, hidden, momentum),
            nn.LeakyReLU(slope),
        )
        self.score: nn.Module = nn.Linear(hidden, outputs)
        if score_norm:
            self.score = nn.Sequential(nn.Linear(hidden, outputs, bias=False), batch_norm(1, outputs, momentum))
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """images: N C S S in [-1, 1].  Returns N, or N K."""
        return self.score(self.features(images)).squeeze(1)

    def features(self, images: Tensor) -> Tensor:
        """images: N C S S in [-1, 1].  Returns N D, what the scores are made of; D is `hidden`."""
        return self.dense(self.convolutions(images))


class SameMaps(nn.Sequential):
    """A 3 x 3 convolution of N C H W, normalised and activated; `skip` adds what went in.  Returns N C H W."""

    def __init__(self, maps: int, norm: Normalisation, momentum: float, slope: float, *, skip: bool) -> None:
        convolution = nn.Conv2d(maps, maps, 3, padding=1, bias=norm == "none")
        super().__init__(convolution, normalise(norm, maps, momentum), nn.LeakyReLU(slope))
        self.skip = skip

    def forward(self, input: Tensor) -> Tensor:
        """input: N C H W."""
        found: Tensor = super().forward(input)
        return input + found if self.skip else found


def halving(inside: int, outside: int, downsample: Downsample, *, bias: bool) -> nn.Module:
    """A 4 x 4 convolution of N C H W to N outside H/2 W/2, with as many weights either way.

    "stride" is what the paper has instead of pooling (Springenberg et al. 2014).
    """
    if downsample == "stride":
        return nn.Conv2d(inside, outside, 4, stride=2, padding=1, bias=bias)
    return nn.Sequential(SameSize(inside, outside, 4, padding=2, bias=bias), nn.MaxPool2d(2))


def batch_norm(dimensions: int, features: int, momentum: float) -> nn.Module:
    """Batch normalisation with an offset and no scale, as in the published code.

    A scale before ReLU and a linear layer changes nothing that the layer could not.
    """
    kind = nn.BatchNorm1d if dimensions == 1 else nn.BatchNorm2d
    norm = kind(features, eps=1e-3, momentum=momentum)
    norm.weight.requires_grad_(False)
    return norm


def normalise(norm: Normalisation, features: int, momentum: float) -> nn.Module:
    """The normalisation of a convolution's N C H W output; "layer" is over C, H and W of each sample."""
    if norm == "batch":
        return batch_norm(2, features, momentum)
    return nn.GroupNorm(1, features) if norm == "layer" else nn.Identity()


def initialise(network: nn.Module) -> None:
    """Glorot-uniform weights and zero offsets."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _check(size: int) -> None:
    if size not in SIZES:
        raise RecipeError(
            "the rosette networks have no shape for these images",
            f"{size} x {size} pixels",
            f"Prepare square patches of {', '.join(map(str, SIZES))} pixels (prepare.patch.size)",
        )
