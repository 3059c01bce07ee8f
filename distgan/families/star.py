"""The star of Osokin et al. (section 4.2): a red channel, with the others of every class; and the baseline of one
generator per class.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from distgan.families import red_green
from distgan.families.red_green import Game, RedGreen, RedGreenConfig, classes_of, drawn_classes
from distgan.method import Sample, Step
from distgan.networks.osokin import GreenNoise, Independent
from storage.errors import RecipeError


class StarConfig(RedGreenConfig):
    """column: of the classes; data.strata must name it, too, so that every batch has equally many of each.

    towers: "star" is the model; of the baselines with a generator for each class, those of "separable" have towers
    and those of "plain" none.  green_noise: whether all green towers see the same noise, as in the published code,
    or each its own, as the text says.  over_classes: whether losses are averaged, as in the code, or summed, as in the
    text; with Adam it is nearly the same.
    """

    column: str = "protein"
    towers: Literal["star", "separable", "plain"] = "star"
    green_noise: GreenNoise = "shared"
    over_classes: Literal["mean", "sum"] = "mean"

    @property
    def columns(self) -> tuple[str, ...]:
        """The classes."""
        return (self.column,)

    @property
    def strata(self) -> str:
        """The classes."""
        return self.column


class Star(RedGreen):
    """Of N images of T classes, N / T of each; the generator makes as many cells with the channels of all classes."""

    def __init__(self, config: Any, sample: Sample) -> None:
        super().__init__(config, sample)
        self.classes = len(classes_of(sample, config.column))
        self.critic = self.critics(self.classes, self.channels)
        if config.towers == "star":
            self.generator = self.tower(self.channels, towers=self.classes, green_noise=config.green_noise)
        else:
            one = self.tower if config.towers == "separable" else self.plain
            self.generator = Independent([one(self.channels) for _ in range(self.classes)])

    @property
    def weight(self) -> int:
        """As many as there are classes, where losses are summed."""
        return self.classes if self.config.over_classes == "sum" else 1

    def real(self, step: Step) -> Tensor:
        """The batch class by class, T N / T C H W.

        Raises RecipeError: a shard cannot have equally many of each.
        """
        images, number = step.batch.images, step.batch.columns[self.config.column]
        if len(images) % self.classes:
            raise RecipeError(
                "a shard of the batch cannot have equally many of each class",
                f"{len(images)} images, and {self.classes} values of {self.config.column!r}",
                f"Set run.batch_size to a multiple of run.virtual_shards times {self.classes}",
            )
        order = number.argsort(stable=True).view(self.classes, -1)
        if images.device.type == "cpu":  # to look costs a GPU a stall
            assert (number[order] == torch.arange(self.classes)[:, None]).all(), "batches are stratified"
        return images[order]

    def own(self, step: Step, made: Tensor) -> Tensor:
        """Of each cell the channels of the image's class."""
        number = drawn_classes(step, self.config.column, self.classes)
        return made[number, torch.arange(len(number), device=number.device)]

    def cells(self, noise: Tensor) -> Tensor:
        """Cells with the channels of every class.  noise: N Z.  Returns N 1 + T (C - 1) H W in [-1, 1], red first.

        Raises RecipeError: the classes have generators of their own, so their reds differ.
        """
        if self.config.towers != "star":
            raise RecipeError(
                "these generators have no red channel in common",
                f"method.towers = {self.config.towers!r}",
                'Train with method.towers = "star"',
            )
        return super().cells(noise)


def published(game: Game) -> Mapping[str, Mapping[str, Any]]:
    """The presets of a star, as of `red_green.published`: 64 images of each of six proteins in "paper"."""
    strata = {"data": {"strata": "protein"}}
    return {name: strata | dict(tables) for name, tables in red_green.published(game, 6 * 64).items()}
