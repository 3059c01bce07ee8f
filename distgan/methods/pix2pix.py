"""pix2pix (Isola et al. 2017) from the red channel to the others: Osokin et al.'s baseline of one answer to each red.

Its only noise is dropout, in training and after, which the generator learns to do without (section 2 of Osokin et al.).
It makes no red channel: samples have that of the images they are asked to be like.

Presets:
    paper    one image a batch, 64 feature maps, dropout 0.5, a hundredfold absolute difference
    default  the same in larger batches
    small    a quarter as wide, for two cores
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from distgan.losses import cross_entropy
from distgan.method import Method, MethodConfig, Sample, Step, Turn
from distgan.networks.normalisation import Norm
from distgan.networks.patch_discriminator import PatchDiscriminator
from distgan.networks.unet import UNet

_ADAM = {"optimizer": {"lr": 2e-4, "betas": [0.5, 0.999]}, "augment": {"flip": True}}
DROPPED = 3
"""Doublings after the bottleneck whose activations are dropped."""


class Pix2pixConfig(MethodConfig):
    """width, critic_width: see the networks.  critic_depth: 3 is the paper's patch of 70 x 70 pixels.

    l1: weight of the mean absolute difference.  dropout: what share of activations is left out.
    """

    width: int = Field(64, ge=2, le=256)
    critic_width: int = Field(64, ge=1, le=256)
    critic_depth: int = Field(3, ge=1, le=6)
    norm: Norm = "instance_affine"
    l1: float = Field(100.0, ge=0)
    dropout: float = Field(0.5, ge=0, lt=1)


class Pix2pix(Method):
    """A U-Net of the red channel, and a critic of patches that sees the red, too."""

    Config = Pix2pixConfig
    networks: ClassVar[tuple[str, ...]] = ("critic", "generator")
    averaged: ClassVar[tuple[str, ...]] = ("generator",)
    least_channels: ClassVar[int] = 2
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": _ADAM,
        "small": _ADAM | {"method": {"width": 16, "critic_width": 16, "critic_depth": 2}},
        "paper": _ADAM | {"run": {"batch_size": 1}, "ema": {"half_life_images": 0}},
    }

    def __init__(self, config: Any, sample: Sample) -> None:
        super().__init__(config, sample)
        channels, height, width = sample.shape
        self.depth = max(2, halvings(height, width))
        self.critic = PatchDiscriminator(channels, config.critic_width, config.critic_depth, config.norm)
        self.generator = UNet(1, channels - 1, config.width, self.depth, config.norm)

    def turns(self) -> tuple[Turn, ...]:
        """Critic, then generator."""
        return (
            Turn("critic", ("critic",), self.critic_loss),
            Turn("generator", ("generator",), self.generator_loss),
        )

    def critic_loss(self, step: Step) -> Mapping[str, Tensor]:
        """Half the cross-entropy of real patches, that are 1, and half that of fakes, 0."""
        with torch.no_grad():
            fake = self.preview(step)
        real_scores, fake_scores = self.critic(step.batch.images), self.critic(fake)
        return {
            "real": 0.5 * cross_entropy(real_scores, 1.0),
            "fake": 0.5 * cross_entropy(fake_scores, 0.0),
            "accuracy/critic": (real_scores > fake_scores).float().mean().detach(),
        }

    def generator_loss(self, step: Step) -> Mapping[str, Tensor]:
        """The cross-entropy of what is made as if it were real, and how far it is from what is real."""
        made = self.preview(step)
        return {
            "generator": cross_entropy(self.critic(made), 1.0),
            "l1": self.config.l1 * (made - step.batch.images)[:, 1:].abs().mean(),
        }

    def preview(self, step: Step) -> Tensor:
        """The red of each image of the batch, and what the generator makes of it, N C H W."""
        red = step.batch.images[:, :1]
        return torch.cat([red, torch.tanh(self.generator(red, disturb=partial(self._dropped, step)))], 1)

    def translated(self, step: Step) -> Tensor:
        """The same: each image's red stays."""
        return self.preview(step)

    def _dropped(self, step: Step, activations: Tensor, layer: int, *, dropped: bool) -> Tensor:
        if layer < self.depth - DROPPED or not self.config.dropout:
            return activations
        kept = step.uniform(f"dropout {layer}", *activations.shape) >= self.config.dropout
        return activations * kept / (1 - self.config.dropout)


def halvings(height: int, width: int) -> int:
    """How often both edges can be halved evenly."""
    return min((edge & -edge).bit_length() - 1 for edge in (height, width))
