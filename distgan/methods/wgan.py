"""WGAN on cells with CytoGAN's networks: its critic is kept from being steep by clipping, or by a penalty.

Presets:
    default      Arjovsky et al. 2017, algorithm 1: weights clipped to 0.01, five critic steps, RMSProp at 5e-5
    small        that, narrower and faster, for two cores
    paper        what CytoGAN's code calls WGAN: the gradient penalty of Gulrajani et al. 2017 with weight 10, one
                 critic step, and another place between real and fake for every pixel
    conditional  C-WGAN of that code: told the compound and its concentration
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from distgan.families.adversarial import Adversarial, CriticConfig, accuracy, adam, published
from distgan.losses import gradient_penalty, wasserstein_critic, wasserstein_generator
from distgan.method import Step, Turn

_RMSPROP = {"kind": "rmsprop", "lr": 5e-5}
_PAPER = {
    "hidden": "linear",
    "fakes": "population",
    "clip": 0.0,
    "penalty": 10.0,
    "mix": "pixel",
    "critic_steps": 1,
}
_CONDITIONAL = _PAPER | {"condition": ["compound", "concentration"], "embedding": 16}


class WganConfig(CriticConfig):
    """clip: no weight of the critic is larger after it has learned; 0 is no limit.

    penalty: weight of the gradient penalty.  mix: whether it is at one place between a real image and a fake, or at
    another for each of their pixels.  critic_steps: batches per generator step.
    """

    input_noise: float = Field(0.0, ge=0)
    clip: float = Field(0.01, ge=0)
    penalty: float = Field(0.0, ge=0)
    mix: Literal["image", "pixel"] = "image"
    critic_steps: int = Field(5, ge=1, le=100)


class Wgan(Adversarial):
    """A generator that lowers, and a critic that measures, the distance to the real images."""

    Config = WganConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"optimizer": _RMSPROP},
        "small": {"method": {"width": 8, "critic_width": 8, "critic_steps": 2}, "optimizer": _RMSPROP | {"lr": 2e-4}},
        "paper": published(_PAPER | {"input_noise": 0.1}, adam(7e-5, 2e-4), 64, 0.9999, 100),
        "conditional": published(_CONDITIONAL | {"input_noise": 0.1}, adam(7e-5, 7e-5), 64, 0.9995, 200),
    }

    def turns(self) -> tuple[Turn, ...]:
        """Critic at every batch, generator at every `critic_steps`-th."""
        return (
            Turn("critic", ("critic",), self.critic_loss),
            Turn("generator", ("generator",), self.generator_loss, every=self.config.critic_steps),
        )

    def critic_loss(self, step: Step) -> Mapping[str, Tensor]:
        """Minus the distance, and the penalty."""
        real, fake, columns = step.batch.images, self.fake(step, "critic"), step.batch.columns
        real_scores, fake_scores = self.score(step, real, "real"), self.score(step, fake, "fake")
        terms = {"distance": wasserstein_critic(real_scores, fake_scores)}
        if self.config.penalty:
            shape = real.shape if self.config.mix == "pixel" else (len(real), 1, 1, 1)
            ends = (self.shown(step, images, "mixed") for images in (real, fake))  # with the same noise, so mixed once
            penalty = gradient_penalty(self.critic, *ends, step.uniform("mix", *shape), columns)
            terms["penalty"] = self.config.penalty * penalty
        terms["accuracy/critic"] = accuracy(real_scores, fake_scores)
        return terms

    def generator_loss(self, step: Step) -> Mapping[str, Tensor]:
        """The critic's opinion of what the generator made."""
        return {"generator": wasserstein_generator(self.score(step, self.made(step, "generator"), "made"))}

    @torch.no_grad()
    def after_turn(self, turn: str) -> None:
        """Clip every weight and offset of the critic, each time it has learned."""
        if turn == "critic" and self.config.clip:
            for parameter in self.critic.parameters():
                parameter.clamp_(-self.config.clip, self.config.clip)
