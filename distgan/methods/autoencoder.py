"""A plain autoencoder of cells, as CytoGAN compares with: convolutional, or one dense layer.

Presets:
    paper    the published code's ConvAE: two convolutions of 8 feature maps, a code of 32
    dense    its AE: one dense layer of 32 with ReLU
    default  three convolutions of 32 feature maps, a code of 64, a moving average
    small    that, half as wide, for two cores
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from distgan.method import Batch, Method, MethodConfig, Sample, Step, Turn
from distgan.networks.autoencoder import DenseDecoder, DenseEncoder
from distgan.networks.cytogan import square
from distgan.networks.vae import Decoder, Encoder

_PAPER = {
    "run": {"batch_size": 128},
    "optimizer": {"lr": 1e-3},
    "ema": {"half_life_images": 0},
}


class AutoencoderConfig(MethodConfig):
    """shape: of the networks.  width: feature maps of each convolution.  depth: convolutions, each halved after it.

    latent: length of the code.
    """

    shape: Literal["convolutional", "dense"] = "convolutional"
    width: int = Field(32, ge=4, le=256)
    depth: int = Field(3, ge=1, le=5)
    latent: int = Field(64, ge=1, le=4096)


class Autoencoder(Method):
    """An encoder and a decoder that make images again from short codes."""

    Config = AutoencoderConfig
    networks = ("encoder", "decoder")
    averaged = ("encoder", "decoder")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"optimizer": {"lr": 1e-3}},
        "small": {"method": {"width": 16}, "optimizer": {"lr": 1e-3}},
        "paper": _PAPER | {"method": {"width": 8, "depth": 2, "latent": 32}},
        "dense": _PAPER | {"method": {"shape": "dense", "latent": 32}},
    }

    def __init__(self, config: AutoencoderConfig, sample: Sample) -> None:
        super().__init__(config, sample)
        self.encoder: nn.Module
        self.decoder: nn.Module
        if config.shape == "dense":
            self.encoder, self.decoder = (kind(sample.shape, config.latent) for kind in (DenseEncoder, DenseDecoder))
        else:
            channels, size = square(sample, 2**config.depth)
            widths = (config.width,) * config.depth
            self.encoder = Encoder(channels, size, widths, config.latent)
            self.decoder = Decoder(channels, size, widths, config.latent)

    def turns(self) -> tuple[Turn, ...]:
        """Both networks at once."""
        return (Turn("coding", ("encoder", "decoder"), self.loss),)

    def loss(self, step: Step) -> Mapping[str, Tensor]:
        """Mean squared difference of images in [-1, 1]."""
        images = step.batch.images
        return {"reconstruction": (self.decoder(self.encoder(images)) - images).float().square().mean()}

    def preview(self, step: Step) -> Tensor:
        """The batch's images, made again."""
        return self.reconstruction(step.batch)

    def representation(self, images: Tensor) -> Tensor:
        """images: N C H W in [-1, 1].  Returns their codes, N latent."""
        return self.encoder(images)

    @property
    def prior(self) -> None:
        """Nothing says how codes are distributed."""
        return None

    def codes(self, batch: Batch) -> Tensor:
        """The codes of the batch's images, N latent."""
        return self.encoder(batch.images)

    def decoded(self, codes: Tensor, batch: Batch) -> Tensor:
        """Images of codes, whatever the batch."""
        return self.decoder(codes)

    def reconstruction(self, batch: Batch) -> Tensor:
        """The batch's images, made again, N C H W."""
        return self.decoded(self.codes(batch), batch)
