"""The tables inside `[method]` of the models of labelled tissue (Han et al. 2018): one for each of their networks."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from distgan.config.sections import Section
from distgan.method import MethodConfig
from distgan.networks.label_generator import LabelGenerator, Start
from distgan.networks.normalisation import Norm
from distgan.networks.patch_discriminator import MultiScaleDiscriminator, PatchDiscriminator, WholeDiscriminator
from distgan.networks.refinement import RefinementNetwork
from distgan.networks.unet import UNet


class Noisy(Section):
    """Of a fully convolutional generator: see `LabelGenerator`.  noise: channels of its noise image."""

    noise: int = Field(default=8, ge=1, le=1024)
    width: int = Field(default=32, ge=1, le=256)
    depth: int = Field(default=5, ge=1, le=9)
    norm: Norm = "instance_affine"
    start: Start = "image"

    def network(self, channels: int) -> LabelGenerator:
        """The network for images of so many channels."""
        return LabelGenerator(channels, self.noise, self.width, self.depth, self.norm, self.start)


class Translator(Section):
    """Of a network that makes images of labels: see `RefinementNetwork` and `UNet`.

    noise: channels of its noise image, whose edges are those of the labels over 2^depth, for either kind.
    convolutions: of a module of the refinement network.  unet_depth: halvings of the U-Net.  sigma: of the noise added
    to each level but the last.  dropout: share of the activations of the U-Net's inner levels that are left out.
    """

    kind: Literal["refinement", "unet"] = "refinement"
    noise: int = Field(default=8, ge=0, le=1024)
    width: int = Field(default=64, ge=1, le=256)
    depth: int = Field(default=6, ge=1, le=9)
    convolutions: int = Field(default=2, ge=1, le=8)
    unet_depth: int = Field(default=8, ge=2, le=10)
    norm: Norm = "instance"
    sigma: float = Field(default=0.0, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)

    def network(self, labels: int, channels: int) -> RefinementNetwork | UNet:
        """The network from so many labels to so many channels."""
        if self.kind == "unet":
            return UNet(labels, channels, self.width, self.unet_depth, self.norm, self.noise)
        return RefinementNetwork(labels, channels, self.noise, self.width, self.depth, self.convolutions, self.norm)


class Reader(Section):
    """Of a network that finds labels in images: a `UNet`."""

    width: int = Field(default=32, ge=1, le=256)
    depth: int = Field(default=7, ge=2, le=10)
    norm: Norm = "instance"

    def network(self, channels: int, labels: int) -> UNet:
        """The network from so many channels to so many labels."""
        return UNet(channels, labels, self.width, self.depth, self.norm)


SMALL_READER: Mapping[str, Any] = {"width": 16, "depth": 5, "norm": "batch"}
"""Of all presets `small`, so that by [init] the reader of one method fits another."""


class Critic(Section):
    """Of the discriminators of an image, one for each of `scales`: see `PatchDiscriminator`.

    weights: lambda of each in the generator's loss (eq. 7).  weighted: whether its own loss has them, too; that of the
    published code has not.  kind: "whole" is the discriminator of DCGAN, with one score for the whole image.
    """

    scales: tuple[int, ...] = (1, 2, 4)
    depths: tuple[int, ...] = (3, 3, 3)
    weights: tuple[float, ...] = (0.5, 0.4, 0.1)
    width: int = Field(default=32, ge=1, le=256)
    norm: Norm = "instance"
    weighted: bool = True
    kind: Literal["patch", "whole"] = "patch"

    @model_validator(mode="after")
    def _check_lengths(self) -> "Critic":
        if not len(self.scales) == len(self.depths) == len(self.weights) > 0:
            raise ValueError("scales, depths and weights are of the same discriminators: one number of each for each")
        if min(self.scales) < 1 or min(self.depths) < 1 or min(self.weights) < 0:
            raise ValueError("scales and depths are 1 or more, and weights 0 or more")
        return self

    def network(self, channels: int, size: int) -> MultiScaleDiscriminator:
        """The discriminators of images of so many channels.  size: of their edges, for those of whole images."""
        if self.kind == "whole":
            towers = [WholeDiscriminator(channels, size // scale, self.width, self.norm) for scale in self.scales]
            return MultiScaleDiscriminator(self.scales, towers)
        patches = [PatchDiscriminator(channels, self.width, depth, self.norm) for depth in self.depths]
        return MultiScaleDiscriminator(self.scales, patches)


class TissueConfig(MethodConfig):
    """structures: the label images, each 0 where the structure is not."""

    structures: tuple[str, ...] = Field(default=("membranes", "mitochondria"), min_length=1)

    @property
    def labels(self) -> tuple[str, ...]:
        """All structures."""
        return self.structures


class AdversarialTissueConfig(TissueConfig):
    """loss: of the discriminators.  pool: earlier fakes kept for each virtual shard, of which a discriminator is shown
    one in every second fake's place; 0 is none.  generator_steps: turns of the generators after each of the critics,
    with other noise.
    """

    loss: Literal["cross_entropy", "least_squares"] = "cross_entropy"
    pool: int = Field(default=50, ge=0, le=1000)
    generator_steps: int = Field(default=2, ge=1, le=16)
