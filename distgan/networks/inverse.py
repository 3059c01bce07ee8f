"""An encoder that is to undo a generator: images of any size from 8 x 8 -> codes."""

from torch import Tensor, nn

WIDTH = 32
GROUPS = 8


class Inverse(nn.Module):
    """Images N C H W -> N Z, by convolutions that halve the edges while both are above 4, and two dense layers.

    Group normalisation (Wu and He 2018): a code must not depend on which images are in the batch.
    """

    def __init__(self, sample: tuple[int, ...], codes: int) -> None:
        super().__init__()
        channels, *edges = sample
        layers: list[nn.Module] = []
        inside, outside = channels, WIDTH
        while min(edges) > 4:
            layers += [nn.Conv2d(inside, outside, 4, 2, 1), nn.GroupNorm(GROUPS, outside), nn.LeakyReLU(0.2)]
            inside, outside = outside, min(2 * outside, 8 * WIDTH)
            edges = [edge // 2 for edge in edges]
        hidden = 8 * WIDTH
        layers += [nn.Flatten(), nn.Linear(inside * edges[0] * edges[1], hidden), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden, codes))

    def forward(self, images: Tensor) -> Tensor:
        """images: N C H W in [-1, 1].  Returns N Z."""
        codes: Tensor = self.layers(images)
        return codes
