"""A generator that makes everything of noise at once, and its discriminators: labels, images, or both."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from distgan.families.tissue import SCHEDULE, Tissue, unequal
from distgan.families.tissue_sections import AdversarialTissueConfig, Critic, Noisy
from distgan.method import Sample, Step, Turn
from distgan.networks.label_generator import LabelGenerator
from distgan.networks.patch_discriminator import MultiScaleDiscriminator

AUGMENT = {"flip": True, "quarter_turns": True}
STAGE_1: Mapping[str, Any] = {
    "run": {"batch_size": 1},
    "augment": AUGMENT,
    "method": {"critic": {"weighted": False}},
    "optimizer": {**SCHEDULE, "hold": 0.5},
    "ema": {"half_life_images": 0},
}
"""The published code's first stage; its 200 epochs of 10 sections are 2,000 images."""
SMALL: Mapping[str, Any] = {
    "run": {"batch_size": 4},
    "augment": AUGMENT,
    "method": {"generator": {"depth": 4}, "critic": {"width": 16}},
    "optimizer": unequal(critic=2e-4),
    "ema": {"half_life_images": 500},
}
DEFAULT: Mapping[str, Any] = {
    "augment": AUGMENT,
    "optimizer": {**SCHEDULE, "hold": 0.5},
    "ema": {"half_life_images": 500},
}


class TissueGanConfig(AdversarialTissueConfig):
    """generator, critic: see there."""

    generator: Noisy = Noisy()
    critic: Critic = Critic()


class TissueGan(Tissue):
    """A subclass says what is real."""

    networks: ClassVar[tuple[str, ...]] = ("critic", "generator")
    averaged: ClassVar[tuple[str, ...]] = ("generator",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": DEFAULT, "small": SMALL, "paper": STAGE_1}
    critic: MultiScaleDiscriminator
    generator: LabelGenerator

    def __init__(self, config: Any, sample: Sample) -> None:
        super().__init__(config, sample)
        self.generator = config.generator.network(self.made_channels)
        self.generator.inputs(*self.size)
        self.critic = config.critic.network(self.made_channels, self.size[0])

    @property
    @abstractmethod
    def made_channels(self) -> int:
        """Of what the generator makes."""

    @abstractmethod
    def real(self, step: Step) -> Tensor:
        """What the generator is to make, N C H W in [-1, 1]."""

    def pooled(self) -> Mapping[str, tuple[int, int, int]]:
        """What the discriminators are shown."""
        return {"critic": (self.made_channels, *self.size)}

    def turns(self) -> tuple[Turn, ...]:
        """Critic, then generator, some times."""
        return (
            Turn("critic", ("critic",), self.critic_loss),
            Turn("generator", ("generator",), self.generator_loss, times=self.config.generator_steps),
        )

    def made(self, step: Step, name: str) -> Tensor:
        """What the generator makes of a noise image, N C H W."""
        return self.generator(self.noise(step, name, self.generator.inputs(*self.size)))

    def critic_loss(self, step: Step) -> Mapping[str, Tensor]:
        """Half the loss of what is real, and half that of fakes."""
        with torch.no_grad():
            fake = self.made(step, "critic")
        return self.critic_terms(self.critic, self.config.critic, step, "critic", self.real(step), fake)

    def generator_loss(self, step: Step) -> Mapping[str, Tensor]:
        """The loss of what is made, that is to be taken for real."""
        scores = self.critic(self.made(step, "generator"))
        return {"generator": self.judged(scores, 1.0, self.config.critic.weights)}
