"""What the methods of the integrated cell share: reference and structure channels, codes that can be decoded, and the
game of two critics (Johnson et al. 2018, algorithms 1 and 2).
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from distgan.codes import Prior
from distgan.losses import cross_entropy
from distgan.method import Batch, Method, MethodConfig, Sample, Step, Term, Turn
from distgan.networks.integrated_cell import CodeCritic, Decoder, Layers
from storage.errors import RecipeError


class CellMethod(Method):
    """A method that makes images of cells out of codes, and codes out of images.

    made: the numbers of the channels it makes, in order; the others of its images stay black.  classes: of the
    structure, in order; none where it knows no structure.  structure: numbers of its channels, if any.
    """

    made: tuple[int, ...]
    classes: tuple[str, ...] = ()
    structure: tuple[int, ...] = ()
    config: Any

    @property
    def prior(self) -> Prior:
        """Normal codes."""
        return Prior(self.config.latent)

    def codes(self, batch: Batch) -> Tensor:
        """The codes of the batch's cells, N latent: what `decoded` takes."""
        return self.representation(batch.images)

    def divergences(self, batch: Batch) -> Tensor:
        """KL(q(z|x) | N(0, 1)) of each dimension of the batch's codes, N latent, nats; NaN of codes without noise."""
        return torch.full_like(self.codes(batch), torch.nan)

    def class_scores(self, images: Tensor) -> Tensor:
        """images: N C ... in [-1, 1].  Returns N K: logits of the structures; K is 0 where the method tells none."""
        return images.new_zeros(len(images), 0)

    @abstractmethod
    def decoded(self, codes: Tensor, batch: Batch) -> Tensor:
        """Images N C ... in [-1, 1] made of codes N latent.

        batch: as many cells; a conditional method takes their reference channels and the class of their structure.
        """

    @abstractmethod
    def reconstruction(self, batch: Batch) -> Tensor:
        """The batch's images N C ..., made again out of what the method knows of them."""

    def latents(self, batch: Batch) -> dict[str, Tensor]:
        """All codes that the method knows of the batch's cells, N Z each, by their names."""
        return {"z": self.codes(batch)}

    def light(self, images: Tensor, channels: tuple[int, ...] | None = None) -> Tensor:
        """images: N C ... in [-1, 1].  Returns these channels of them, by default those made, in [0, 1]."""
        return 0.5 * images[:, list(self.made if channels is None else channels)] + 0.5

    def pictured(self, light: Tensor) -> Tensor:
        """light: the channels that are made, in [0, 1].  Returns images N C ... in [-1, 1], the others black."""
        images = light.new_full((len(light), *self.sample.shape), -1.0)
        images[:, list(self.made)] = 2 * light.clamp(0, 1).to(images.dtype) - 1
        return images

    def named(self, channels: tuple[str, ...]) -> tuple[int, ...]:
        """The numbers of the channels of these names.

        Raises RecipeError: there is none of that name, or it is named twice.
        """
        known = self.sample.channels or tuple(map(str, range(self.sample.shape[0])))
        if missing := [name for name in channels if name not in known or channels.count(name) > 1]:
            raise RecipeError(
                f"{missing[0]!r} is no channel of the images, or is named twice",
                f"they have {', '.join(known)}",
                "Mend method.reference and method.structure",
            )
        return tuple(known.index(name) for name in channels)

    def parts(self, reference: tuple[str, ...], structure: tuple[str, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Numbers of reference and structure channels: by default the last is the structure, and all others reference.

        Raises RecipeError: a channel is unknown, or both.
        """
        everything = range(self.sample.shape[0])
        self.named((*reference, *structure))
        own = self.named(structure) or tuple(i for i in everything[-1:] if i not in self.named(reference))
        others = self.named(reference) or tuple(number for number in everything if number not in own)
        if not own or not others:
            raise RecipeError(
                "there is a reference or a structure without a channel",
                f"the images have {', '.join(self.sample.channels)}",
                "Leave one for each in method.reference and method.structure",
            )
        return others, own


def classes_of(sample: Sample, column: str) -> tuple[str, ...]:
    """The classes of that column.  Raises RecipeError: there are no two."""
    classes = sample.classes.get(column, ())
    if len(classes) < 2:
        raise RecipeError(
            f"there are no two structures in the column {column!r}",
            f"it has {', '.join(classes) or 'numbers, or nothing'}",
            "Set method.column to the column of their names",
        )
    return classes


class GameConfig(MethodConfig):
    """width, depth: of encoder and decoder.  critic_width, critic_depth: of the image critic.  code_width: of codes'.

    latent: length of a code.  layers: where the published code and its tables differ.  white_noise: deviation of what
    is added to what the image critic sees, from black 0 to white 1, and before its dense layer.  code_weight,
    image_weight: gamma_Enc and gamma_Dec, of what the critics say of codes and of images.
    """

    width: int = Field(64, ge=1, le=256)
    depth: int = Field(6, ge=1, le=8)
    critic_width: int = Field(64, ge=1, le=256)
    critic_depth: int = Field(5, ge=1, le=8)
    code_width: int = Field(512, ge=1, le=4096)
    latent: int = Field(16, ge=1, le=4096)
    layers: Layers = "code"
    white_noise: float = Field(0.05, ge=0)
    code_weight: float = Field(1e-4, ge=0)
    image_weight: float = Field(1e-5, ge=0)


@dataclass(frozen=True)
class Coded:
    """What an encoder makes of a batch.  given: to the decoder, N G.  code: to its critic, N Z.  terms: its own."""

    given: Tensor
    code: Tensor
    terms: Mapping[str, Tensor]


class Game(CellMethod):
    """Encoder and decoder against a critic of codes and a critic of images, six steps in three turns.

    1 DecD: real images against images of drawn codes; it never sees reconstructions.
    2 EncD: normal codes against those of the images.
    3-6 Enc and Dec by one step of each: the reconstruction into both; gamma_Enc into Enc; gamma_Dec into Dec, of the
    drawn images and of the reconstructions: the same forward pass, whose gradient ends at the codes.
    """

    networks: ClassVar[tuple[str, ...]] = ("encoder", "decoder", "code_critic", "image_critic")
    averaged: ClassVar[tuple[str, ...]] = ("encoder", "decoder")
    encoder: Any
    decoder: Decoder
    code_critic: CodeCritic
    image_critic: Any

    def turns(self) -> tuple[Turn, ...]:
        """The image critic, the code critic, then both others."""
        return (
            Turn("image_critic", ("image_critic",), self.image_critic_loss),
            Turn("code_critic", ("code_critic",), self.code_critic_loss),
            Turn("coding", ("encoder", "decoder"), self.coding_loss),
        )

    @abstractmethod
    def coded(self, step: Step) -> Coded:
        """What the encoder makes of the batch."""

    @abstractmethod
    def drawn(self, step: Step) -> Tensor:
        """What the decoder is given to make new images, N G; in all turns of a step the same."""

    @abstractmethod
    def surprise(self, scores: Tensor, step: Step, *, real: bool) -> Tensor:
        """How far the image critic's scores N K are from those of real or of made images; a scalar."""

    def judged(self, step: Step, light: Tensor, name: str, *, real: bool) -> Tensor:
        """The same of light in [0, 1], seen through white noise of that name."""
        return self.surprise(self.image_critic(light, partial(self.white, step, name)), step, real=real)

    def white(self, step: Step, name: str, values: Tensor, place: str) -> Tensor:
        """Values with white noise, in training."""
        if not (self.training and self.config.white_noise):
            return values
        return values + self.config.white_noise * step.normal(f"white {name} {place}", *values.shape)

    def image_critic_loss(self, step: Step) -> Mapping[str, Tensor]:
        """Step 1; of the sum, as the code, which tells half of it."""
        with torch.no_grad():
            made = self.decoder(self.drawn(step)).sigmoid()
        real = self.light(step.batch.images)
        return {
            "real_image": self.judged(step, real, "real", real=True),
            "made_image": self.judged(step, made, "made", real=False),
        }

    def code_critic_loss(self, step: Step) -> Mapping[str, Tensor]:
        """Step 2: normal codes are to be scored 1, the encoder's 0."""
        with torch.no_grad():
            own = self.coded(step).code
        normal = step.normal("z", *own.shape)
        return {
            "normal_code": cross_entropy(self.code_critic(normal), 1.0),
            "own_code": cross_entropy(self.code_critic(own), 0.0),
        }

    def coding_loss(self, step: Step) -> Mapping[str, Tensor | Term]:
        """Steps 3 to 6.  The image critic's scores are found anew, by its weights as step 1 has left them."""
        coded = self.coded(step)
        logits = self.decoder(coded.given)
        made = self.decoder(self.drawn(step)).sigmoid()
        image, code = self.config.image_weight, self.config.code_weight
        return {
            "reconstruction": cross_entropy(logits, self.light(step.batch.images)),
            **coded.terms,
            "encoder": Term(code * cross_entropy(self.code_critic(coded.code), 1.0), ("encoder",)),
            "decoder": Term(image * self.judged(step, made, "drawn", real=True), ("decoder",)),
            "decoder_again": Term(image * self.judged(step, logits.sigmoid(), "again", real=True), ("decoder",)),
        }


PUBLISHED: Mapping[str, Any] = {
    "run": {"batch_size": 32},
    "optimizer": {"lr": 2e-4, "betas": [0.5, 0.999]},
    "ema": {"half_life_images": 0},
}
"""As its authors trained all eight networks."""
DEFAULT: Mapping[str, Any] = {"optimizer": PUBLISHED["optimizer"]}
SMALL: Mapping[str, Any] = {
    "method": {"width": 16, "depth": 4, "critic_width": 8, "critic_depth": 4, "code_width": 64},
    "optimizer": {**PUBLISHED["optimizer"], "encoder": {"lr": 1e-3}, "decoder": {"lr": 1e-3}},
    "ema": {"half_life_images": 2_000},
}
"""For squares of about 64 pixels and two cores."""
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": DEFAULT,
    "small": SMALL,
    "paper": PUBLISHED,
    "tables": {**PUBLISHED, "method": {"layers": "tables"}},
}
