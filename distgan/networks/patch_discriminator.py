"""The patch discriminators of Han et al. (section 3.3, eq. 7): every score is of a patch, at several scales.

The image is blurred before it is made smaller, so that no false pattern comes in. A patch has 70 x 70 pixels at depth
3 and 142 x 142 at depth 4, times the scale.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distgan.networks.normalisation import Norm, initialise, normalised


class PatchDiscriminator(nn.Module):
    """Images N C H W -> scores N 1 h w, before any sigmoid.

    depth: convolutions with stride 2.  width: feature maps of the first; at most 8 times as many later.
    With 3, 32 and two channels it has 693,729 parameters; with 4, 64 and three, 6,959,553.
    """

    def __init__(self, channels: int, width: int, depth: int, norm: Norm) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 2), nn.LeakyReLU(0.2)]
        inside = width
        for layer in range(1, depth + 1):
            outside = width * min(2**layer, 8)
            layers += [nn.Conv2d(inside, outside, 4, 2 if layer < depth else 1, 2)]
            layers += [normalised(norm, outside), nn.LeakyReLU(0.2)]
            inside = outside
        self.convolutions = nn.Sequential(*layers, nn.Conv2d(inside, 1, 4, 1, 2))
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """images: N C H W in [-1, 1].  Returns N 1 h w."""
        return self.convolutions(images)


class WholeDiscriminator(nn.Module):
    """Images N C S S -> one score each, N 1 1 1: that of DCGAN, for images of S pixels alone."""

    def __init__(self, channels: int, size: int, width: int, norm: Norm) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        inside, edge = width, size // 2
        while edge > 4:
            outside = min(2 * inside, 8 * width)
            layers += [nn.Conv2d(inside, outside, 4, 2, 1), normalised(norm, outside), nn.LeakyReLU(0.2)]
            inside, edge = outside, edge // 2
        self.convolutions = nn.Sequential(*layers, nn.Conv2d(inside, 1, edge))
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """images: N C S S in [-1, 1].  Returns N 1 1 1."""
        return self.convolutions(images)


class Smaller(nn.Module):
    """Images N C H W -> N C H/s W/s: every s-th pixel after a Gaussian of s/2 pixels, zero beyond the border."""

    kernel: Tensor

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        places = torch.arange(-scale, scale + 1, dtype=torch.float64)
        line = torch.exp(-0.5 * (places / (scale / 2)).square())
        square = torch.outer(line, line)
        self.register_buffer("kernel", (square / square.sum()).float()[None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """images: N C H W.  Returns N C H/s W/s, rounded up."""
        if self.scale == 1:
            return images
        channels = images.shape[1]
        kernel = self.kernel.expand(channels, 1, -1, -1)
        return F.conv2d(images, kernel, stride=self.scale, padding=self.scale, groups=channels)


class MultiScaleDiscriminator(nn.Module):
    """Images N C H W -> the scores of several discriminators, each at its scale.

    towers: one discriminator for each scale.
    """

    def __init__(self, scales: Sequence[int], towers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.smaller = nn.ModuleList(Smaller(scale) for scale in scales)
        self.towers = nn.ModuleList(towers)

    def forward(self, images: Tensor) -> list[Tensor]:
        """images: N C H W in [-1, 1].  Returns N 1 h w each."""
        return [tower(smaller(images)) for smaller, tower in zip(self.smaller, self.towers, strict=True)]
