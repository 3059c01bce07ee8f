"""CytoGAN's plainest autoencoder: one dense layer to the code, and one back."""

from math import prod

import torch
from torch import Tensor, nn

from distgan.networks.rosette import initialise


class DenseEncoder(nn.Module):
    """Images N C H W -> codes N latent, none below zero.  shape: C H W."""

    def __init__(self, shape: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), latent), nn.ReLU())
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """images: N C H W in [-1, 1].  Returns N latent."""
        return self.dense(images)


class DenseDecoder(nn.Module):
    """Codes N latent -> images N C H W in [-1, 1].  shape: C H W."""

    def __init__(self, shape: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.shape = shape
        self.dense = nn.Linear(latent, prod(shape))
        initialise(self)

    def forward(self, codes: Tensor) -> Tensor:
        """codes: N latent.  Returns N C H W."""
        return 2 * torch.sigmoid(self.dense(codes)).unflatten(1, self.shape) - 1
