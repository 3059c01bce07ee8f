"""What the GANs of Osokin et al. share: critics of pairs of channels, what these and the generator lower, and presets.

The first channel of an image, the red one, is in every image; what the others show depends on its class. A method
says what its generator makes, T kinds of images of the same cells, and shows each kind to a critic of its own.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from distgan.codes import Prior
from distgan.losses import cross_entropy, gradient_penalty, wasserstein_critic, wasserstein_generator
from distgan.method import Batch, Method, MethodConfig, Sample, Step, Turn
from distgan.networks.osokin import Critic, Edges, Plain, Towers
from storage.errors import RecipeError

Game = Literal["cross_entropy", "wgan_gp"]


class RedGreenConfig(MethodConfig):
    """noise, width, critic_width: numbers, and feature maps before the last and after the first convolution, for each
    channel that comes out of a generator, or into a critic: 50, 32 and 32 in the paper, so 100, 64 and 64 of two.

    red_portion: the red tower's share of features and noise; without it, as much as any other channel's.
    """

    noise: int = Field(50, ge=1, le=1024)
    width: int = Field(32, ge=2, le=256)
    critic_width: int = Field(32, ge=1, le=256)
    red_portion: float | None = Field(None, gt=0, lt=1)


class PenaltyConfig(RedGreenConfig):
    """penalty: weight of the gradient penalty.  critic_steps: batches per generator step."""

    penalty: float = Field(10.0, ge=0)
    critic_steps: int = Field(5, ge=1, le=100)


class RedGreen(Method):
    """A generator of several kinds of images, and a critic for each kind."""

    networks: ClassVar[tuple[str, ...]] = ("critic", "generator")
    averaged: ClassVar[tuple[str, ...]] = ("generator",)
    least_channels: ClassVar[int] = 2
    batch_norm: ClassVar[bool]
    critic: nn.ModuleList
    generator: Any  # a network of the subclass's choice, with `inputs`

    def __init__(self, config: Any, sample: Sample) -> None:
        super().__init__(config, sample)
        self.channels, *edges = sample.shape
        if len(edges) != 2:
            raise RecipeError(f"{config.name} has networks for flat images", f"{sample.shape}", "Prepare 2-D patches")
        self.size: Edges = (edges[0], edges[1])

    def critics(self, count: int, channels: int) -> nn.ModuleList:
        """So many critics of images of so many channels."""
        width = self.config.critic_width * channels
        return nn.ModuleList(Critic(channels, self.size, width, batch_norm=self.batch_norm) for _ in range(count))

    def plain(self, channels: int) -> Plain:
        """A generator of which every channel sees every feature."""
        return Plain(channels, self.size, self.config.noise * channels, self.config.width * channels)

    def tower(self, channels: int, **others: Any) -> Towers:
        """A generator of which the red tower feeds the green ones.  others: as of `Towers`."""
        noise, width = self.config.noise * channels, self.config.width * channels
        return Towers(channels, self.size, noise, width, red_portion=self.config.red_portion, **others)

    @abstractmethod
    def real(self, step: Step) -> Tensor:
        """The batch as the critics see it, T N C H W."""

    @abstractmethod
    def own(self, step: Step, made: Tensor) -> Tensor:
        """Of what was made, T N C H W, images like those of the set, N C H W."""

    def cells(self, noise: Tensor) -> Tensor:
        """Cells with all that the generator knows of them.  noise: N Z.  Returns N K H W in [-1, 1], red first."""
        made = self.generator(noise)
        return torch.cat([made[0], *made[1:, :, 1:]], 1)

    @property
    def shown(self) -> tuple[str, ...]:
        """Names of the K channels of `cells`: the first, then the others of each class, or as the images have them."""
        red, *others = self.sample.channels or map(str, range(self.channels))
        kinds = self.sample.classes.get(getattr(self.config, "column", ""), ())
        if not kinds:
            return (red, *others)
        return (red, *(kind if len(others) == 1 else f"{kind} {one}" for kind in kinds for one in others))

    def reds(self, codes: Tensor) -> Tensor:
        """The first channel of cells of codes N Z, or of their red numbers alone: N 1 H W in [-1, 1]."""
        return cast("Tensor", self.generator.reds(codes[:, : self.prior.red]))

    @property
    def prior(self) -> Prior:
        """Normal codes, those of the red tower first."""
        return Prior(self.generator.inputs, red=getattr(self.generator, "red_inputs", 0))

    def decoded(self, codes: Tensor, batch: Batch) -> Tensor:
        """Images of codes N Z like those of the set, N C H W, of the batch's classes."""
        return self.own(Step(batch, 0), self.generator(codes))

    def made(self, step: Step, count: int) -> Tensor:
        """So many cells of the step's noise, T N C H W; a critic and the generator learn from the same."""
        return cast("Tensor", self.generator(step.normal("z", count, self.generator.inputs)))

    def preview(self, step: Step) -> Tensor:
        """As many images like those of the set, N C H W."""
        return self.own(step, self.made(step, len(step.batch)))

    def turns(self) -> tuple[Turn, ...]:
        """The critics at every batch, the generator as often as the method says."""
        every = getattr(self.config, "critic_steps", 1)
        return (
            Turn("critic", ("critic",), self.critic_loss),
            Turn("generator", ("generator",), self.generator_loss, every=every),
        )

    def critic_loss(self, step: Step) -> Mapping[str, Tensor]:
        """What each critic lowers, together."""
        real = self.real(step)
        with torch.no_grad():
            fake = self.made(step, real.shape[1])
        mix = step.uniform("mix", *real.shape[:2], 1, 1, 1)
        each = [self.against(*one) for one in zip(self.critic, real, fake, mix, strict=True)]
        return {
            name: torch.stack([terms[name] for terms in each]).mean() * (1 if "/" in name else self.weight)
            for name in each[0]
        }

    def generator_loss(self, step: Step) -> Mapping[str, Tensor]:
        """What the critics make the generator lower, together."""
        made = self.made(step, self.real(step).shape[1])
        each = [self.pleased(critic(images)) for critic, images in zip(self.critic, made, strict=True)]
        return {"generator": torch.stack(each).mean() * self.weight}

    @property
    def weight(self) -> int:
        """By what the mean over critics is multiplied."""
        return 1

    @abstractmethod
    def against(self, critic: nn.Module, real: Tensor, fake: Tensor, mix: Tensor) -> Mapping[str, Tensor]:
        """What one critic lowers, and is told.  real, fake: N C H W.  mix: N 1 1 1 in [0, 1)."""

    @abstractmethod
    def pleased(self, scores: Tensor) -> Tensor:
        """What the generator lowers, by one critic's scores N of what it made."""


class Whole(RedGreen):
    """One generator and one critic of images as they are: of one class, or of all without labels."""

    def __init__(self, config: Any, sample: Sample) -> None:
        super().__init__(config, sample)
        self.critic = self.critics(1, self.channels)
        self.generator = self.tower(self.channels) if config.separable else self.plain(self.channels)

    def real(self, step: Step) -> Tensor:
        """The batch, 1 N C H W."""
        return step.batch.images[None]

    def own(self, step: Step, made: Tensor) -> Tensor:
        """All of it."""
        return made[0]


class CrossEntropyGame(RedGreen):
    """Critics tell real from fake by cross-entropy, and the generator does not saturate (Goodfellow et al. 2014)."""

    batch_norm = True

    def against(self, critic: nn.Module, real: Tensor, fake: Tensor, mix: Tensor) -> Mapping[str, Tensor]:
        """Cross-entropies of real images, that are 1, and of fakes, 0; by themselves, for each has its statistics."""
        real_scores, fake_scores = critic(real), critic(fake)
        return {
            "real": cross_entropy(real_scores, 1.0),
            "fake": cross_entropy(fake_scores, 0.0),
            "accuracy/critic": _accuracy(real_scores, fake_scores),
        }

    def pleased(self, scores: Tensor) -> Tensor:
        """Their cross-entropy as if they were real."""
        return cross_entropy(scores, 1.0)


class WassersteinGame(RedGreen):
    """Critics measure the distance to real images, their slopes held at 1 (Gulrajani et al. 2017)."""

    batch_norm = False

    def against(self, critic: nn.Module, real: Tensor, fake: Tensor, mix: Tensor) -> Mapping[str, Tensor]:
        """Minus the distance, and the penalty."""
        real_scores, fake_scores = critic(torch.cat([real, fake])).split(len(real))
        return {
            "distance": wasserstein_critic(real_scores, fake_scores),
            "penalty": self.config.penalty * gradient_penalty(critic, real, fake, mix),
            "accuracy/critic": _accuracy(real_scores, fake_scores),
        }

    def pleased(self, scores: Tensor) -> Tensor:
        """Minus their mean."""
        return wasserstein_generator(scores)


def _accuracy(real: Tensor, fake: Tensor) -> Tensor:
    return (real > fake).float().mean().detach()


def classes_of(sample: Sample, column: str) -> Sequence[str]:
    """The classes of a column, of each of which there are training samples.  Raises RecipeError: there are none."""
    classes = sample.classes.get(column, ())
    without = [name for name, count in zip(classes, sample.counts.get(column, ()), strict=False) if not count]
    if not classes or without:
        raise RecipeError(
            f"{column!r} has no classes to train on" if not classes else "a class has no training samples",
            "it is a column of numbers" if not classes else f"{column} {', '.join(without)}",
            "Name another method.column, or choose other samples with data.subset and data.split",
        )
    return classes


def drawn_classes(step: Step, column: str, count: int) -> Tensor:
    """Of each image of the batch its class of `count`, N; where the batch does not say, one drawn for each."""
    known = step.batch.columns.get(column)
    uniform = (step.uniform("class", len(step.batch)) * count).long().clamp(max=count - 1)
    return uniform if known is None else known


def published(game: Game, batch: int = 64, **method: Any) -> Mapping[str, Mapping[str, Any]]:
    """The presets of a method.

    paper    as the published code trained for 50,000 steps of the generator: flipped images, and no average
    default  the same with an average
    small    that, a quarter as wide and faster, for two cores
    method, batch: keys of [method], and the batch, of "paper", where they are not the method's own.
    """
    adam: dict[str, Any] = {"lr": 1e-4, "betas": [0.0, 0.9]}
    if game == "cross_entropy":
        adam = {"lr": 2e-4, "betas": [0.5, 0.999]}
    steps = 5 if game == "wgan_gp" else 1
    data = {"augment": {"flip": True}}
    paper = {
        "run": {"batch_size": batch, "images": 50_000 * steps * batch, "seed": 42},
        "method": method,
        "ema": {"half_life_images": 0},
    }
    narrow = {"width": 8, "critic_width": 8}
    fewer = {"critic_steps": 2} if game == "wgan_gp" else {}
    return {
        "default": data | {"optimizer": adam},
        "small": data | {"method": narrow | fewer, "optimizer": adam | {"lr": 3e-4 if fewer else 2e-4}},
        "paper": data | paper | {"optimizer": adam},
    }
