"""DSGAN (Han et al., eq. 6): SGAN whose two games are joined by a network that reads the labels off the images.

    V_y + V_x + regression L(y, F(x)) + cycle [L(y, F(G_x(y))) + generated L(y', F(G_x(y')))],  y' = G_y(z)

The last term teaches the label generator, too, but its target y' is held. Stages that were trained before are begun
from by [init]: `label_gan` (generator, critic), `label_to_image` (translator, pair_critic), `segmentation` (reader).

Presets:
    paper    the published code: with an L1 term that the paper does not have, labels at half resolution
    default  eq. 6, without that term; all losses weighted (eq. 7), a moving average
    small    that at reduced width, for two cores
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from distgan.families.tissue import segmentation_loss, unequal
from distgan.families.tissue_sections import SMALL_READER, Critic, Reader
from distgan.families.tissue_translation import DEFAULT, NARROW, RUN, STAGE_2, PairCritic
from distgan.method import Sample, Step, Term, Turn
from distgan.methods.sgan import NARROW_LABELS, Sgan, SganConfig

_PUBLISHED: Mapping[str, Any] = {
    "label_reduction": 2,
    "label_critic": {"weighted": False},
    "pair_critic": {"weighted": False},
    "l1": 10.0,
}
_NARROW: Mapping[str, Any] = {
    **NARROW,
    **NARROW_LABELS,
    "pair_critic": {"scales": [1, 2], "depths": [3, 3], "weights": [0.5, 0.4], "width": 16},
    "reader": SMALL_READER,
}


class LabelCritic(Critic):
    """`Critic`, of labels: by default at two scales."""

    scales: tuple[int, ...] = (1, 2)
    depths: tuple[int, ...] = (3, 3)
    weights: tuple[float, ...] = (0.5, 0.4)


class JointPairCritic(PairCritic):
    """`Critic`, of labels with their images: by default patches of two sizes at two scales."""

    scales: tuple[int, ...] = (1, 1, 2, 2)
    depths: tuple[int, ...] = (3, 4, 3, 4)
    weights: tuple[float, ...] = (0.3, 0.3, 0.2, 0.2)


class DsganConfig(SganConfig):
    """reader: see there.  regression, cycle, generated: weights of eq. 6, the last on top of `cycle`.

    pairs: whose images the pair critic is shown beside real pairs: those of "real" labels, or those of "generated" ones
    (eq. 5), by which it learns to look at the labels alone.  reading: the reader is "trained" with the others; learns
    "apart", and teaches nobody (SGAN with a reconstructor); or is "frozen" as it began, and teaches (figure 12).
    gradient_shares: tell which part of the slope of the pair critic's loss is along the labels (figure 16).
    """

    label_critic: LabelCritic = LabelCritic()
    pair_critic: JointPairCritic = JointPairCritic()
    reader: Reader = Reader()
    generator_steps: int = Field(1, ge=1, le=16)
    regression: float = Field(10.0, ge=0)
    cycle: float = Field(5.0, ge=0)
    generated: float = Field(1.0, ge=0)
    pairs: Literal["real", "generated"] = "real"
    reading: Literal["trained", "apart", "frozen"] = "trained"
    gradient_shares: bool = False


class Dsgan(Sgan):
    """The label generator, the translator and the reader learn together."""

    Config = DsganConfig
    networks = ("label_critic", "label_generator", "pair_critic", "translator", "reader")
    averaged = ("label_generator", "translator", "reader")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": DEFAULT,
        "small": {**RUN, "method": _NARROW, "optimizer": unequal(label_critic=2e-4, pair_critic=1e-4)},
        "paper": {**STAGE_2, "method": _PUBLISHED},
    }

    def __init__(self, config: DsganConfig, sample: Sample) -> None:
        super().__init__(config, sample)
        self.reader = self.new_reader()

    def turns(self) -> tuple[Turn, ...]:
        """Both critics, then all others at once."""
        taught = ("label_generator", "translator", *(() if self.config.reading == "frozen" else ("reader",)))
        return (
            Turn("label_critic", ("label_critic",), self.label_critic_loss),
            Turn("pair_critic", ("pair_critic",), self.pair_critic_loss),
            Turn("generators", taught, self.generators_loss, times=self.config.generator_steps),
        )

    def source(self, step: Step) -> Tensor:
        """Labels whose images the pair critic is shown, N L H W."""
        if self.config.pairs == "real":
            return self.given(step)
        return self.enlarged(self.made_labels(step, "source"))

    def pair_critic_loss(self, step: Step) -> Mapping[str, Tensor]:
        """Half the loss of real pairs, and half that of labels with what is made of them."""
        with torch.no_grad():
            labels = self.source(step)
            fake = torch.cat([labels, self.translated(step, labels, "pair_critic")], 1)
        real = torch.cat([self.given(step), self.target(step)], 1)
        return self.critic_terms(self.pair_critic, self.config.pair_critic, step, "pair_critic", real, fake)

    def generators_loss(self, step: Step) -> Mapping[str, Tensor | Term]:
        """All terms of eq. 6 that the critics do not lower, and the absolute difference, if it counts."""
        real = self.given(step)
        made = self.translated(step, real, "translator")
        own = self.made_labels(step, "label_generator")
        labels = self.enlarged(own)
        of_own = self.translated(step, labels, "generated")
        pair = torch.cat([real, made] if self.config.pairs == "real" else [labels, of_own], 1)
        believed = self.judged(self.pair_critic(pair), 1.0, self.config.pair_critic.weights)
        return {
            "label_generator": self.believed_labels(own),
            "translator": believed,
            **self.difference(step, made),
            **self.readings(step.batch.images, real, made, labels, of_own),
            **(gradient_share(believed, pair, len(self.config.structures)) if self.config.gradient_shares else {}),
        }

    def readings(
        self, images: Tensor, real: Tensor, made: Tensor, labels: Tensor, of_own: Tensor
    ) -> dict[str, Tensor | Term]:
        """What is lost by reading labels off images, real and made of real labels, and off those of made labels."""
        config = self.config
        if config.reading == "apart":
            made, of_own = made.detach(), of_own.detach()
        terms: dict[str, Tensor | Term] = {}
        if config.reading != "frozen":
            terms["regression"] = config.regression * segmentation_loss(self.reader(images), real)
        terms["cycle"] = config.cycle * segmentation_loss(self.reader(made), real)
        weight = config.cycle * config.generated
        terms["cycle_generated"] = weight * segmentation_loss(self.reader(of_own), labels.detach())
        return terms

    def segment(self, images: Tensor) -> Tensor:
        """images: N C H W in [-1, 1].  Returns the log-odds of each structure at each pixel, N L H W."""
        return self.segmented(self.reader, images)


def gradient_share(loss: Tensor, pair: Tensor, labels: int) -> dict[str, Tensor]:
    """Which part of the mean absolute slope of a loss along a pair N (L + C) H W is along its L labels; to be told."""
    (slope,) = torch.autograd.grad(loss, pair, retain_graph=True)
    of_channels = slope.abs().mean((0, 2, 3))
    return {"gradient_share/labels": (of_channels[:labels].sum() / of_channels.sum()).detach()}
