"""A structure in the shape of a cell: the conditional adversarial autoencoder (Johnson et al. 2018, algorithm 2).

It begins from phase 1, whose encoder it takes over and never changes: `[init] reference_encoder = { model = "models:/
cells@candidate", network = "encoder" }`. Give both the same reference channels, width, depth and latent. z^r is found
along; or, as the published code does, read from what that encoder has written: `codes = "CODES.zarr"` names the store
that `distgan embed MODEL STORE --out CODES.zarr` makes, and the values are the same.

Presets:
    paper    as the published code was run: gamma_Enc 1e-4, gamma_Dec 1e-5, white noise of 0.05, batches of 32
    tables   that, with the layers that tables S5 to S7 of the paper have and the code has not
    default  the code's layers, with a moving average
    small    that, a quarter as wide and less deep, for two cores
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor

from distgan.families.cells import PRESETS, Coded, Game, GameConfig, classes_of
from distgan.method import Batch, Sample, Step, StoredCodes, evaluated
from distgan.networks.integrated_cell import CodeCritic, Decoder, Encoder, ImageCritic

SHAPE = "z^r"
"""The column of a batch that has z^r, if it was read."""


class ConditionalAutoencoderConfig(GameConfig):
    """column: metadata column that names the structure.  reference, structure: names of the channels; by default the
    last is the structure and all others reference.

    class_weight, reference_weight: of L_y and L_z.  absent: minus the log-probability that the decoder is told of a
    class that is not the structure's.  codes: embedding store to read z^r of training cells from; "" computes it along.
    codes_by: the metadata column that names each cell.
    """

    column: str = "structure"
    reference: tuple[str, ...] = ()
    structure: tuple[str, ...] = ()
    class_weight: float = Field(1.0, ge=0)
    reference_weight: float = Field(1.0, ge=0)
    absent: float = Field(25.0, gt=0)
    codes: str = ""
    codes_by: str = "cell"

    @field_validator("codes")
    @classmethod
    def _absolute(cls, path: str) -> str:
        """Workers may run in other folders."""
        return path and str(Path(path).absolute())

    @property
    def columns(self) -> tuple[str, ...]:
        """That of the structure."""
        return (self.column,)

    @property
    def stored_codes(self) -> StoredCodes | None:
        """z^r, by the encoder of phase 1."""
        if not self.codes:
            return None
        return StoredCodes(SHAPE, self.codes, self.codes_by, "reference_encoder", "cell_autoencoder", self.latent)


class ConditionalAutoencoder(Game):
    """Codes of a structure in a cell: its class y, the shape z^r, and what these do not say, z^s; phase 2."""

    Config = ConditionalAutoencoderConfig
    networks: ClassVar[tuple[str, ...]] = (*Game.networks, "reference_encoder")
    frozen: ClassVar[tuple[str, ...]] = ("reference_encoder",)
    least_channels: ClassVar[int] = 2
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS

    def __init__(self, config: ConditionalAutoencoderConfig, sample: Sample) -> None:
        super().__init__(config, sample)
        self.classes = classes_of(sample, config.column)
        self.reference, self.structure = self.parts(config.reference, config.structure)
        self.made = (*self.reference, *self.structure)
        kinds, channels, edges, latent = len(self.classes), len(self.made), sample.shape[1:], config.latent
        shape = config.width, config.depth
        self.encoder = Encoder(channels, edges, *shape, (kinds, latent, latent))
        self.decoder = Decoder(channels, edges, *shape, kinds + 2 * latent, config.layers)
        self.code_critic = CodeCritic(latent, config.code_width)
        self.image_critic = ImageCritic(
            channels, edges, config.critic_width, config.critic_depth, kinds + 1, config.layers
        )
        self.reference_encoder = Encoder(len(self.reference), edges, *shape, (latent,))

    def coded(self, step: Step) -> Coded:
        """The decoder is given what the encoder says of class and shape, which is to be as they are."""
        kinds, shape, code = self.encoder(self.light(step.batch.images))
        terms = {
            "class": self.config.class_weight * F.cross_entropy(kinds.float(), self.told(step.batch)),
            "reference": self.config.reference_weight * F.mse_loss(shape.float(), self.shape_of(step.batch)),
        }
        return Coded(torch.cat([kinds.log_softmax(1), shape, code], 1), code, terms)

    def drawn(self, step: Step) -> Tensor:
        """The true class and shape, and a normal z^s."""
        code = step.normal("z^s", len(step.batch), self.config.latent)
        return self.given(self.told(step.batch), self.shape_of(step.batch), code)

    def given(self, kinds: Tensor, shape: Tensor, code: Tensor) -> Tensor:
        """What the decoder is given: log-probabilities of the classes, 0 for the one, then z^r and z^s."""
        log_probabilities = self.config.absent * (F.one_hot(kinds, len(self.classes)).to(code.dtype) - 1)
        return torch.cat([log_probabilities, shape.to(code.dtype), code], 1)

    def surprise(self, scores: Tensor, step: Step, *, real: bool) -> Tensor:
        """Real images are to be of their own class, made ones of class K + 1."""
        own = self.told(step.batch)
        return F.cross_entropy(scores.float(), own if real else torch.full_like(own, len(self.classes)))

    def told(self, batch: Batch) -> Tensor:
        """The class of each structure, N."""
        return batch.columns[self.config.column]

    def shape_of(self, batch: Batch) -> Tensor:
        """z^r of a batch, N latent: what was read, if it was, else by the encoder of phase 1."""
        read = batch.columns.get(SHAPE)
        return self.shape(batch.images) if read is None else read

    @torch.no_grad()
    def shape(self, images: Tensor) -> Tensor:
        """images: N C ... in [-1, 1].  Returns z^r of their reference channels, N latent, by the encoder of phase 1."""
        with evaluated(self.reference_encoder):
            code: Tensor = self.reference_encoder(self.light(images, self.reference))[0]
        return code.float()

    def class_scores(self, images: Tensor) -> Tensor:
        """images: N C ... in [-1, 1].  Returns N K: logits of the structures."""
        return self.heads(images)[0]

    def heads(self, images: Tensor) -> list[Tensor]:
        """What the encoder says of class, z^r and z^s of the images."""
        with evaluated(self.encoder):
            found: list[Tensor] = self.encoder(self.light(images))
        return found

    def representation(self, images: Tensor) -> Tensor:
        """images: N C ... in [-1, 1].  Returns z^s, N latent."""
        return self.heads(images)[2]

    def latents(self, batch: Batch) -> dict[str, Tensor]:
        """z^r by phase 1, and z^r and z^s by its own encoder."""
        _, shape, code = self.heads(batch.images)
        return {"z_r": self.shape_of(batch), "z_r_said": shape, "z_s": code}

    def decoded(self, codes: Tensor, batch: Batch) -> Tensor:
        """Images of z^s in the shapes and of the classes of the batch."""
        return self._pictured(self.given(self.told(batch), self.shape_of(batch), codes))

    def reconstruction(self, batch: Batch) -> Tensor:
        """The batch's images, made again out of the images alone.

        The decoder is told the likeliest class as it is told classes: its running statistics are more of those than of
        the encoder's log-probabilities, which are never far from 0.
        """
        kinds, shape, code = self.heads(batch.images)
        return self._pictured(self.given(kinds.argmax(1), shape, code))

    def preview(self, step: Step) -> Tensor:
        """Images of normal z^s in the shapes and of the classes of the batch; where it has no class, all is drawn."""
        code = step.normal("z^s preview", len(step.batch), self.config.latent)
        if self.config.column in step.batch.columns:
            return self.decoded(code, step.batch)
        kinds = (step.uniform("class preview", len(code)) * len(self.classes)).long()
        return self._pictured(self.given(kinds, step.normal("z^r preview", *code.shape), code))

    def _pictured(self, given: Tensor) -> Tensor:
        with evaluated(self.decoder):
            return self.pictured(self.decoder(given).sigmoid())
