"""A plane of tissue of any size, made in tiles that know of each other only by position: no seams, little memory.

Each tile is made in a larger window and cut out of it. Noise is a function of the seed and of its place in the plane,
normalisation is that of a population, and the margin is as wide as what is beyond it can matter. So the plane is the
same whatever the tiles are, but for rounding, and has no border: it is cut out of an endless one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import gcd
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from distgan.evaluations.labels import made_of
from distgan.families.tissue import Labelling
from distgan.families.tissue_translation import TranslationGan
from distgan.inference.population import Population
from distgan.method import Batch, Method, Step
from distgan.model import Model
from storage.errors import RecipeError

TILE = 512
"""Edge of a tile in pixels, at least."""
BLOCK = 16
"""Edge of what is drawn at a time of a noise image."""
FARTHEST = 32
"""Units that can matter to a tile, at most."""
POPULATION, SHARD = 64, 8
"""Images of which the statistics of normalisation are, and how many are made at a time."""
Labels = Callable[[slice, slice], dict[str, NDArray[Any]]]
"""Label images H W of a window of a plane, by name; the window may reach beyond it."""


@dataclass(frozen=True)
class PlacedStep(Step):
    """A step of one window, whose noise images are pieces of endless ones.

    corner: row and column of the window's first pixel; multiples of a pixel of each noise image.
    """

    corner: tuple[int, int] = (0, 0)

    def normal(self, name: str, *shape: int) -> Tensor:
        """Standard normal noise 1 Z h w, of its place."""
        return self._placed(super().normal, name, shape)

    def uniform(self, name: str, *shape: int) -> Tensor:
        """Uniform noise in [0, 1), 1 Z h w, of its place."""
        return self._placed(super().uniform, name, shape)

    def _placed(self, draw: Callable[..., Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
        _, channels, *size = shape
        edges = self.batch.images.shape[2:]
        first = [at * short // edge for at, short, edge in zip(self.corner, size, edges, strict=True)]
        blocks = [range(low // BLOCK, -(-(low + short) // BLOCK)) for low, short in zip(first, size, strict=True)]
        lines = [
            torch.cat([draw(f"{name} at {row} {column}", channels, BLOCK, BLOCK) for column in blocks[1]], 2)
            for row in blocks[0]
        ]
        (top, left), (height, width) = (low % BLOCK for low in first), size
        return torch.cat(lines, 1)[None, :, top : top + height, left : left + width]


@dataclass(frozen=True)
class Tile:
    """A piece of a plane.  images: C H W in [-1, 1], or None.  labels: L H W in [-1, 1]."""

    rows: slice
    columns: slice
    images: Tensor | None
    labels: Tensor


class Plane:
    """Tissue by one model, as large as one likes.

    given: where labels come from; without it the model makes its own.  extent: height and width of what is given.
    Raises RecipeError: it makes no labels, or cannot make more than one size.
    """

    def __init__(self, model: Model, seed: int, given: Labels | None = None, extent: tuple[int, int] = (0, 0)) -> None:
        self._sample, self._seed, self._given = model.method.sample, seed, given
        if len(self._sample.shape) != 3:
            shape = f"samples C D H W = {self._sample.shape}"
            raise RecipeError("tissue is made in planes", shape, "Take a model of images")
        steps = (self._batch(shard, extent) for shard in range(POPULATION // SHARD))
        self._population = Population(model.method, self._make, steps)

    @torch.no_grad()
    def tiles(self, height: int, width: int) -> Iterator[Tile]:
        """The tiles of a plane, line by line; only one is in memory."""
        tall, wide = self.tile(height, width)
        margin = self.margin
        for top, left in product(range(0, height, tall), range(0, width, wide)):
            made = self.window(top - margin, left - margin, tall + 2 * margin, wide + 2 * margin)
            rows, columns = slice(top, min(top + tall, height)), slice(left, min(left + wide, width))
            inside = (..., slice(margin, margin + rows.stop - top), slice(margin, margin + columns.stop - left))
            images, labels = (None if one is None else one[0][inside] for one in made)
            assert labels is not None
            yield Tile(rows, columns, images, labels)

    def tile(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the tiles of a plane; the last of a line are cut."""
        return self.unit * -(-min(TILE, height) // self.unit), self.unit * -(-min(TILE, width) // self.unit)

    @torch.no_grad()
    def window(self, top: int, left: int, height: int, width: int) -> tuple[Tensor | None, Tensor]:
        """Images 1 C H W, if it makes any, and labels 1 L H W, of a window; right from `margin` inside its border.

        All four are multiples of `unit`.
        """
        method = self._population.method
        method.sample = replace(self._sample, shape=(self._sample.shape[0], height, width))
        rows, columns = slice(top, top + height), slice(left, left + width)
        given = self._given(rows, columns) if self._given else {}
        labels = {name: _integers(one[None]) for name, one in given.items()}
        batch = Batch(torch.zeros(1, *method.sample.shape), labels=labels)
        self._population.begin()
        return self._make(method, PlacedStep(batch, 0, seed=self._seed, corner=(top, left)))

    @cached_property
    def unit(self) -> int:
        """The fewest pixels by which a window may be moved, or be larger: all networks' strides divide it."""
        unit = gcd(*self._sample.shape[1:])
        while unit % 2 == 0 and self._fits(unit // 2):
            unit //= 2
        return unit

    def _fits(self, edge: int) -> bool:
        try:
            self.window(0, 0, edge, edge)
        except RecipeError:
            return False
        return True

    @cached_property
    def margin(self) -> int:
        """Pixels beyond a tile that can matter to it: as far as NaN gets from one unit of what networks are told."""
        units = 1
        while units <= FARTHEST:
            with self._disturbed(units):
                made = self.window(0, 0, (2 * units + 1) * self.unit, self.unit)
            reached = sum(one.isnan().any((0, 1, 3)) for one in made if one is not None)
            lines = torch.as_tensor(reached).view(-1, self.unit).any(1)
            if not lines[0] and not lines[-1]:
                return self.unit * (int(lines.sum()) // 2)
            units *= 2
        raise RecipeError(
            "what the model makes of a place depends on the whole image",
            f"on what is {FARTHEST * self.unit} pixels away, and more",
            "Take a model whose networks are fully convolutional",
        )

    @contextmanager
    def _disturbed(self, units: int) -> Iterator[None]:
        """The unit in the middle of whatever a network is told, of `units` above and below it, is NaN."""

        def disturb(_: nn.Module, told: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(_nan_in_the_middle(one, units) if isinstance(one, Tensor) else one for one in told)

        method = self._population.method
        hooks = [method.network(name).register_forward_pre_hook(disturb) for name in method.networks]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _make(self, method: Method, step: Step) -> tuple[Tensor | None, Tensor]:
        if self._given and isinstance(method, TranslationGan) and not isinstance(method, Labelling):
            labels = method.source(step)
            return method.translated(step, labels, "preview"), labels
        return made_of(method, step)

    def _batch(self, shard: int, extent: tuple[int, int]) -> Step:
        """Some images of the size that was trained on, of labels from anywhere in what is given."""
        height, width = self._sample.shape[1:]
        labels: dict[str, Tensor] = {}
        if self._given:
            random = np.random.Generator(np.random.Philox(key=[self._seed, shard]))
            tops, lefts = (
                random.integers(max(1, one - edge + 1), size=SHARD)
                for one, edge in zip(extent, (height, width), strict=True)
            )
            pieces = [self._given(slice(y, y + height), slice(x, x + width)) for y, x in zip(tops, lefts, strict=True)]
            labels = {name: _integers(np.stack([one[name] for one in pieces])) for name in pieces[0]}
        return Step(Batch(torch.zeros(SHARD, *self._sample.shape), labels=labels), 0, shard, seed=self._seed)


def _integers(labels: NDArray[Any]) -> Tensor:
    return torch.from_numpy(labels.astype(np.int64))


def _nan_in_the_middle(told: Tensor, units: int) -> Tensor:
    """told: N C H W."""
    unit = told.shape[2] // (2 * units + 1)
    told = told.clone()
    told[:, :, units * unit : (units + 1) * unit] = torch.nan
    return told
