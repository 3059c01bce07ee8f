"""From images back to codes: which code would a generator make this image of?

    encoder    of the method, or one that is trained here on pairs of codes and what is made of them (Luo et al. 2017)
    descent    from its code, and from codes that are drawn, the squared error is lowered by L-BFGS, each image and each
               start by itself (Zhu et al. 2016; Creswell and Bharath 2018); the best start is kept
    separable  first the red codes by the red channel, then the others by the others, red held (Osokin et al. 2017,
               section 4.5): can a cell of this shape have this protein there?

A code depends on the image, its row, the model, the search and the seed, and not on which others are sought with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distgan.codes import Decoding, Encoding, Prior, RedFirst, repeated
from distgan.families.cells import CellMethod
from distgan.inference.lbfgs import minimise
from distgan.method import Batch, Step
from distgan.model import Model
from distgan.networks.inverse import Inverse
from storage.datasets import Progress
from storage.errors import RecipeError

PAIRS = 64
"""Of a step of the encoder's training."""
RATE = 1e-3
Encoder = Callable[[Batch], Tensor]


@dataclass(frozen=True)
class Search:
    """How codes are looked for.

    starts: codes of the prior to begin from, beside the encoder's.  evaluations: of the generator and its slope, from
    each start; 0 leaves the encoder's code as it is.  encoder: steps in which one is trained, where the method has
    none; 0 trains none.  red_first: see above.
    """

    starts: int = 3
    evaluations: int = 200
    encoder: int = 1000
    red_first: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises RecipeError: a number is below 0."""
        if min(self.starts, self.evaluations, self.encoder, self.seed) < 0:
            raise RecipeError("codes cannot be sought so", f"{self}", "Give no number below 0")

    def dump(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Codes:
    """Of N images: the best codes N Z and their errors N; the encoder's codes, or none, and their errors, or NaN."""

    codes: Tensor
    errors: Tensor
    encoded: Tensor | None
    encoded_errors: Tensor


class Inverter:
    """Codes of images, of one model."""

    def __init__(
        self, model: Model, search: Search, some: Batch, progress: Progress = lambda done, total: None
    ) -> None:
        """some: samples of which a conditional method takes what it is told while an encoder is trained.

        progress: of that training, in steps.
        Raises RecipeError: the model makes no images of codes, or none could be looked for so.
        """
        self.method, self.search = decoding(model), search
        self.prior = self.method.prior
        self.channels = list(self.method.made) if isinstance(self.method, CellMethod) else slice(None)
        self.encoder: Encoder | None = None
        if search.red_first and not (self.prior and self.prior.red):
            raise RecipeError(
                f"{model.config.method.name} has no red codes",
                "all numbers of a code decide all channels",
                "Leave --red-first out, or take a model of a separable generator",
            )
        if isinstance(self.method, Encoding):
            self.encoder = self.method.codes
        elif search.encoder and self.prior:
            pair, shape = pairs_of(self.method, self.prior, some), tuple(some.images.shape[1:])
            trained = train_encoder(pair, self.prior.size, shape, search, progress)
            self.encoder = lambda batch: trained(batch.images)
        if self.encoder is None and not (search.evaluations and search.starts and self.prior):
            raise RecipeError(
                "there is nothing to find codes by",
                f"{model.config.method.name} has no encoder, and none is to be trained",
                "Raise --encoder, or --starts and --evaluations",
            )

    def error(self, images: Tensor, made: Tensor) -> Tensor:
        """Root of the mean squared difference, black 0 and white 1, of the channels that are made: N."""
        return 0.5 * (images - made)[:, self.channels].flatten(1).square().mean(1).sqrt()

    def sizes(self, one: Batch) -> dict[str, int]:
        """Of what is found of an image, by name.  one: some image."""
        size = self(one, [0]).codes.shape[1] if self.prior is None else self.prior.size
        encoded = {"encoded": size, "encoded_errors": 1} if self.encoder else {}
        return {"codes": size, "errors": 1} | encoded

    @torch.no_grad()
    def __call__(self, batch: Batch, rows: list[int]) -> Codes:
        """The codes of images.  rows: their names, by which starts are drawn."""
        encoded = None if self.encoder is None else self._inside(self.encoder(batch))
        starts = [] if encoded is None else [encoded]
        if self.prior is not None and self.search.evaluations:
            starts += list(torch.stack([self._drawn(row) for row in rows], 1))
        codes = torch.stack(starts, 1)
        told = repeated(batch, codes.shape[1])
        tried = codes.flatten(0, 1)
        if self.search.evaluations:
            tried = self._inside(self._lowered(tried, told))
        errors = self.error(told.images, self.method.decoded(tried, told)).unflatten(0, codes.shape[:2])
        first = torch.full((len(rows),), torch.nan)
        if encoded is not None:
            first = self.error(batch.images, self.method.decoded(encoded, batch))
        best, which = errors.argmin(1), torch.arange(len(rows))
        return Codes(tried.unflatten(0, codes.shape[:2])[which, best], errors[which, best], encoded, first)

    def _drawn(self, row: int) -> Tensor:
        assert self.prior is not None
        step = Step(Batch(torch.zeros(1)), 0, row, seed=self.search.seed)
        return self.prior.drawn(step, "start", self.search.starts)

    def _inside(self, codes: Tensor) -> Tensor:
        return codes if self.prior is None else self.prior.inside(codes)

    def _lowered(self, codes: Tensor, told: Batch) -> Tensor:
        red = self.prior.red if self.prior and self.search.red_first else 0
        if not red:
            return lowered(
                lambda free: self.method.decoded(self._inside(free), told)[:, self.channels],
                told.images[:, self.channels],
                codes,
                self.search.evaluations,
            )
        assert isinstance(self.method, RedFirst), "only such have red codes"
        half = self.search.evaluations // 2
        shape = lowered(self.method.reds, told.images[:, :1], codes[:, :red], half)

        def others(free: Tensor) -> Tensor:
            return self.method.decoded(torch.cat([shape, free], 1), told)[:, 1:]

        return torch.cat([shape, lowered(others, told.images[:, 1:], codes[:, red:], half)], 1)


def lowered(made: Callable[[Tensor], Tensor], wanted: Tensor, start: Tensor, evaluations: int) -> Tensor:
    """Numbers N Z that lower the squared error of what is made of them to images N C ..., each of its own.

    start: N Z, where they begin.
    """

    def squares(numbers: Tensor) -> Tensor:
        return 0.25 * (made(numbers) - wanted).flatten(1).square().sum(1)

    return minimise(squares, start, evaluations).points


def decoding(model: Model) -> Decoding:
    """The method of a model that makes images of codes.  Raises RecipeError: it makes none."""
    if isinstance(model.method, Decoding):
        return model.method
    raise RecipeError(
        f"{model.config.method.name} makes no images of codes",
        "it has no latent space that can be walked",
        "Take a generator or an autoencoder of cells or patches: docs/latent.md lists them",
    )


def train_encoder(
    pair: Callable[[Step], tuple[Tensor, Tensor]], size: int, shape: Sequence[int], search: Search, progress: Progress
) -> nn.Module:
    """An encoder that finds the codes of what is made of them: E |E(G(z)) - z|^2 is lowered, G held.

    pair: PAIRS codes, N size, and the images N C H W that are made of them, by the noise of a step.  shape: C H W.
    Raises RecipeError: the images are not flat.
    """
    if len(shape) != 3 or min(shape[1:]) < 8:
        raise RecipeError(
            "no encoder can be trained for these images", f"C H W would be {tuple(shape)}", "Leave it out: --encoder 0"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(search.seed)
        encoder = Inverse(tuple(shape), size)
    optimizer = torch.optim.Adam(encoder.parameters(), RATE)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, search.encoder)
    nothing = Batch(torch.zeros(1))
    for number in range(search.encoder):
        with torch.no_grad():
            codes, images = pair(Step(nothing, number, seed=search.seed))
        with torch.enable_grad():
            loss = F.mse_loss(encoder(images), codes)
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()
        slower.step()
        progress(number + 1, search.encoder)
    return encoder.eval().requires_grad_(requires_grad=False)


def pairs_of(method: Decoding, prior: Prior, some: Batch) -> Callable[[Step], tuple[Tensor, Tensor]]:
    """Codes of the prior, and what a method makes of them, told of samples what `some` has."""

    def pair(step: Step) -> tuple[Tensor, Tensor]:
        chosen = (step.uniform("told", PAIRS) * len(some)).long()
        codes = prior.drawn(step, "pairs", PAIRS)
        return codes, method.decoded(codes, some.part(chosen))

    return pair
