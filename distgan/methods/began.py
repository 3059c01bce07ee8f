"""BEGAN on cells (Berthelot et al. 2017), as CytoGAN has it: the critic is an autoencoder, its bottleneck the code.

Presets:
    paper        the published code
    conditional  C-BEGAN of the published code: told the concentration
    default      the same networks at 1e-4, a moving average
    small        an eighth as wide, with a shorter code, a k that moves 30 times as fast and higher rates, for two
                 cores: in one short run with the published k, which had not left 0 at its end, images stayed flat
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from distgan.families.adversarial import Adversarial, AdversarialConfig, adam, published
from distgan.method import Batch, Sample, Step, Terms, Turn
from distgan.networks.began import AutoencodingCritic, Generator
from distgan.networks.cytogan import square

LEAST = 1e-8


class BeganConfig(AdversarialConfig):
    """width: feature maps of the generator and of the critic's decoder.  critic_width: of the critic's encoder.

    latent: length of the bottleneck.  diversity: gamma, the error of fakes as a part of that of real images, to which k
    leads; less is sharper and more alike.  control: lambda, by how much k moves for a loss.
    """

    width: int = Field(128, ge=4, le=256)
    critic_width: int = Field(64, ge=4, le=256)
    latent: int = Field(100, ge=1, le=4096)
    diversity: float = Field(0.75, gt=0, le=1)
    control: float = Field(1e-3, gt=0)


class Began(Adversarial):
    """The critic reconstructs real images well, and fakes badly as far as k says."""

    Config = BeganConfig
    k: Tensor
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"optimizer": adam(1e-4, 1e-4)},
        "small": {
            "method": {"width": 16, "critic_width": 8, "latent": 64, "noise": 64, "control": 0.03},
            "optimizer": adam(5e-4, 5e-4),
        },
        "paper": published({}, adam(1e-5, 1e-5), 16, 0.9999, 1000),
        "conditional": published({"condition": ["concentration"]}, adam(1e-5, 1e-5), 16, 0.9995, 1000),
    }

    def __init__(self, config: BeganConfig, sample: Sample) -> None:
        super().__init__(config, sample)
        self.register_buffer("k", torch.tensor(LEAST))

    def build(self, channels: int, size: int) -> None:
        """Make the networks."""
        square(self.sample, 16)
        config = self.config
        self.critic = AutoencodingCritic(
            channels, size, config.critic_width, config.width, config.latent, self.condition()
        )
        self.generator = Generator(channels, size, self.inputs, config.width, self.condition())

    def turns(self) -> tuple[Turn, ...]:
        """Critic, then generator."""
        return (
            Turn("critic", ("critic",), self.critic_loss),
            Turn("generator", ("generator",), self.generator_loss),
        )

    def critic_loss(self, step: Step) -> Mapping[str, Tensor]:
        """Error of real images, less k times that of fakes. Told beside: the latter, k, and the global measure."""
        real = self.error(step, step.batch.images, "real")
        fake = self.error(step, self.fake(step, "critic"), "fake")
        balance = self.config.diversity * real - fake
        return {
            "real": real,
            "fake": -self.k * fake,
            "error/fake": fake.detach(),
            "convergence/critic": (real + balance.abs()).detach(),
            "k/critic": self.k.clone(),
        }

    def generator_loss(self, step: Step) -> Mapping[str, Tensor]:
        """Error of what is made."""
        return {"generator": self.error(step, self.made(step, "generator"), "made")}

    def error(self, step: Step, images: Tensor, name: str) -> Tensor:
        """Mean absolute difference of images, as the critic sees them, to their reconstructions."""
        seen = self.shown(step, images, name)
        return (self.critic(seen, step.batch.columns) - images).abs().mean()

    @torch.no_grad()
    def after_step(self, terms: Terms) -> None:
        """Move k towards the balance that `diversity` says: k + control (diversity real - fake), in [1e-8, 1]."""
        balance = self.config.diversity * terms["real"] - terms["error/fake"]
        self.k.copy_((self.k + self.config.control * balance).clamp(LEAST, 1.0))

    def reconstruction(self, batch: Batch) -> Tensor:
        """What the critic makes of the batch's images, N C H W."""
        return self.critic(batch.images, batch.columns)
