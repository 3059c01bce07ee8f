"""The critic of CytoGAN's InfoGAN, whose convolutions also feed the posterior of the codes."""

from torch import Tensor, nn

from distgan.networks.condition import Condition
from distgan.networks.cytogan import Columns, trunk
from distgan.networks.rosette import initialise


class Critic(nn.Module):
    """Images N C S S -> features, and features -> scores N; S a multiple of 8.

    width: feature maps of the first convolution; 32 in the paper.
    """

    def __init__(self, channels: int, size: int, width: int, condition: Condition) -> None:
        super().__init__()
        self.convolutions = trunk(channels, width)
        self.features = 8 * width * (size // 8) ** 2
        self.condition = condition
        self.score = nn.Linear(self.features + condition.size, 1)
        initialise(self)

    def forward(self, activations: Tensor, columns: Columns) -> Tensor:
        """activations: N F S/8 S/8, what `convolutions` make of images.  columns: N each.  Returns N."""
        return self.score(self.condition(activations.flatten(1), columns)).squeeze(1)


class Posterior(nn.Module):
    """Features -> means and log-variances of the codes, N codes each."""

    def __init__(self, features: int, codes: int) -> None:
        super().__init__()
        self.dense = nn.Linear(features, 2 * codes)
        initialise(self)

    def forward(self, activations: Tensor) -> tuple[Tensor, Tensor]:
        """activations: N F H W.  Log-variances stay in [-8, 8], where no exponential overflows."""
        mean, log_variance = self.dense(activations.flatten(1)).chunk(2, 1)
        return mean, log_variance.clamp(-8, 8)
