"""The classifier two-sample test by a critic (Osokin et al., section 5.1, after Lopez-Paz and Oquab 2017).

The real images are split in two; a fresh critic learns on one part to tell them from made ones, and what it says of
the other part and of other made ones is the score: minus what a critic lowers, so that 0 or less is "cannot be told".

    wgan_gp         the distance minus ten times the penalty (Gulrajani et al. 2017): it may be negative
    wgan            the distance, by a critic of weights within 0.01 (Arjovsky et al. 2017)
    cross_entropy   minus the sum of both cross-entropies: -1.39 for a critic that knows nothing, less for one that
                    learned its examples by heart

`auc` beside it is in what share of pairs the real image is scored higher: 0.5 is chance for every critic.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distgan.losses import cross_entropy, gradient_penalty, wasserstein_critic
from distgan.networks.osokin import Critic
from storage.errors import DataError
from storage.split import held_out

Kind = Literal["wgan_gp", "wgan", "cross_entropy"]
Made = Callable[[int, int], Tensor]
"""(count, number) -> so many made images N C H W in [-1, 1]: always the same of the same number."""
FEWEST = 4
"""Real images in each part."""
PENALTY, CLIP = 10.0, 0.01


@dataclass(frozen=True)
class Test:
    """How it is done; the published numbers are 5,000 steps at 64 feature maps of two channels.

    width: feature maps of the critic's first convolution for each channel.  rate: of learning; None is that of the
    published code, which wants thousands of steps.  splits: of the real images, and in each
    `repeats` critics.  passes: over the held-out half, each with other made images and flips.  flips: whether images
    are mirrored at random along both axes, in training and after.
    """

    kind: Kind = "wgan_gp"
    steps: int = 5_000
    width: int = 32
    rate: float | None = None
    batch: int = 64
    splits: int = 10
    repeats: int = 1
    passes: int = 5
    flips: bool = True
    seed: int = 0

    __test__ = False  # pytest, this is not one of yours


@dataclass(frozen=True)
class Scores:
    """One value for every split and repeat, splits x repeats."""

    values: NDArray[np.float64]
    aucs: NDArray[np.float64]

    def summary(self) -> dict[str, float]:
        """The paper's median and median absolute deviation (unscaled), and its notebooks' mean and sd (n - 1)."""
        values = self.values.ravel()
        median = float(np.median(values))
        return {
            "median": median,
            "mad": float(np.median(np.abs(values - median))),
            "mean": float(values.mean()),
            "sd": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
            "auc": float(np.median(self.aucs)),
        }


def two_sample(real: Tensor, made: Made, test: Test, groups: Sequence[object] | None = None) -> Scores:
    """How well critics tell real images from made ones.

    real: N C H W in [-1, 1].  groups: of each of them; a group (a field, a plate) is in one part only.
    Raises DataError: there are too few real images.
    """
    of = np.arange(len(real)) if groups is None else np.asarray(list(groups), np.str_)
    found = np.empty((test.splits, test.repeats, 2))
    for split in range(test.splits):
        learned = _half(of, test.seed + split)
        halves = real[torch.from_numpy(~learned)], real[torch.from_numpy(learned)]
        for repeat in range(test.repeats):
            found[split, repeat] = _once(*halves, made, test, split * test.repeats + repeat)
    return Scores(found[..., 0], found[..., 1])


def matrix(
    made: Mapping[str, Tensor], real: Mapping[str, Tensor], test: Test, groups: Mapping[str, Sequence[object]] | None
) -> dict[tuple[str, str], Scores]:
    """Real images of classes against each other: the paper's table 1.

    made, real: training and test images by class, N C H W.  groups: of the test images.
    Returns the scores by (class of the test images, class of the training images).
    """
    return {
        (row, column): two_sample(images, drawn_from(others), test, groups[row] if groups else None)
        for row, images in real.items()
        for column, others in made.items()
    }


def drawn_from(images: Tensor) -> Made:
    """Images of a set, drawn with replacement: of one half for even numbers, and of the other for odd ones.

    images: N C H W, at least two.
    """

    def draw(count: int, number: int) -> Tensor:
        half = images[number % 2 :: 2]
        return half[torch.randint(len(half), (count,), generator=_generator(number))]

    return draw


def _half(groups: NDArray[np.generic], seed: int) -> NDArray[np.bool_]:
    """True for the samples on which the critic learns: those of half of the groups."""
    if len(np.unique(groups)) > 1:
        out = held_out(groups.tolist(), 0.5, seed)
        if FEWEST <= out.sum() <= len(out) - FEWEST:
            return out
    raise DataError(
        "there are too few real images to be split in two",
        f"{len(groups)} images in {len(np.unique(groups))} groups; {FEWEST} are needed on each side",
        "Hold out more groups, or split by a finer column",
    )


def _once(learned: Tensor, tested: Tensor, made: Made, test: Test, number: int) -> tuple[float, float]:
    """Score and AUC by one critic.  number: of the critic; all it sees by chance depends on it."""
    random = _generator(test.seed * 1_000_003 + number)
    channels, height, width = learned.shape[1:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(test.seed * 1_000_003 + number)
        critic = Critic(channels, (height, width), test.width * channels, batch_norm=test.kind != "wgan_gp")
    critic = critic.to(learned.device).train()
    first = 2 * number * (test.steps + test.passes * len(tested))  # even numbers are learned, odd ones are tested
    optimizer = _optimizer(critic, test)
    for step in range(test.steps):
        rows = torch.randint(len(learned), (test.batch,), generator=random)
        fake = _flipped(made(test.batch, first + 2 * step), test, random)
        loss = _loss(critic, _flipped(learned[rows], test, random), fake, test.kind, random)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if test.kind == "wgan":
            _clip(critic)
    critic.eval()
    passes = [_pass(critic, tested, made, test, first + 1 + 2 * of * len(tested), random) for of in range(test.passes)]
    value, auc = np.mean(passes, axis=0)
    return float(value), float(auc)


def _pass(
    critic: Critic, tested: Tensor, made: Made, test: Test, number: int, random: torch.Generator
) -> tuple[float, float]:
    """Score and AUC over the images tested, each of them once and with equal weight."""
    loss, scores = 0.0, []
    for start in range(0, len(tested), test.batch):
        real = _flipped(tested[start : start + test.batch], test, random)
        fake = _flipped(made(len(real), number + 2 * start), test, random)
        loss += len(real) / len(tested) * float(_loss(critic, real, fake, test.kind, random).detach())
        with torch.no_grad():
            scores.append(torch.stack([critic(real), critic(fake)]))
    real_scores, fake_scores = torch.cat(scores, 1)
    pairs = real_scores[:, None] - fake_scores
    return -loss, float(((pairs > 0).double() + 0.5 * (pairs == 0).double()).mean())


def _loss(critic: Critic, real: Tensor, fake: Tensor, kind: Kind, random: torch.Generator) -> Tensor:
    """What the critic lowers."""
    if kind == "cross_entropy":
        return cross_entropy(critic(real), 1.0) + cross_entropy(critic(fake), 0.0)
    distance = wasserstein_critic(critic(real), critic(fake))
    if kind == "wgan":
        return distance
    mix = torch.rand(len(real), 1, 1, 1, generator=random).to(real.device)
    return distance + PENALTY * gradient_penalty(critic, real, fake, mix)


def _optimizer(critic: Critic, test: Test) -> torch.optim.Optimizer:
    """As the published code trains critics of that kind."""
    if test.kind == "wgan":
        return torch.optim.RMSprop(critic.parameters(), test.rate or 5e-5)
    rate, betas = (1e-4, (0.0, 0.9)) if test.kind == "wgan_gp" else (2e-4, (0.5, 0.999))
    return torch.optim.Adam(critic.parameters(), test.rate or rate, betas=betas, fused=True)


@torch.no_grad()
def _clip(critic: Critic) -> None:
    for parameter in critic.parameters():
        parameter.clamp_(-CLIP, CLIP)


def _flipped(images: Tensor, test: Test, random: torch.Generator) -> Tensor:
    """Mirrored along y, x, both or neither."""
    if not test.flips:
        return images
    for axis in (-2, -1):
        chosen = torch.rand(len(images), 1, 1, 1, generator=random).to(images.device) < 0.5
        images = torch.where(chosen, images.flip(axis), images)
    return images


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def of_channels(made: Made, channels: Sequence[int]) -> Made:
    """The same with some of their channels alone: the red one by itself is the baseline of every other score."""
    return lambda count, number: made(count, number)[:, list(channels)]
