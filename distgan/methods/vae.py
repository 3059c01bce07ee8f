"""A variational autoencoder of cells (Kingma and Welling 2014), as CytoGAN has it.

Presets:
    paper    the published code, whose noise has a deviation of 0.1 where the divergence assumes 1
    default  with noise of deviation 1, and a moving average
    small    that, a quarter as wide, with a shorter code, for two cores
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from distgan.codes import Prior
from distgan.losses import gaussian_divergence
from distgan.method import Batch, Method, MethodConfig, Sample, Step, Turn
from distgan.networks.cytogan import square
from distgan.networks.vae import Decoder, Encoder


class VaeConfig(MethodConfig):
    """width: feature maps of the encoder's last convolution, 32 in the paper; the one before has 2, the first 4 times.

    latent: length of the code.  beta: weight of the divergence.  deviation: by what the noise of a code is multiplied.
    """

    width: int = Field(32, ge=4, le=256)
    latent: int = Field(256, ge=1, le=4096)
    beta: float = Field(1.0, ge=0)
    deviation: float = Field(1.0, ge=0)


class Vae(Method):
    """Codes are near a normal distribution, and images near what is made of their codes."""

    Config = VaeConfig
    networks = ("encoder", "decoder")
    averaged = ("encoder", "decoder")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"optimizer": {"lr": 1e-3}},
        "small": {"method": {"width": 8, "latent": 64}, "optimizer": {"lr": 1e-3}},
        "paper": {
            "run": {"batch_size": 128},
            "method": {"deviation": 0.1},
            "optimizer": {"lr": 1e-3, "schedule": "staircase", "decay": 0.996, "decay_images": 100 * 128},
            "ema": {"half_life_images": 0},
        },
    }

    def __init__(self, config: VaeConfig, sample: Sample) -> None:
        super().__init__(config, sample)
        channels, size = square(sample, 8)
        widths = (4 * config.width, 2 * config.width, config.width)
        self.encoder = Encoder(channels, size, widths, config.latent, heads=2)
        self.decoder = Decoder(channels, size, widths[::-1], config.latent)

    def turns(self) -> tuple[Turn, ...]:
        """Both networks at once."""
        return (Turn("coding", ("encoder", "decoder"), self.loss),)

    def loss(self, step: Step) -> Mapping[str, Tensor]:
        """Squared differences from black 0 to white 1, summed over each image, and the divergence of its code."""
        images = step.batch.images
        mean, log_variance = self.encoder(images).chunk(2, 1)
        noise = self.config.deviation * step.normal("code", *mean.shape)
        made = self.decoder(mean + (0.5 * log_variance).exp() * noise)
        return {
            "reconstruction": 0.25 * (made - images).float().square().flatten(1).sum(1).mean(),
            "divergence": self.config.beta * gaussian_divergence(mean, log_variance),
        }

    def preview(self, step: Step) -> Tensor:
        """What the decoder makes of normal codes."""
        return self.decoder(step.normal("z preview", len(step.batch), self.config.latent))

    @property
    def prior(self) -> Prior:
        """Normal codes."""
        return Prior(self.config.latent)

    def codes(self, batch: Batch) -> Tensor:
        """The means of the codes of the batch's images, N latent."""
        return self.representation(batch.images)

    def decoded(self, codes: Tensor, batch: Batch) -> Tensor:
        """Images of codes, whatever the batch."""
        return self.decoder(codes)

    def representation(self, images: Tensor) -> Tensor:
        """images: N C H W in [-1, 1].  Returns the mean of each one's code, N latent."""
        mean: Tensor = self.encoder(images).chunk(2, 1)[0]
        return mean

    def reconstruction(self, batch: Batch) -> Tensor:
        """What the decoder makes of the mean of each image's code, N C H W."""
        return self.decoded(self.codes(batch), batch)
