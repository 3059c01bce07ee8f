"""InfoGAN on cells (Chen et al. 2016), as CytoGAN has it: two codes in [-1, 1] that the critic's convolutions can tell.

Presets:
    paper    the published code, of which its authors say that it collapses at once
    default  both networks at 2e-4, a moving average
    small    that, a quarter as wide, for two cores
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from distgan.codes import Prior
from distgan.families.adversarial import Adversarial, AdversarialConfig, accuracy, adam, published
from distgan.losses import cross_entropy, gaussian_surprise
from distgan.method import Step, Term, Turn
from distgan.networks.cytogan import Generator
from distgan.networks.infogan import Critic, Posterior


class InfoganConfig(AdversarialConfig):
    """codes: how many.  information: lambda, weight of how surprising they are.  smoothing: as of DCGAN."""

    codes: int = Field(2, ge=1, le=64)
    information: float = Field(1.0, ge=0)
    smoothing: float = Field(0.2, ge=0, lt=1)


class Infogan(Adversarial):
    """DCGAN whose images tell the codes they were made of."""

    Config = InfoganConfig
    networks = ("critic", "generator", "posterior")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"optimizer": adam(2e-4, 2e-4, posterior=2e-4)},
        "small": {"method": {"width": 8, "critic_width": 8}, "optimizer": adam(2e-4, 5e-4, posterior=2e-4)},
        "paper": published({"fakes": "population"}, adam(1e-5, 7e-5, posterior=7e-5), 128, 0.9999, 100),
    }

    def build(self, channels: int, size: int) -> None:
        """Make the networks."""
        self.critic = Critic(channels, size, self.config.critic_width, self.condition())
        self.posterior = Posterior(self.critic.features, self.config.codes)
        self.generator = Generator(channels, size, self.inputs, self.config.width, self.condition())

    @property
    def inputs(self) -> int:
        """Noise and codes."""
        return self.config.noise + self.config.codes

    def noise(self, step: Step, name: str) -> Tensor:
        """Normal noise, then the codes in [-1, 1): N inputs."""
        codes = 2 * step.uniform(f"codes {name}", len(step.batch), self.config.codes) - 1
        return torch.cat([super().noise(step, name), codes], 1)

    @property
    def prior(self) -> Prior:
        """As `noise` draws them."""
        return Prior(self.config.noise, self.config.codes)

    def turns(self) -> tuple[Turn, ...]:
        """Critic and posterior, then generator."""
        return (
            Turn("critic", ("critic", "posterior"), self.critic_loss),
            Turn("generator", ("generator",), self.generator_loss),
        )

    def critic_loss(self, step: Step) -> Mapping[str, Tensor | Term]:
        """As of DCGAN, and how surprising the codes of the fakes are: into the posterior and what it shares."""
        columns, fakes = step.batch.columns, self.fake(step, "critic")
        real = self.score(step, step.batch.images, "real")
        activations = self.critic.convolutions(self.shown(step, fakes, "fake"))
        fake = self.critic(activations, columns)
        return {
            "real": Term(0.5 * cross_entropy(real, self.smooth(step)), ("critic",)),
            "fake": Term(0.5 * cross_entropy(fake, 0.0), ("critic",)),
            "posterior": self.surprise(activations, self.noise(step, "critic")),
            "accuracy/critic": accuracy(real, fake),
        }

    def generator_loss(self, step: Step) -> Mapping[str, Tensor]:
        """The cross-entropy of what is made, and how surprising its codes are."""
        noise = self.noise(step, "generator")
        made = self.generator(noise, step.batch.columns)
        activations = self.critic.convolutions(self.shown(step, made, "made"))
        return {
            "generator": cross_entropy(self.critic(activations, step.batch.columns), 1.0),
            "information": self.surprise(activations, noise),
        }

    def surprise(self, activations: Tensor, noise: Tensor) -> Tensor:
        """Weighted: minus the log of the density that the posterior gives the codes (their own is a constant)."""
        return self.config.information * gaussian_surprise(noise[:, self.config.noise :], *self.posterior(activations))

    def score(self, step: Step, images: Tensor, name: str) -> Tensor:
        """The critic's scores of noisy images, N."""
        activations = self.critic.convolutions(self.shown(step, images, name))
        return self.critic(activations, step.batch.columns)

    def representation(self, images: Tensor) -> Tensor:
        """images: N C H W in [-1, 1].  Returns the critic's last feature maps, each its mean over space: N D."""
        return self.critic.convolutions(images).mean((2, 3))
