"""The conditional beta-VAE that followed the integrated cell: a structure, given a cell and the structure's class.

Its authors took it in place of the two autoencoders and their critics, since its dimensions can be put in order. It is
told the reference image itself, at every level, so there is no phase 1.

Presets:
    paper    the published code in two dimensions: 64 to 1024 feature maps, 512 dimensions, batches of 32
    solid    that in three dimensions: 32 to 512 feature maps
    default  an eighth of the dimensions, with a moving average
    small    that, a quarter as wide and less deep, for two cores
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from distgan.families.cells import CellMethod, classes_of
from distgan.losses import gaussian_divergence
from distgan.method import Batch, MethodConfig, Sample, Step, Turn, evaluated
from distgan.networks.conditional_vae import ConditionalDecoder, ConditionalEncoder

_DEFAULT: Mapping[str, Any] = {"optimizer": {"lr": 2e-4}}
_PAPER: Mapping[str, Any] = {
    "run": {"batch_size": 32},
    "optimizer": {"lr": 2e-4, "betas": [0.9, 0.999]},
    "ema": {"half_life_images": 0},
}


class ConditionalBetaVaeConfig(MethodConfig):
    """column: metadata column that names the structure; "" is none.  reference, structure: names of the channels; by
    default the last is the structure and all others reference.

    width, depth: of the networks.  latent: length of a code.  objective: what is lowered, of the squared error R and
    the divergence KL; t = images seen / ramp_images, at most 1:
        constant  R + beta KL                 "H" (Higgins et al. 2017)
        capacity  R + gamma |KL - t capacity| "B" (Burgess et al. 2018)
        linear    R + t beta KL               "A"
        cyclic    R + s beta KL               "C" (Fu et al. 2019): in each of `cycles` parts of the ramp s rises from
                                              0 to 1, and is 1 in the second half and after the ramp
        alpha     2 ((1 - alpha) R + alpha KL)
    """

    column: str = "structure"
    reference: tuple[str, ...] = ()
    structure: tuple[str, ...] = ()
    width: int = Field(64, ge=1, le=256)
    depth: int = Field(5, ge=1, le=8)
    latent: int = Field(64, ge=1, le=4096)
    objective: Literal["constant", "capacity", "linear", "cyclic", "alpha"] = "constant"
    beta: float = Field(1.0, ge=0)
    gamma: float = Field(500.0, ge=0)
    capacity: float = Field(500.0, ge=0)
    alpha: float = Field(0.5, ge=0, le=1)
    cycles: int = Field(10, ge=1)
    ramp_images: int = Field(100_000, ge=1)

    @property
    def columns(self) -> tuple[str, ...]:
        """That of the structure, if any."""
        return (self.column,) if self.column else ()


class ConditionalBetaVae(CellMethod):
    """Codes of what cell and class do not say of a structure."""

    Config = ConditionalBetaVaeConfig
    networks: ClassVar[tuple[str, ...]] = ("encoder", "decoder")
    averaged: ClassVar[tuple[str, ...]] = ("encoder", "decoder")
    least_channels: ClassVar[int] = 2
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": _DEFAULT,
        "small": {"optimizer": {"lr": 1e-3}, "method": {"width": 16, "depth": 4}},
        "paper": {**_PAPER, "method": {"latent": 512}},
        "solid": {**_PAPER, "method": {"latent": 512, "width": 32}},
    }

    def __init__(self, config: ConditionalBetaVaeConfig, sample: Sample) -> None:
        super().__init__(config, sample)
        self.classes = classes_of(sample, config.column) if config.column else ()
        self.reference, self.structure = self.parts(config.reference, config.structure)
        self.made = self.structure
        sizes = (len(self.made), len(self.reference), len(self.classes), sample.shape[1:])
        self.encoder = ConditionalEncoder(*sizes, config.width, config.depth, config.latent)
        self.decoder = ConditionalDecoder(*sizes, config.width, config.depth, config.latent)

    def turns(self) -> tuple[Turn, ...]:
        """Both networks at once."""
        return (Turn("coding", ("encoder", "decoder"), self.loss),)

    def loss(self, step: Step) -> Mapping[str, Tensor]:
        """Squared differences of light in [0, 1], summed over each structure, and the divergence of its code."""
        given, light = self.given(step.batch), self.light(step.batch.images)
        mean, log_variance = self.encoder(light, *given).chunk(2, 1)
        code = mean + (0.5 * log_variance).exp() * step.normal("code", *mean.shape)
        error = (self.decoder(code, *given) - light).float().square().flatten(1).sum(1).mean()
        divergence = gaussian_divergence(mean, log_variance)
        return self.weighted(error, divergence, step.images_seen) | {"divergence/code": divergence.detach()}

    def weighted(self, error: Tensor, divergence: Tensor, images_seen: int) -> dict[str, Tensor]:
        """What is lowered after so many images, see `ConditionalBetaVaeConfig`."""
        config = self.config
        progress = min(images_seen / config.ramp_images, 1.0)
        if config.objective == "alpha":
            return {"reconstruction": 2 * (1 - config.alpha) * error, "divergence": 2 * config.alpha * divergence}
        if config.objective == "capacity":
            away = (divergence - progress * config.capacity).abs()
            return {"reconstruction": error, "divergence": config.gamma * away}
        share = {
            "constant": 1.0,
            "linear": progress,
            "cyclic": 1.0 if progress == 1 else min(2 * (config.cycles * progress % 1), 1.0),
        }[config.objective]
        return {"reconstruction": error, "divergence": share * config.beta * divergence}

    def given(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What both networks are told of a batch: its reference channels, N R ... in [0, 1], and its classes, N K."""
        reference = self.light(batch.images, self.reference)
        if not self.classes:
            return reference, reference.new_zeros(len(batch), 0)
        return reference, F.one_hot(batch.columns[self.config.column], len(self.classes)).to(reference.dtype)

    def decoded(self, codes: Tensor, batch: Batch) -> Tensor:
        """Structures of these codes in the cells, and of the classes, of the batch."""
        with evaluated(self.decoder):
            return self.pictured(self.decoder(codes, *self.given(batch)))

    def codes(self, batch: Batch) -> Tensor:
        """The mean of each structure's code, N latent."""
        return self.posterior(batch)[0]

    def divergences(self, batch: Batch) -> Tensor:
        """KL(q(z|x) | N(0, 1)) of each dimension of the batch's codes, N latent, nats."""
        mean, log_variance = self.posterior(batch)
        return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)

    def posterior(self, batch: Batch) -> tuple[Tensor, ...]:
        """Mean and log-variance of each structure's code, N latent each."""
        with evaluated(self.encoder):
            return self.encoder(self.light(batch.images), *self.given(batch)).float().chunk(2, 1)

    def reconstruction(self, batch: Batch) -> Tensor:
        """The batch's structures, made again; the other channels black."""
        return self.decoded(self.codes(batch), batch)

    def preview(self, step: Step) -> Tensor:
        """Structures of normal codes in the cells of the batch; where it has no class, one is drawn."""
        batch, code = step.batch, step.normal("z preview", len(step.batch), self.config.latent)
        if self.classes and self.config.column not in batch.columns:
            drawn = (step.uniform("class preview", len(batch)) * len(self.classes)).long()
            batch = Batch(batch.images, {self.config.column: drawn})
        return self.decoded(code, batch)
