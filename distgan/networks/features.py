"""A small convolutional autoencoder: its activations are the features in which images are compared.

ImageNet features mean little for microscopy and nothing for six channels; these are learned on the
training images themselves, in seconds.
"""

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64)


class FeatureAutoencoder(nn.Module):
    """Images N C H W in [-1, 1] -> images, through three halvings; H and W multiples of 8."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        down = (channels, *WIDTHS)
        self.encoder = nn.ModuleList(
            nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in zip(down, WIDTHS, strict=False)
        )
        self.decoder = nn.ModuleList(
            nn.ConvTranspose2d(b, a, 4, stride=2, padding=1) for a, b in reversed(list(zip(down, WIDTHS, strict=False)))
        )
        self.activation = nn.LeakyReLU(0.2)

    def forward(self, images: Tensor) -> Tensor:
        """images: N C H W.  Returns the reconstruction, N C H W."""
        activations = self.activations(images)[-1]
        *inner, last = self.decoder
        for layer in inner:
            activations = self.activation(layer(activations))
        return last(activations)

    def activations(self, images: Tensor) -> list[Tensor]:
        """The activations of each encoder layer."""
        found = []
        for layer in self.encoder:
            images = self.activation(layer(images))
            found.append(images)
        return found

    def features(self, images: Tensor) -> Tensor:
        """Mean and standard deviation over space of every activation: N D, D = 2 (16 + 32 + 64)."""
        found = self.activations(images)
        return torch.cat([statistic for a in found for statistic in (a.mean((2, 3)), a.std((2, 3)))], dim=1)
