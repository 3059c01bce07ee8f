"""The engine, part by part, in one process: `make bench`. Speeds are printed, and only equality is asserted."""

import copy
import itertools
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from distgan.config.run_config import AnyRun, config_from_tables
from distgan.config.sections import Augment
from distgan.data.augment import augmented
from distgan.data.batches import Feed
from distgan.engine.checkpoint import Checkpoints
from distgan.engine.distributed import Group
from distgan.engine.trainer import Trainer
from distgan.losses import wasserstein_critic
from distgan.method import Method, Sample, Step, build
from distgan.methods.wgan_gp import WganGp

pytestmark = pytest.mark.benchmark
CPU = torch.device("cpu")
BATCH = 64
MINUTE = 60.0
Picture = NDArray[np.float32]


def _padded_shift(image: Picture, random: np.random.Generator) -> Picture:
    y, x = random.integers(0, 9, 2)
    return np.pad(image, ((0, 0), (4, 4), (4, 4)), "reflect")[:, y:, x:][:, : image.shape[1], : image.shape[2]]


def _noisy(image: Picture, random: np.random.Generator) -> Picture:
    deviation = 0.05 * random.random() * np.sqrt(1 + 0.5 * (image + 1))
    return (image + 2 * deviation * random.standard_normal(image.shape, np.float32)).clip(-1, 1)


AUGMENTATIONS: dict[str, tuple[Augment, Callable[[Picture, np.random.Generator], Picture]]] = {
    "mirrored and turned": (
        Augment(flip=True, quarter_turns=True),
        lambda image, random: np.rot90(image[:, :: random.choice([-1, 1])], random.integers(4), (1, 2)),
    ),
    "shifted by whole pixels": (Augment(shift_px=4), _padded_shift),
    "shifted by parts of pixels": (
        Augment(shift_px=4, subpixel=True),
        lambda image, random: ndimage.shift(image, (0, *random.uniform(-4, 4, 2)), order=1, mode="mirror"),
    ),
    "blurred by up to 1 pixel": (
        Augment(blur_px=1),
        lambda image, random: ndimage.gaussian_filter(image, (0, *[random.random()] * 2), mode="mirror", truncate=3),
    ),
    "gain, offset and gamma": (
        Augment(gain=0.2, offset=0.1, gamma=0.5),
        lambda image, random: (
            (image / 2 + 0.5) ** np.float32(random.uniform(0.7, 1.4)) * random.uniform(0.8, 1.2) * 2 - 1
        ).clip(-1, 1),
    ),
    "read and shot noise": (Augment(noise=0.05, shot_noise=0.05), _noisy),
}
"""And what one would write for one image of a data loader."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class WithoutPenalty(WganGp):
    """What the penalty costs is the difference to this."""

    def critic_loss(self, step: Step) -> Mapping[str, Tensor]:
        with torch.no_grad():
            fake = self.generator(self._noise(step))
        return {"distance": wasserstein_critic(*self._scores(step.batch.images, fake))}


def trainer(kind: type[Method] = WganGp, run: Mapping[str, Any] = MappingProxyType({}), **method: Any) -> Trainer:
    """On random pictures, preset `corrected`; of a narrow generator if nothing is said."""
    tables = {
        "run": {"name": "bench", "images": 10**9, "batch_size": BATCH, **run},
        "data": {"store": "none"},
        "method": {"name": "wgan_gp", "preset": "corrected", "width": 8} | method,
        "evaluate": {"every_images": 10**9},
        "checkpoint": {"every_images": 10**9},
    }
    config: AnyRun = config_from_tables(tables, "the benchmark")
    images = np.random.default_rng(0).integers(0, 256, (1000, 1, 32, 32), np.uint8)
    store: Any = SimpleNamespace(read=lambda rows: images[rows], value_range=(0.0, 255.0))
    return Trainer(
        config, build(kind, config.method, Sample((1, 32, 32)), 0), Feed(store, np.arange(1000), 0, CPU), Group()
    )


class NaiveLoop:
    """The same mathematics as most people write it: Gulrajani's algorithm 1, as in the well-known tutorials.

    Real and fake go through the critic one after the other, the graph of the fake is built and thrown away, the
    generator's step computes the critic's gradients too, and everything is one tensor at a time. It begins with
    the same weights, and sees the same images and noise.
    """

    def __init__(self, like: Trainer) -> None:
        self.config, self.feed = like.config, like.feed
        self.critic = copy.deepcopy(like.method.network("critic"))
        self.generator = copy.deepcopy(like.method.network("generator"))
        self.average = copy.deepcopy(self.generator)
        rates = like.config.optimizer
        self.adams = {
            name: torch.optim.Adam(
                [p for p in network.parameters() if p.requires_grad], rates[name].lr, betas=rates[name].betas
            )
            for name, network in (("critic", self.critic), ("generator", self.generator))
        }
        self.steps = 0

    def step(self) -> None:
        method, seen = self.config.method, self.steps * BATCH
        real = self.feed.batch(seen, BATCH).images
        draws = Step(SimpleNamespace(images=real), seen, seed=self.config.run.seed)  # type: ignore[arg-type]
        z, mix = draws.normal("z", BATCH, method.noise), draws.uniform("mix", BATCH, 1, 1, 1)
        fake = self.generator(z).detach()
        between = (mix * real + (1 - mix) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        penalty = ((slope.flatten(1).square().sum(1) + 1e-10).sqrt() - 1).square().mean()
        loss = self.critic(fake).mean() - self.critic(real).mean() + method.penalty * penalty
        self.adams["critic"].zero_grad()
        loss.backward()
        self.adams["critic"].step()
        self.steps += 1
        if self.steps % method.critic_steps == 0:
            loss = -self.critic(self.generator(z)).mean()
            self.adams["generator"].zero_grad()
            loss.backward()
            self.adams["generator"].step()
        images = self.steps * BATCH
        keep = 0.5 ** (BATCH / min(self.config.ema.half_life_images, max(images // 10, 1)))
        now = self.generator.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.mul_(keep).add_(now[name], alpha=1 - keep)


def first_gradients(network: nn.Module, adam: torch.optim.Optimizer) -> Tensor:
    """After one step with beta 0 the mean of Adam is the gradient."""
    return torch.cat([adam.state[p]["exp_avg"].flatten() for p in network.parameters() if p.requires_grad])


def weights(*networks: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for network in networks for p in network.parameters()])


def apart(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


def steps(of: Trainer | NaiveLoop, count: int) -> Callable[[], None]:
    def take() -> None:
        for _ in range(count):
            of.step()

    return take


@pytest.mark.parametrize(
    ("how", "goal"), [({}, 1.15), ({"memory_format": "channels_last"}, None), ({"compile": "default"}, 1.15)]
)
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's compiler warns of what it does itself
def test_an_iteration_against_a_naive_loop_of_equal_mathematics(
    how: Mapping[str, str], goal: float | None, bench: Any
) -> None:
    ours = trainer(run=how, critic_steps=1)
    theirs = NaiveLoop(ours)
    ours.step()
    theirs.step()
    gradients = {
        name: apart(
            first_gradients(ours.method.network(name), ours.optimizers[name]),
            first_gradients(getattr(theirs, name), theirs.adams[name]),
        )
        for name in ("critic", "generator")
    }
    assert max(gradients.values()) < 1e-5, gradients

    ours = trainer(run=how)
    theirs = NaiveLoop(ours)
    steps(ours, 20)()
    steps(theirs, 20)()
    moved = {
        "critic": apart(weights(ours.method.network("critic")), weights(theirs.critic)),
        "generator": apart(weights(ours.method.network("generator")), weights(theirs.generator)),
        "average": apart(weights(ours.average.network("generator")), weights(theirs.average)),
    }
    assert max(moved.values()) < 1e-4, moved

    what = f"WGAN-GP, `corrected`, generator 8 wide, batch 64{_told(how)}: trainer / naive loop of equal mathematics"
    note = f"gradients apart by {max(gradients.values()):.1g}, weights after 20 steps by {max(moved.values()):.1g}"
    bench.race(what, goal, steps(ours, 10), steps(theirs, 10), rounds=5, samples=10 * BATCH, by="cpu", note=note)


def _told(how: Mapping[str, str]) -> str:
    return "".join(f", {key} = {value}" for key, value in how.items())


@pytest.mark.parametrize("kind", ["wgan_gp", "r1"])
@pytest.mark.parametrize("how", [{}, {"compile": "default"}])
@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_a_lazy_penalty_against_a_naive_loop_that_always_pays(how: Mapping[str, str], kind: str, bench: Any) -> None:
    ours = trainer(run=how, penalty_every=4, penalty_kind=kind)
    theirs = NaiveLoop(ours)
    steps(ours, 8)()  # with and without
    steps(theirs, 8)()
    what = f"the same, penalty {kind} at every 4th batch{_told(how)} / naive loop with WGAN-GP's at every batch"
    bench.race(what, 1.45, steps(ours, 20), steps(theirs, 20), rounds=5, samples=20 * BATCH, by="cpu")


def test_the_price_of_the_penalty(bench: Any) -> None:
    ours, theirs = trainer(), trainer(WithoutPenalty)
    steps(ours, 5)()
    steps(theirs, 5)()
    what = "the same with the penalty / without"
    bench.race(what, None, steps(ours, 10), steps(theirs, 10), samples=10 * BATCH)


def test_how_long_a_checkpoint_halts_training(tmp_path: Path, bench: Any) -> None:
    """Once a minute, saved while training waits."""
    ours = trainer(width=32, critic_steps=1)
    ours.step()  # now the optimizers have their memories
    checkpoints = Checkpoints(tmp_path, 2)
    numbers, shares, size = itertools.count(1), [], 0
    for _ in range(4):
        began = time.perf_counter()
        state = ours.collect()
        checkpoints.save(state, ours.counters() | {"images_seen": next(numbers)})
        shares.append((time.perf_counter() - began) / MINUTE)
        size = sum(value.nbytes for value in state.values())
    parameters = ", ".join(
        f"{sum(p.numel() for p in ours.method.parameters_of((name,))):,} of the {name}" for name in ours.method.networks
    )
    told = f"{statistics.median(shares) * MINUTE:.2f} s for {size / 1e6:.0f} MB ({parameters} parameters)"
    bench.row("a checkpoint saved while training waits / a minute", shares, "at most 0.035", told)


@pytest.mark.parametrize("shards", [2, 8])
@pytest.mark.parametrize("width", [5, 32])
def test_exact_against_fast_on_two_workers(width: int, shards: int, bench: Any) -> None:
    script = Path(__file__).with_name("two_workers.py")
    command = [sys.executable, str(script), str(width), str(shards)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
    parameters, *pairs = re.findall(r"[\d.]+", printed)
    exact, fast = [float(found) for found in pairs[::2]], [float(found) for found in pairs[1::2]]
    what = f"2 workers, {shards} virtual shards, generator of {int(parameters):,}: exact / fast"
    told = f"{statistics.median(exact):.3f} and {statistics.median(fast):.3f} s a step of batch {BATCH}"
    bench.row(what, [b / a for a, b in zip(exact, fast, strict=True)], "0.85 or more", told)


@pytest.mark.parametrize("shape", [(BATCH, 1, 32, 32), (8, 3, 256, 256)])
def test_how_fast_images_are_augmented(shape: tuple[int, ...], bench: Any) -> None:
    images = 2 * torch.rand(shape) - 1
    single, random = images.numpy(), np.random.default_rng(0)
    repeats = 1 if shape[-1] > 100 else 10
    for name, (augment, of_one) in AUGMENTATIONS.items():

        def ours(augment: Augment = augment) -> None:
            for number in range(repeats):
                augmented(images, augment, 0, number * len(images))

        def theirs(of_one: Callable[[Picture, np.random.Generator], Picture] = of_one) -> None:
            for _ in range(repeats):
                np.stack([of_one(image, random) for image in single])

        ours()
        what = f"{' x '.join(map(str, shape[1:]))}: {name} / numpy and scipy, one image at a time"
        bench.race(what, None, ours, theirs, rounds=5, samples=repeats * len(images), by="cpu")
