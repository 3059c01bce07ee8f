"""The encoder and decoder of CytoGAN's variational autoencoder and of its convolutional autoencoder."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from distgan.networks.rosette import initialise


class Encoder(nn.Module):
    """Images N C S S -> N latent; S a multiple of 2 ^ len(widths).

    widths: feature maps of each 3 x 3 convolution, halved by pooling after it.  heads: how many vectors of that length
    are made, side by side: N heads latent.
    """

    def __init__(self, channels: int, size: int, widths: tuple[int, ...], latent: int, heads: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside in zip((channels, *widths), widths, strict=False):
            layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU(), MaxPool()]
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        self.dense = nn.Linear(widths[-1] * (size >> len(widths)) ** 2, heads * latent)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """images: N C S S in [-1, 1].  Returns N heads latent."""
        return self.dense(self.convolutions(images))


class Decoder(nn.Module):
    """Vectors N latent -> images N C S S in [-1, 1]; S a multiple of 2 ^ len(widths).

    widths: feature maps of the small image that a dense layer makes, and of each convolution but the last.
    """

    def __init__(self, channels: int, size: int, widths: tuple[int, ...], latent: int) -> None:
        super().__init__()
        start = size >> len(widths)
        self.start = (widths[0], start, start)
        self.dense = nn.Linear(latent, widths[0] * start * start)
        layers: list[nn.Module] = []
        for inside, outside in pairwise(widths):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU()]
        last = nn.Conv2d(widths[-1], channels, 3, padding=1)
        self.convolutions = nn.Sequential(*layers, nn.Upsample(scale_factor=2), last)
        initialise(self)

    def forward(self, vectors: Tensor) -> Tensor:
        """vectors: N latent.  Returns N C S S."""
        activations = self.dense(vectors).unflatten(1, self.start)
        return 2 * torch.sigmoid(self.convolutions(activations)) - 1


class MaxPool(nn.Module):
    """The largest of every 2 x 2; torch's own adds gradients in no order on a GPU."""

    def forward(self, images: Tensor) -> Tensor:
        """images: N C H W.  Returns N C H/2 W/2."""
        return images.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax((3, 5))
