"""The generator and the critic that CytoGAN's DCGAN, LSGAN and WGAN share, for squares of 32 to 128 pixels.

At 96 pixels and three channels they have 4,875,267 and 4,764,681 parameters, as its code has.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from distgan.method import Sample
from distgan.networks.condition import Condition
from distgan.networks.rosette import initialise
from storage.errors import RecipeError

Hidden = Literal["linear", "leaky_relu"]
"""What follows the representation: nothing, as in the paper, or a non-linearity."""

Columns = Mapping[str, Tensor]


class Generator(nn.Module):
    """Noise N Z -> images N C S S in [-1, 1]; S a multiple of 8.

    width: feature maps before the last convolution; 32 in the paper.
    """

    def __init__(self, channels: int, size: int, noise: int, width: int, condition: Condition) -> None:
        super().__init__()
        wide, start = 8 * width, size // 8
        self.start = (wide, start, start)
        self.condition = condition
        units = wide * start * start
        self.dense = nn.Sequential(
            nn.Linear(noise + condition.size, units), nn.BatchNorm1d(units, eps=1e-3), nn.LeakyReLU(0.2)
        )
        layers: list[nn.Module] = []
        for inside in (wide, wide // 2, wide // 4):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(inside, inside // 2, 5, padding=2)]
            layers += [nn.BatchNorm2d(inside // 2, eps=1e-3), nn.LeakyReLU(0.2)]
        self.convolutions = nn.Sequential(*layers, nn.Conv2d(width, channels, 5, padding=2))
        initialise(self)

    def forward(self, noise: Tensor, columns: Columns) -> Tensor:
        """noise: N Z.  columns: N each.  Returns N C S S."""
        activations = self.dense(self.condition(noise, columns)).unflatten(1, self.start)
        return torch.tanh(self.convolutions(activations))


class Critic(nn.Module):
    """Images N C S S -> scores N; S a multiple of 8.  Nothing is normalised.

    width: feature maps of the first convolution; 32 in the paper.  latent: length of the representation.
    """

    def __init__(self, channels: int, size: int, width: int, latent: int, hidden: Hidden, condition: Condition) -> None:
        super().__init__()
        self.convolutions = trunk(channels, width)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(8 * width * (size // 8) ** 2, latent))
        self.activation = nn.LeakyReLU(0.2) if hidden == "leaky_relu" else nn.Identity()
        self.condition = condition
        self.score = nn.Linear(latent + condition.size, 1)
        initialise(self)

    def forward(self, images: Tensor, columns: Columns) -> Tensor:
        """images: N C S S in [-1, 1].  columns: N each.  Returns N."""
        return self.score(self.condition(self.representation(images), columns)).squeeze(1)

    def representation(self, images: Tensor) -> Tensor:
        """images: N C S S in [-1, 1].  Returns the last layer but one, N latent."""
        return self.activation(self.hidden(self.convolutions(images)))


def trunk(channels: int, width: int) -> nn.Sequential:
    """Images N C S S -> N 8 width S/8 S/8, by 5 x 5 convolutions and three halvings."""
    layers: list[nn.Module] = []
    inside = channels
    for number in range(4):
        layers += [nn.Conv2d(inside, width << number, 5, 2 if number else 1, 2), nn.LeakyReLU(0.2)]
        inside = width << number
    return nn.Sequential(*layers)


def square(sample: Sample, multiple: int) -> tuple[int, int]:
    """Channels and edge of square images; the edge is such a multiple, 32 to 128.

    Raises RecipeError: they are others.
    """
    channels, *edges = sample.shape
    size = edges[-1]
    if edges != [size, size] or size % multiple or not 32 <= size <= 128:
        raise RecipeError(
            "the networks have no shape for these images",
            f"{' x '.join(map(str, edges))} pixels",
            f"Prepare squares of 32 to 128 pixels, a multiple of {multiple} (prepare.patch)",
        )
    return channels, size
