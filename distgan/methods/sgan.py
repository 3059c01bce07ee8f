"""SGAN (Han et al., eq. 3): labels out of noise, and images of labels, two games that know nothing of each other.

Both are played at once here. To train them apart as the published code does, take `label_gan` and `label_to_image`, and
begin from them by [init].

Presets:
    paper    the published code's settings of both stages; labels at half the resolution of the images
    default  the refinement network of the paper, told a noise image; all losses weighted (eq. 7), a moving average
    small    that at reduced width, for two cores
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from distgan.families.tissue import SCHEDULE, unequal
from distgan.families.tissue_sections import Critic, Noisy
from distgan.families.tissue_translation import (
    DEFAULT,
    NARROW,
    PUBLISHED,
    RUN,
    STAGE_2,
    TranslationConfig,
    TranslationGan,
)
from distgan.method import Sample, Step, Turn
from distgan.networks.label_generator import LabelGenerator
from distgan.networks.patch_discriminator import MultiScaleDiscriminator

_LABELS: Mapping[str, Any] = {"label_reduction": 2, "label_critic": {"weighted": False}}
_FIRST, _SECOND = {**SCHEDULE, "hold": 0.5}, {**SCHEDULE, "hold": 0.75}
NARROW_LABELS: Mapping[str, Any] = {"label_generator": {"depth": 4}, "label_critic": {"width": 16}}


class SganConfig(TranslationConfig):
    """label_generator, label_critic: see there.  label_reduction: by what labels are smaller while they are made."""

    label_generator: Noisy = Noisy()
    label_critic: Critic = Critic()
    label_reduction: int = Field(1, ge=1, le=8)


class Sgan(TranslationGan):
    """Images are made of real labels in training, and of made ones in samples."""

    Config: ClassVar[type[SganConfig]] = SganConfig
    networks: ClassVar[tuple[str, ...]] = ("label_critic", "label_generator", "pair_critic", "translator")
    averaged: ClassVar[tuple[str, ...]] = ("label_generator", "translator")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": DEFAULT,
        "small": {
            **RUN,
            "method": {**NARROW, **NARROW_LABELS, "l1": 10.0},
            "optimizer": unequal(label_critic=2e-4, pair_critic=1e-4),
        },
        "paper": {
            **STAGE_2,
            "method": {**PUBLISHED, **_LABELS},
            "optimizer": _SECOND | {"label_generator": _FIRST, "label_critic": _FIRST},
        },
    }
    label_critic: MultiScaleDiscriminator
    label_generator: LabelGenerator

    def __init__(self, config: SganConfig, sample: Sample) -> None:
        super().__init__(config, sample)
        self.label_generator = config.label_generator.network(len(config.structures))
        self.label_generator.inputs(*self.label_size)
        self.label_critic = config.label_critic.network(len(config.structures), self.label_size[0])

    @property
    def label_size(self) -> tuple[int, int]:
        """Height and width of labels while they are made."""
        height, width = self.size
        return height // self.config.label_reduction, width // self.config.label_reduction

    def pooled(self) -> Mapping[str, tuple[int, int, int]]:
        """What the discriminators are shown."""
        return {"label_critic": (len(self.config.structures), *self.label_size), **super().pooled()}

    def turns(self) -> tuple[Turn, ...]:
        """Labels, then images."""
        return (
            Turn("label_critic", ("label_critic",), self.label_critic_loss),
            Turn("label_generator", ("label_generator",), self.label_loss, times=self.config.generator_steps),
            *super().turns(),
        )

    def made_labels(self, step: Step, name: str) -> Tensor:
        """What the label generator makes of a noise image, N L H W at its own size."""
        return self.label_generator(self.noise(step, name, self.label_generator.inputs(*self.label_size)))

    def enlarged(self, labels: Tensor) -> Tensor:
        """Labels N L h w at the size of the images."""
        if self.config.label_reduction == 1:
            return labels
        return F.interpolate(labels, self.size, mode="bilinear", align_corners=False)

    def label_critic_loss(self, step: Step) -> Mapping[str, Tensor]:
        """Half the loss of real labels, and half that of made ones."""
        with torch.no_grad():
            fake = self.made_labels(step, "label_critic")
        real = F.avg_pool2d(self.given(step), self.config.label_reduction)
        return self.critic_terms(self.label_critic, self.config.label_critic, step, "label_critic", real, fake)

    def label_loss(self, step: Step) -> Mapping[str, Tensor]:
        """The loss of made labels, that are to be taken for real."""
        return {"label_generator": self.believed_labels(self.made_labels(step, "label_generator"))}

    def believed_labels(self, labels: Tensor) -> Tensor:
        """The loss of labels that are to be taken for real, a scalar."""
        return self.judged(self.label_critic(labels), 1.0, self.config.label_critic.weights)

    def pairs(self, step: Step) -> tuple[Tensor, Tensor]:
        """Labels out of noise N L H W, and images of them N C H W."""
        labels = self.enlarged(self.made_labels(step, "preview labels"))
        return self.translated(step, labels, "preview"), labels

    def preview(self, step: Step) -> Tensor:
        """The images alone."""
        return self.pairs(step)[0]
