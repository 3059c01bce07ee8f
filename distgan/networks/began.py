"""The generator of CytoGAN's BEGAN, and its critic, an autoencoder; squares of 32 to 128 pixels. No normalisation."""

import torch
from torch import Tensor, nn

from distgan.networks.condition import Condition
from distgan.networks.cytogan import Columns
from distgan.networks.rosette import initialise


class Decoder(nn.Module):
    """Codes N Z -> N C S S, S a multiple of 8; any numbers.

    width: feature maps of every convolution; 128 in the paper.  active: an ELU follows the dense layer.
    """

    def __init__(self, channels: int, size: int, code: int, width: int, condition: Condition, *, active: bool) -> None:
        super().__init__()
        start = size // 8
        self.start = (width, start, start)
        self.condition = condition
        self.dense = nn.Linear(code + condition.size, width * start * start)
        self.activation = nn.ELU() if active else nn.Identity()
        layers: list[nn.Module] = []
        for number in range(4):
            layers += [nn.Upsample(scale_factor=2)] if number else []
            for _ in range(2):
                layers += [nn.Conv2d(width, width, 3, padding=1), nn.ELU()]
        self.convolutions = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1))
        initialise(self)

    def forward(self, codes: Tensor, columns: Columns) -> Tensor:
        """codes: N Z.  columns: N each.  Returns N C S S."""
        activations = self.activation(self.dense(self.condition(codes, columns)))
        return self.convolutions(activations.unflatten(1, self.start))


class Generator(Decoder):
    """Noise N Z -> images N C S S in [-1, 1]."""

    def __init__(self, channels: int, size: int, noise: int, width: int, condition: Condition) -> None:
        super().__init__(channels, size, noise, width, condition, active=True)

    def forward(self, codes: Tensor, columns: Columns) -> Tensor:
        """codes: N Z.  columns: N each.  Returns N C S S."""
        return torch.tanh(super().forward(codes, columns))


class AutoencodingCritic(nn.Module):
    """Images N C S S -> images; S a multiple of 16.

    width: feature maps at full size, which become 2, 4 and 6 times as many; 64 in the paper.
    decoder_width: see `Decoder`.  code: length of the bottleneck.
    """

    def __init__(
        self, channels: int, size: int, width: int, decoder_width: int, code: int, condition: Condition
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = channels
        for times in (1, 2, 4, 6):
            for stride in (2, 1, 1):
                layers += [nn.Conv2d(inside, times * width, 3, stride, 1), nn.ELU()]
                inside = times * width
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(inside * (size // 16) ** 2, code))
        initialise(self.encoder)
        self.decoder = Decoder(channels, size, code, decoder_width, condition, active=False)

    def forward(self, images: Tensor, columns: Columns) -> Tensor:
        """images: N C S S.  columns: N each.  Returns the reconstruction, N C S S."""
        return self.decoder(self.representation(images), columns)

    def representation(self, images: Tensor) -> Tensor:
        """images: N C S S in [-1, 1].  Returns the bottleneck, N code."""
        return self.encoder(images)
