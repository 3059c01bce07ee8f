"""The U-Net of pix2pix (Isola et al. 2017), with or without noise that it is told: for images, labels, or both ways."""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distgan.networks.label_generator import parts
from distgan.networks.normalisation import Norm, has_offset, initialise, normalised


class Disturbance(Protocol):
    """What noise does to the activations of a layer."""

    def __call__(self, activations: Tensor, layer: int, *, dropped: bool) -> Tensor:
        """activations: N C H W.  dropped: whether the layer has dropout.  Returns N C H W."""
        ...


def untouched(activations: Tensor, layer: int, *, dropped: bool) -> Tensor:
    """No noise."""
    return activations


class UNet(nn.Module):
    """Images N I H W -> N C H W, any number; the edges are multiples of 2^depth.

    depth: halvings.  width: feature maps of the first, at most 8 times as many deeper.
    noise: channels of a noise image N Z h w of any size, which it is shown, smoothly enlarged, beside its input.
    """

    def __init__(self, inputs: int, channels: int, width: int, depth: int, norm: Norm, noise: int = 0) -> None:
        super().__init__()
        self.noise, self.depth = noise, depth
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        offset = has_offset(norm)
        widths = [width * min(2**level, 8) for level in range(depth)]
        for level, outside in enumerate(widths):
            inside = widths[level - 1] if level else inputs + noise
            before = [nn.LeakyReLU(0.2)] if level else []
            after = [normalised(norm, outside)] if 0 < level < depth - 1 else []
            self.down.append(nn.Sequential(*before, nn.Conv2d(inside, outside, 4, 2, 1, bias=offset), *after))
        for level, inside in enumerate(widths):
            joined = inside if level == depth - 1 else 2 * inside
            outside = widths[level - 1] if level else channels
            convolution = nn.ConvTranspose2d(joined, outside, 4, 2, 1, bias=offset or not level)
            self.up.append(nn.Sequential(nn.ReLU(), convolution, *([normalised(norm, outside)] if level else [])))
        initialise(self)

    def forward(self, images: Tensor, noise: Tensor | None = None, disturb: Disturbance = untouched) -> Tensor:
        """images: N I H W in [-1, 1].  noise: N Z h w, if it has any.  disturb: for each doubling but the last.

        Raises RecipeError: it has no shape for the images.
        """
        height, width = images.shape[2:]
        parts(height, width, 2**self.depth)
        if noise is not None and self.noise:
            enlarged = F.interpolate(noise, images.shape[2:], mode="bilinear", align_corners=False)
            images = torch.cat([images, enlarged], 1)
        kept, activations = [], images
        for down in self.down:
            activations = down(activations)
            kept.append(activations)
        for level in reversed(range(self.depth)):
            joined = activations if level == self.depth - 1 else torch.cat([activations, kept[level]], 1)
            activations = self.up[level](joined)
            if level:
                activations = disturb(activations, level, dropped=4 <= level < self.depth - 1)
        return activations
