"""The shape of a cell: the adversarial autoencoder of the reference channels (Johnson et al. 2018, algorithm 1).

Presets:
    paper    as the published code was run: gamma_Enc 1e-4, gamma_Dec 1e-5, white noise of 0.05, batches of 32
    tables   that, with the layers that tables S1 to S4 of the paper have and the code has not
    default  the code's layers, with a moving average
    small    that, a quarter as wide and less deep, for two cores
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from distgan.families.cells import PRESETS, Coded, Game, GameConfig
from distgan.losses import cross_entropy
from distgan.method import Batch, Sample, Step, evaluated
from distgan.networks.integrated_cell import CodeCritic, Decoder, Encoder, ImageCritic


class CellAutoencoderConfig(GameConfig):
    """reference: names of the channels that are coded, such as membrane and DNA; by default all."""

    reference: tuple[str, ...] = ()


class CellAutoencoder(Game):
    """Codes of the reference channels, normally distributed; phase 1."""

    Config = CellAutoencoderConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS

    def __init__(self, config: CellAutoencoderConfig, sample: Sample) -> None:
        super().__init__(config, sample)
        self.made = self.named(config.reference) or tuple(range(sample.shape[0]))
        channels, edges = len(self.made), sample.shape[1:]
        self.encoder = Encoder(channels, edges, config.width, config.depth, (config.latent,))
        self.decoder = Decoder(channels, edges, config.width, config.depth, config.latent, config.layers)
        self.code_critic = CodeCritic(config.latent, config.code_width)
        self.image_critic = ImageCritic(channels, edges, config.critic_width, config.critic_depth, 1, config.layers)

    def coded(self, step: Step) -> Coded:
        """The code is all the decoder is given."""
        (code,) = self.encoder(self.light(step.batch.images))
        return Coded(code, code, {})

    def drawn(self, step: Step) -> Tensor:
        """Normal codes."""
        return step.normal("z^r", len(step.batch), self.config.latent)

    def surprise(self, scores: Tensor, step: Step, *, real: bool) -> Tensor:
        """Real images are to be scored 1, made ones 0."""
        return cross_entropy(scores.squeeze(1), float(real))

    def representation(self, images: Tensor) -> Tensor:
        """images: N C ... in [-1, 1].  Returns z^r, N latent."""
        with evaluated(self.encoder):
            code: Tensor = self.encoder(self.light(images))[0]
        return code

    def decoded(self, codes: Tensor, batch: Batch) -> Tensor:
        """Images of codes, whatever the batch."""
        with evaluated(self.decoder):
            return self.pictured(self.decoder(codes).sigmoid())

    def reconstruction(self, batch: Batch) -> Tensor:
        """The batch's reference channels, made again; the others black."""
        return self.decoded(self.representation(batch.images), batch)

    def preview(self, step: Step) -> Tensor:
        """Images of normal codes."""
        return self.decoded(step.normal("z preview", len(step.batch), self.config.latent), step.batch)
