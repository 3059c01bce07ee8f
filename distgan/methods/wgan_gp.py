"""WGAN-GP on microscopy patches (Gulrajani et al. 2017), with the networks of Wang et al.

Presets:
    paper      the published code: penalty 1, one critic step, batch normalisation in the critic,
               critic ten times slower than the generator, weight decay 2.5e-5
    corrected  the penalty as Gulrajani et al. mean it: weight 10, five critic steps, layer
               normalisation (a batch-normalised critic has no slope per sample)
    small      `corrected` with a generator of a quarter of the width, for two cores; the critic, which costs
               a quarter of that generator and decides what it learns, keeps its own (see docs/log.md)
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from distgan.codes import Prior
from distgan.losses import gradient_penalty, r1_penalty, wasserstein_critic, wasserstein_generator, weight_decay
from distgan.method import Batch, Method, MethodConfig, Normalisation, Sample, Step, Turn, evaluated
from distgan.networks.rosette import Critic, Generator
from storage.errors import RecipeError


class WganGpConfig(MethodConfig):
    """noise: length of the input vector.  width, critic_width: see the networks; 32 in the paper.

    penalty: weight of the gradient penalty.  penalty_kind: of slopes that are not 1 between real and made images, or
    of any slope at real ones (R1).  penalty_every: with k it is computed for every k-th batch, and weighs k times as
    much there ("lazy regularisation", Karras et al. 2020, section 3.1).
    critic_steps: batches per generator step.  decay: weight of half the squared norm of the weights.
    """

    noise: int = Field(64, ge=1, le=4096)
    width: int = Field(32, ge=4, le=256)
    critic_width: int = Field(32, ge=4, le=256)
    critic_norm: Normalisation = "layer"
    norm_momentum: float = Field(0.1, gt=0, lt=1)
    penalty: float = Field(10.0, ge=0)
    penalty_kind: Literal["wgan_gp", "r1"] = "wgan_gp"
    penalty_every: int = Field(1, ge=1, le=100)
    critic_steps: int = Field(5, ge=1, le=100)
    decay: float = Field(0.0, ge=0)


_CORRECTED: Mapping[str, Any] = {"optimizer": {"lr": 1e-4, "betas": [0.0, 0.9]}}


class WganGp(Method):
    """A generator that lowers, and a critic that measures, the distance to the real images."""

    Config = WganGpConfig
    networks = ("critic", "generator")
    averaged = ("generator",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": _CORRECTED,
        "corrected": _CORRECTED,
        "small": {"method": {"width": 8}, "optimizer": {"lr": 3e-4, "betas": [0.0, 0.9]}},
        "paper": {
            "method": {
                "critic_norm": "batch",
                "norm_momentum": 0.001,
                "penalty": 1.0,
                "critic_steps": 1,
                "decay": 2.5e-5,
            },
            "optimizer": {"lr": 1e-4, "betas": [0.5, 0.999], "critic": {"lr": 1e-5}},
        },
    }

    def __init__(self, config: WganGpConfig, sample: Sample) -> None:
        super().__init__(config, sample)
        channels, *edges = sample.shape
        size = edges[-1]
        if edges != [size, size]:
            found = f"{' x '.join(map(str, edges))} pixels"
            raise RecipeError("wgan_gp needs square images", found, "Prepare square patches")
        self.critic = Critic(channels, size, config.critic_width, config.critic_norm, config.norm_momentum)
        self.generator = Generator(channels, size, config.noise, config.width, config.norm_momentum)

    def turns(self) -> tuple[Turn, ...]:
        """Critic at every batch, generator at every `critic_steps`-th."""
        return (
            Turn("critic", ("critic",), self.critic_loss),
            Turn("generator", ("generator",), self.generator_loss, every=self.config.critic_steps),
        )

    def critic_loss(self, step: Step) -> Mapping[str, Tensor]:
        """Minus the distance (it falls below zero as the critic learns), and the penalty that makes it one.

        Told beside: in what share of the pairs of a real and a made image the critic scores the real one higher.
        """
        real = step.batch.images
        with torch.no_grad():
            fake = self.generator(self._noise(step))
        real_scores, fake_scores = self._scores(real, fake)
        terms = {"distance": wasserstein_critic(real_scores, fake_scores)}
        every = self.config.penalty_every
        if every == 1 or step.number % every == 0:  # to ask for the number costs the compiler more code
            terms["penalty"] = self.config.penalty * every * self._penalty(step, fake)
        terms["accuracy/critic"] = (real_scores > fake_scores).float().mean()
        if self.config.decay:
            terms["critic_decay"] = self.config.decay * weight_decay(self.critic, self.critic.score)
        return terms

    def generator_loss(self, step: Step) -> Mapping[str, Tensor]:
        """The critic's opinion of what the generator made."""
        terms = {"generator": wasserstein_generator(self.critic(self.generator(self._noise(step))))}
        if self.config.decay:
            last = self.generator.convolutions[-1]
            terms["generator_decay"] = self.config.decay * weight_decay(self.generator, last)
        return terms

    def preview(self, step: Step) -> Tensor:
        """What the generator makes of the step's noise."""
        return self.generator(self._noise(step))

    @property
    def prior(self) -> Prior:
        """Normal codes."""
        return Prior(self.config.noise)

    def decoded(self, codes: Tensor, batch: Batch) -> Tensor:
        """Images of codes, whatever the batch."""
        return self.generator(codes)

    def representation(self, images: Tensor) -> Tensor:
        """images: N C H W in [-1, 1].  Returns the critic's last layer but one, N D."""
        with evaluated(self.critic):
            return self.critic.dense(self.critic.convolutions(images))

    def _noise(self, step: Step) -> Tensor:
        return step.normal("z", len(step.batch), self.config.noise)

    def _penalty(self, step: Step, fake: Tensor) -> Tensor:
        real = step.batch.images
        if self.config.penalty_kind == "r1":
            return r1_penalty(self.critic, real)
        return gradient_penalty(self.critic, real, fake, step.uniform("mix", len(real), 1, 1, 1))

    def _scores(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        if self.config.critic_norm == "batch":  # one pass would mix the statistics of real and fake
            return self.critic(real), self.critic(fake)
        scores = self.critic(torch.cat([real, fake]))
        return scores[: len(real)], scores[len(real) :]
