"""Multi-channel WGAN-GP of Osokin et al. (section 4.2): a cell with the greens of its look-alikes in the other classes.

What the others show was never seen in that cell: `prepare.neighbours` found, of each class, the samples whose red is
nearest, and a batch brings a random one of them along.

Presets:
    paper    the published code, for 50,000 steps of the generator, each after five batches of 64
    default  the same with an average
    small    a quarter as wide, two batches, for two cores
"""

from typing import Any

import torch
from torch import Tensor

from distgan.families.red_green import PenaltyConfig, WassersteinGame, classes_of, drawn_classes, published
from distgan.method import Sample, Step


class MultichannelWganGpConfig(PenaltyConfig):
    """column: of the classes, by which neighbours were looked for.  separable: whether the red channel has a tower, and
    all others together another.  masked: whether every channel is black where the red of the cell is, as in the
    published code.
    """

    column: str = "protein"
    separable: bool = False
    masked: bool = True

    @property
    def columns(self) -> tuple[str, ...]:
        """The classes."""
        return (self.column,)

    @property
    def companions(self) -> str:
        """The classes."""
        return self.column


class MultichannelWganGp(WassersteinGame):
    """A generator and a critic of the red channel and the others of all classes at once."""

    Config = MultichannelWganGpConfig
    presets = published("wgan_gp")

    def __init__(self, config: Any, sample: Sample) -> None:
        super().__init__(config, sample)
        self.classes = len(classes_of(sample, config.column))
        channels = 1 + self.classes * (self.channels - 1)
        self.critic = self.critics(1, channels)
        self.generator = self.tower(channels) if config.separable else self.plain(channels)

    def real(self, step: Step) -> Tensor:
        """The red of each image with the other channels of its look-alikes in all classes, 1 N C H W."""
        companions, red = step.batch.companions, step.batch.images[:, :1]
        assert companions is not None, "a method's companions come along"
        images = torch.cat([red, companions[:, :, 1:].flatten(1, 2)], 1)
        return (torch.where(red > -1, images, -1) if self.config.masked else images)[None]

    def own(self, step: Step, made: Tensor) -> Tensor:
        """Its red, and of the others those of the image's class."""
        images = made[0]
        number = drawn_classes(step, self.config.column, self.classes)
        others = images[:, 1:].unflatten(1, (self.classes, -1))
        return torch.cat([images[:, :1], others[torch.arange(len(images), device=images.device), number]], 1)
