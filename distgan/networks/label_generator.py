"""The fully convolutional generator of label images of Han et al. (section 3.3): its noise is an image, too.

A larger noise image is a larger sample of the same tissue. With 5 layers between the first and the last, 8 noise
channels, width 32 and two labels it has 1,772,448 parameters, as the published code.
"""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from distgan.networks.normalisation import Norm, initialise, normalised
from storage.errors import RecipeError

Start = Literal["image", "vector"]
"""Where it begins: from a noise image, or from one vector, as DCGAN, which makes images of one size alone."""


class LabelGenerator(nn.Module):
    """Noise N Z h w -> images N C H W in [-1, 1], of 2^(depth + 1) times the edges; a vector becomes 4 x 4 first.

    width: feature maps before the last convolution, at most 8 times as many in the others; 32 in the paper.
    """

    def __init__(self, channels: int, noise: int, width: int, depth: int, norm: Norm, start: Start = "image") -> None:
        super().__init__()
        self.noise, self.start = noise, start
        self.factor = 2 ** (depth + 2 if start == "vector" else depth + 1)
        stride, padding = (1, 0) if start == "vector" else (2, 1)
        widths = [width * min(2 ** (depth - 1 - layer), 8) for layer in range(depth)]
        layers: list[nn.Module] = [nn.ConvTranspose2d(noise, widths[0], 4, stride, padding, bias=False)]
        for inside, outside in pairwise(widths):
            layers += [normalised(norm, inside), nn.ReLU(), nn.ConvTranspose2d(inside, outside, 4, 2, 1)]
        layers += [normalised(norm, width), nn.ReLU(), nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False)]
        self.convolutions = nn.Sequential(*layers)
        initialise(self)

    def forward(self, noise: Tensor) -> Tensor:
        """noise: N Z h w.  Returns N C H W."""
        return torch.tanh(self.convolutions(noise))

    def inputs(self, height: int, width: int) -> tuple[int, int, int]:
        """The shape Z h w of the noise for images of this size.  Raises RecipeError: there is none."""
        if self.start == "vector" and not height == width == self.factor:
            raise RecipeError(
                "a generator that begins with a vector makes images of one size",
                f"{self.factor} x {self.factor}, and they are {height} x {width}",
                'Change depth (one more doubles it), or set start = "image"',
            )
        return self.noise, *parts(height, width, self.factor)


def parts(height: int, width: int, factor: int) -> tuple[int, int]:
    """Both edges of an image over `factor`.  Raises RecipeError: they are no multiples of it."""
    if height % factor or width % factor:
        raise RecipeError(
            f"the edges of the images must be multiples of {factor}",
            f"{height} x {width} pixels",
            "Prepare patches of such a size (prepare.patch.size), or take a network of less depth",
        )
    return height // factor, width // factor
