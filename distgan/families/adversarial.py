"""What the adversarial methods of CytoGAN share: two networks, conditions, input noise, and who is shown what."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from distgan.codes import Prior
from distgan.method import Batch, Method, MethodConfig, Sample, Step, Turn, evaluated
from distgan.networks.condition import Condition
from distgan.networks.cytogan import Critic, Generator, Hidden, square


class AdversarialConfig(MethodConfig):
    """noise: length of the input vector.  width, critic_width: see the networks; 32 in the paper.

    input_noise: standard deviation of what is added to all that the critic sees in training, and only then.
    condition: metadata columns that both networks are told, classes or numbers.  embedding: units of a dense layer that
    these go through, one in each network; 0 is none.
    fakes: how those are normalised that the critic learns from; "batch" as when the generator learns, "population" by
    its running statistics, as in the published code.
    """

    noise: int = Field(100, ge=1, le=4096)
    width: int = Field(32, ge=4, le=256)
    critic_width: int = Field(32, ge=1, le=256)
    input_noise: float = Field(0.1, ge=0)
    condition: tuple[str, ...] = ()
    embedding: int = Field(0, ge=0, le=1024)
    fakes: Literal["batch", "population"] = "batch"

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the condition."""
        return self.condition


class CriticConfig(AdversarialConfig):
    """Of methods with CytoGAN's own critic.

    latent: length of its last layer but one, the representation.  hidden: what follows that; the paper's is linear, so
    that the critic is linear in what the convolutions find, and learns only one direction of the representation.
    """

    latent: int = Field(100, ge=1, le=4096)
    hidden: Hidden = "leaky_relu"


class SmoothConfig(CriticConfig):
    """smoothing: real images are to be scored 1 less a random part of this, another for each (one-sided)."""

    smoothing: float = Field(0.2, ge=0, lt=1)


class Adversarial(Method):
    """A generator and a critic; a subclass says what each of them lowers."""

    networks: ClassVar[tuple[str, ...]] = ("critic", "generator")
    averaged: ClassVar[tuple[str, ...]] = ("generator",)
    critic: Any  # a network of the subclass's choice
    generator: Any

    def __init__(self, config: Any, sample: Sample) -> None:
        super().__init__(config, sample)
        self.build(*square(sample, 8))

    def build(self, channels: int, size: int) -> None:
        """Make the networks; by default those of DCGAN, LSGAN and WGAN."""
        config = self.config
        self.critic = Critic(channels, size, config.critic_width, config.latent, config.hidden, self.condition())
        self.generator = Generator(channels, size, self.inputs, config.width, self.condition())

    def condition(self) -> Condition:
        """A network's own way to take in what it is told."""
        return Condition({name: self.sample.classes[name] for name in self.config.condition}, self.config.embedding)

    @property
    def inputs(self) -> int:
        """Length of the generator's input vector."""
        return self.config.noise

    @property
    def prior(self) -> Prior:
        """Of the generator's input."""
        return Prior(self.config.noise)

    def decoded(self, codes: Tensor, batch: Batch) -> Tensor:
        """Images of codes N inputs, N C H W, told the batch's columns."""
        return self.generator(codes, batch.columns)

    def noise(self, step: Step, name: str) -> Tensor:
        """The generator's input, N inputs."""
        return step.normal(f"z {name}", len(step.batch), self.config.noise)

    def made(self, step: Step, name: str) -> Tensor:
        """Images for the generator to learn from, N C H W."""
        return self.generator(self.noise(step, name), step.batch.columns)

    @torch.no_grad()
    def fake(self, step: Step, name: str) -> Tensor:
        """Images for the critic to learn from, N C H W."""
        if self.config.fakes == "batch":
            return self.made(step, name)
        with evaluated(self.generator):
            return self.made(step, name)

    def shown(self, step: Step, images: Tensor, name: str) -> Tensor:
        """The images as the critic sees them: noisy in training."""
        if not (self.training and self.config.input_noise):
            return images
        return images + self.config.input_noise * step.normal(f"input {name}", *images.shape)

    def score(self, step: Step, images: Tensor, name: str) -> Tensor:
        """The critic's scores of noisy images, N."""
        return self.critic(self.shown(step, images, name), step.batch.columns)

    def scores(self, step: Step) -> tuple[Tensor, Tensor]:
        """The critic's scores of the batch, and of as many fakes; N each."""
        return self.score(step, step.batch.images, "real"), self.score(step, self.fake(step, "critic"), "fake")

    def smooth(self, step: Step) -> Tensor:
        """What real images are to be scored, N in (1 - smoothing, 1]."""
        return 1 - self.config.smoothing * step.uniform("smoothing", len(step.batch))

    def told(self, step: Step, name: str) -> Mapping[str, Tensor]:
        """The batch's columns; where it has none, some are drawn."""
        wanted = self.config.condition
        if all(column in step.batch.columns for column in wanted):
            return step.batch.columns
        uniform = {column: step.uniform(f"{name} {column}", len(step.batch)) for column in wanted}
        normal = {column: step.normal(f"{name} {column}", len(step.batch)) for column in wanted}
        return self.generator.condition.drawn(uniform, normal)

    def preview(self, step: Step) -> Tensor:
        """What the generator makes of noise and the batch's columns; of drawn ones where it has none."""
        return self.generator(self.noise(step, "preview"), self.told(step, "preview"))

    def representation(self, images: Tensor) -> Tensor:
        """images: N C H W in [-1, 1].  Returns the critic's last layer but one, N D; nothing is added to the images."""
        return self.critic.representation(images)


class Duel(Adversarial):
    """The critic scores real images nearly 1 and fakes 0, each at half the cost; the generator wants 1 of its own."""

    @abstractmethod
    def cost(self, scores: Tensor, wanted: Tensor | float) -> Tensor:
        """By how much scores, N, miss what is wanted of them, N or one for all; a scalar."""

    def turns(self) -> tuple[Turn, ...]:
        """Critic, then generator."""
        return (
            Turn("critic", ("critic",), self.critic_loss),
            Turn("generator", ("generator",), self.generator_loss),
        )

    def critic_loss(self, step: Step) -> Mapping[str, Tensor]:
        """Real images are to be nearly 1, and fakes 0."""
        real, fake = self.scores(step)
        return {
            "real": 0.5 * self.cost(real, self.smooth(step)),
            "fake": 0.5 * self.cost(fake, 0.0),
            "accuracy/critic": accuracy(real, fake),
        }

    def generator_loss(self, step: Step) -> Mapping[str, Tensor]:
        """What is made is to be 1."""
        return {"generator": self.cost(self.score(step, self.made(step, "generator"), "made"), 1.0)}


def accuracy(real: Tensor, fake: Tensor) -> Tensor:
    """In what share of the pairs the real image is scored higher; a scalar, to be told.  real, fake: scores, N."""
    return (real > fake).float().mean().detach()


def adam(critic: float, generator: float, **others: float) -> dict[str, Any]:
    """`[optimizer]` of a preset: Adam with the betas of DCGAN (Radford et al. 2016), and each network's rate."""
    rates = {"critic": critic, "generator": generator, **others}
    return {"lr": generator, "betas": [0.5, 0.999]} | {name: {"lr": rate} for name, rate in rates.items()}


def published(
    method: dict[str, Any], optimizer: dict[str, Any], batch: int, decay: float, steps: int
) -> dict[str, Any]:
    """The tables of a preset as CytoGAN's authors trained.

    decay: by what the rates are multiplied after so many steps of the generator.
    """
    staircase = {"schedule": "staircase", "decay": decay, "decay_images": steps * batch}
    return {
        "run": {"batch_size": batch},
        "method": method,
        "optimizer": optimizer | staircase,
        "ema": {"half_life_images": 0},
    }
