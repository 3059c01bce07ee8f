"""BiGAN on cells (Donahue et al. 2017), as CytoGAN has it: an encoder learns to undo the generator.

Presets:
    paper    the published code: noise and dropout in the critic, codes uniform in [0, 1)
    default  normal codes, a moving average
    small    that, narrower and with a shorter code, for two cores
"""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from distgan.codes import Prior
from distgan.families.adversarial import Adversarial, AdversarialConfig, accuracy, adam, published
from distgan.losses import cross_entropy
from distgan.method import Batch, Step, Term, Turn, evaluated
from distgan.networks.bigan import Dropout, Encoder, PairCritic
from distgan.networks.cytogan import Generator


class BiganConfig(AdversarialConfig):
    """width: of the generator.  critic_width: of the convolutions of encoder and critic; 16 in the paper.

    dense_width: see `PairCritic`.  dropout: share of the critic's activations that are left out.  prior: of the codes.
    smoothing: as of DCGAN.
    """

    width: int = Field(16, ge=4, le=256)
    critic_width: int = Field(16, ge=1, le=256)
    dense_width: int = Field(256, ge=4, le=1024)
    dropout: float = Field(0.5, ge=0, lt=1)
    prior: Literal["normal", "uniform"] = "normal"
    smoothing: float = Field(0.2, ge=0, lt=1)


class Bigan(Adversarial):
    """The critic tells images with their codes from codes with their images; both others lead it astray."""

    Config = BiganConfig
    networks = ("critic", "generator", "encoder")
    averaged = ("generator", "encoder")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"optimizer": adam(2e-4, 2e-4, encoder=2e-4)},
        "small": {
            "method": {"width": 8, "critic_width": 4, "dense_width": 64, "noise": 64},
            "optimizer": adam(2e-4, 5e-4, encoder=5e-4),
        },
        "paper": published(
            {"prior": "uniform", "fakes": "population"}, adam(7e-5, 7e-5, encoder=7e-5), 32, 0.9999, 100
        ),
    }

    def build(self, channels: int, size: int) -> None:
        """Make the networks; the encoder is told no condition, so that every image has one representation."""
        config = self.config
        self.critic = PairCritic(
            channels, size, config.noise, config.critic_width, config.dense_width, self.condition()
        )
        self.generator = Generator(channels, size, config.noise, config.width, self.condition())
        self.encoder = Encoder(channels, size, config.noise, config.critic_width)

    def noise(self, step: Step, name: str) -> Tensor:
        """Codes, N noise."""
        if self.config.prior == "uniform":
            return step.uniform(f"z {name}", len(step.batch), self.config.noise)
        return super().noise(step, name)

    @property
    def prior(self) -> Prior:
        """As `noise` draws them."""
        return Prior(0, self.config.noise, 0.0, 1.0) if self.config.prior == "uniform" else super().prior

    def turns(self) -> tuple[Turn, ...]:
        """Critic, then the other two."""
        return (
            Turn("critic", ("critic",), self.critic_loss),
            Turn("coding", ("generator", "encoder"), self.coding_loss),
        )

    def critic_loss(self, step: Step) -> Mapping[str, Tensor]:
        """Half the cross-entropy of real images and their codes, nearly 1, and half that of codes and fakes, 0."""
        population = self.config.fakes == "population"
        with torch.no_grad(), evaluated(self.encoder) if population else nullcontext():
            codes = self.encoder(self.shown(step, step.batch.images, "encoder"))
        real = self.pairs(step, step.batch.images, codes, "real")
        fake = self.pairs(step, self.fake(step, "critic"), self.noise(step, "critic"), "fake")
        return {
            "real": 0.5 * cross_entropy(real, self.smooth(step)),
            "fake": 0.5 * cross_entropy(fake, 0.0),
            "accuracy/critic": accuracy(real, fake),
        }

    def coding_loss(self, step: Step) -> Mapping[str, Tensor | Term]:
        """Cross-entropies of the same pairs with the opposite targets, each into the network that made half of it."""
        codes = self.encoder(self.shown(step, step.batch.images, "encoder"))
        noise = self.noise(step, "generator")
        made = self.generator(noise, step.batch.columns)
        return {
            "generator": Term(cross_entropy(self.pairs(step, made, noise, "made"), 1.0), ("generator",)),
            "encoder": Term(cross_entropy(self.pairs(step, step.batch.images, codes, "coded"), 0.0), ("encoder",)),
        }

    def pairs(self, step: Step, images: Tensor, codes: Tensor, name: str) -> Tensor:
        """The critic's scores of noisy images and codes, N."""
        return self.critic(self.shown(step, images, name), codes, step.batch.columns, self.dropout(step, name))

    def dropout(self, step: Step, name: str) -> Dropout:
        """By named noise, in training; the activations that stay are larger by as much."""
        share = self.config.dropout if self.training else 0.0

        def drop(activations: Tensor, layer: int) -> Tensor:
            if not share:
                return activations
            kept = step.uniform(f"dropout {name} {layer}", *activations.shape) >= share
            return activations * kept / (1 - share)

        return drop

    def representation(self, images: Tensor) -> Tensor:
        """images: N C H W in [-1, 1].  Returns their codes, N D."""
        with evaluated(self.encoder):
            return self.encoder(images)

    def codes(self, batch: Batch) -> Tensor:
        """The codes of the batch's images, N noise."""
        return self.representation(batch.images)

    def reconstruction(self, batch: Batch) -> Tensor:
        """What the generator makes of the codes of the images, N C H W."""
        with evaluated(self.generator):
            return self.decoded(self.codes(batch), batch)
