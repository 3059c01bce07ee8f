"""A generator that makes images of label images (or labels of others), and its discriminators, who see both."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from distgan.families.tissue import SCHEDULE, Tissue, disturbance, noise_shape, unequal, weighted_difference
from distgan.families.tissue_gan import AUGMENT
from distgan.families.tissue_sections import AdversarialTissueConfig, Critic, Translator
from distgan.method import Sample, Step, Turn
from distgan.networks.label_generator import parts
from distgan.networks.patch_discriminator import MultiScaleDiscriminator
from distgan.networks.refinement import RefinementNetwork
from distgan.networks.unet import UNet

PUBLISHED: Mapping[str, Any] = {
    "translator": {"kind": "unet", "noise": 0, "sigma": 0.1, "dropout": 0.5},
    "pair_critic": {"weighted": False},
    "l1": 10.0,
    "l1_weights": [2.0, 4.0],
}
STAGE_2: Mapping[str, Any] = {
    "run": {"batch_size": 1},
    "augment": AUGMENT,
    "method": PUBLISHED,
    "optimizer": {**SCHEDULE, "hold": 0.75},
    "ema": {"half_life_images": 0},
}
"""The published code's second stage; its 200 epochs of 10 sections are 2,000 images."""
DEFAULT: Mapping[str, Any] = {
    "augment": AUGMENT,
    "optimizer": {**SCHEDULE, "hold": 0.5},
    "ema": {"half_life_images": 500},
}
NARROW: Mapping[str, Any] = {
    "translator": {"width": 16, "depth": 5, "unet_depth": 5},
    "pair_critic": {"width": 16},
}
RUN: Mapping[str, Any] = {**DEFAULT, "run": {"batch_size": 2}}
SMALL: Mapping[str, Any] = {
    **RUN,
    "method": {**NARROW, "l1": 10.0},
    "optimizer": unequal(pair_critic=1e-4),
}


class PairCritic(Critic):
    """`Critic`, of labels with what is made of them: by default patches of 70 x 70 and of 142 x 142."""

    scales: tuple[int, ...] = (1, 1)
    depths: tuple[int, ...] = (3, 4)
    weights: tuple[float, ...] = (0.5, 0.5)
    width: int = Field(default=64, ge=1, le=256)


class TranslationConfig(AdversarialTissueConfig):
    """translator, pair_critic: see there.

    l1: weight of the mean absolute difference between what is made and what is real.  l1_weights: how much a pixel of
    each structure counts in it; those of none count once, and so do all if it is empty.
    """

    translator: Translator = Translator()
    pair_critic: PairCritic = PairCritic()
    l1: float = Field(0.0, ge=0)
    l1_weights: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _check_weights(self) -> Any:
        if self.l1_weights and len(self.l1_weights) != len(self.structures):
            raise ValueError("l1_weights are of the structures: one number for each")
        return self


class TranslationGan(Tissue):
    """A subclass says what is made of what."""

    networks: ClassVar[tuple[str, ...]] = ("pair_critic", "translator")
    averaged: ClassVar[tuple[str, ...]] = ("translator",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": DEFAULT, "small": SMALL, "paper": STAGE_2}
    pair_critic: MultiScaleDiscriminator
    translator: RefinementNetwork | UNet

    def __init__(self, config: Any, sample: Sample) -> None:
        super().__init__(config, sample)
        noise_shape(config.translator, *self.size)
        if config.translator.kind == "unet":
            parts(*self.size, 2**config.translator.unet_depth)
        self.translator = config.translator.network(self.given_channels, self.made_channels)
        self.pair_critic = config.pair_critic.network(self.given_channels + self.made_channels, self.size[0])

    @property
    def given_channels(self) -> int:
        """Of what is translated."""
        return len(self.config.structures)

    @property
    def made_channels(self) -> int:
        """Of what it is translated to."""
        return self.channels

    def source(self, step: Step) -> Tensor:
        """What is translated, N L H W in [-1, 1]."""
        return self.given(step)

    def target(self, step: Step) -> Tensor:
        """What the batch says that it is, N C H W in [-1, 1]."""
        return step.batch.images

    def pooled(self) -> Mapping[str, tuple[int, int, int]]:
        """What the discriminators are shown."""
        return {"pair_critic": (self.given_channels + self.made_channels, *self.size)}

    def turns(self) -> tuple[Turn, ...]:
        """Critic, then translator, some times."""
        return (
            Turn("pair_critic", ("pair_critic",), self.pair_critic_loss),
            Turn("translator", ("translator",), self.translator_loss, times=self.config.generator_steps),
        )

    def translated(self, step: Step, labels: Tensor, name: str) -> Tensor:
        """What is made of labels N L H W and noise of that name: N C H W in [-1, 1]."""
        table = self.config.translator
        noise = self.noise(step, name, noise_shape(table, *labels.shape[2:]))
        found: Tensor = self.translator(labels, noise, disturbance(table, step, name))
        return torch.tanh(found) if table.kind == "unet" else found

    def pair_critic_loss(self, step: Step) -> Mapping[str, Tensor]:
        """Half the loss of real pairs, and half that of real labels with what is made of them."""
        labels = self.source(step)
        with torch.no_grad():
            fake = torch.cat([labels, self.translated(step, labels, "pair_critic")], 1)
        real = torch.cat([labels, self.target(step)], 1)
        return self.critic_terms(self.pair_critic, self.config.pair_critic, step, "pair_critic", real, fake)

    def translator_loss(self, step: Step) -> Mapping[str, Tensor]:
        """The loss of what is made of real labels, that is to be taken for real, and its difference from the target."""
        labels = self.source(step)
        made = self.translated(step, labels, "translator")
        return {"translator": self.believed(labels, made), **self.difference(step, made)}

    def believed(self, labels: Tensor, made: Tensor) -> Tensor:
        """The loss of a pair that is to be taken for real, a scalar."""
        return self.judged(self.pair_critic(torch.cat([labels, made], 1)), 1.0, self.config.pair_critic.weights)

    def difference(self, step: Step, made: Tensor) -> dict[str, Tensor]:
        """The weighted absolute difference from the target, if it counts."""
        config = self.config
        if not config.l1:
            return {}
        weights: Sequence[float] = config.l1_weights
        labels = self.given(step) if weights else made
        return {"l1": config.l1 * weighted_difference(made, self.target(step), labels, weights)}
