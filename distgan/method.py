"""What a published model is to the trainer: networks, and the turns in which they learn.

Neither knows the other's inside. A loss sees one virtual shard of a batch and draws its noise by name,
so that the same draw is made whatever process, worker number or restart computes it.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from storage.errors import RecipeError


@dataclass(frozen=True)
class Sample:
    """What every sample of a set is.

    shape: C H W, or C D H W.  channels: their names.  classes: of each metadata column that comes along, the names of
    its classes in order; none for a column of numbers.  labels: names of the label images that come along.  counts:
    training samples of each class of a column, if known.
    """

    shape: tuple[int, ...]
    channels: tuple[str, ...] = ()
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Real images, N C H W float32 in [-1, 1], and what is known of them.

    columns: by the name of a metadata column, the number of each image's class (N, int64) or its value (N, float32);
    by that of stored codes, those (N D, float32).
    labels: by the name of a label image, its pixels (N H W or N D H W, int64), moved as the image was.
    companions: of every class a look-alike of each image (N P C H W), moved as the image was; itself of its own class.
    """

    images: Tensor
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    labels: Mapping[str, Tensor] = field(default_factory=dict)
    companions: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    def part(self, rows: slice | Tensor) -> "Batch":
        """Some of the images, with all that is known of them."""
        columns, labels = ({name: of[rows] for name, of in known.items()} for known in (self.columns, self.labels))
        return Batch(self.images[rows], columns, labels, None if self.companions is None else self.companions[rows])


@dataclass(frozen=True)
class Step:
    """What a loss may know: one virtual shard of a batch, how far the run is, and named noise.

    images_seen: real images of the run before this batch.  shard: index of the virtual shard.
    repeat: 0 .. times - 1 within the turn.  number: of batches before this one.  state: what the method keeps for this
    shard; assign a new tensor to a name, never write into the old one: a turn that is not taken must leave no trace.
    """

    batch: Batch
    images_seen: int
    shard: int = 0
    repeat: int = 0
    seed: int = 0
    state: dict[str, Tensor] = field(default_factory=dict)
    number: int = 0

    def normal(self, name: str, *shape: int) -> Tensor:
        """Standard normal noise: a function of (seed, images_seen, shard, name), and of nothing else."""
        return torch.randn(*shape, generator=self._generator(name), device=self._device)

    def uniform(self, name: str, *shape: int) -> Tensor:
        """Uniform noise in [0, 1), drawn as `normal` is."""
        return torch.rand(*shape, generator=self._generator(name), device=self._device)

    @property
    def _device(self) -> torch.device:
        return self.batch.images.device

    def _generator(self, name: str) -> torch.Generator:
        key = hashlib.blake2b(f"{self.seed}/{self.images_seen}/{self.shard}/{name}".encode(), digest_size=8)
        seed = int.from_bytes(key.digest(), "little") >> 1
        return torch.Generator(self._device).manual_seed(seed)


@dataclass(frozen=True)
class Term:
    """A weighted scalar of a loss; `into` sends its gradient to these networks alone.

    into: names of networks of the turn; None for all of them.
    """

    value: Tensor
    into: tuple[str, ...] | None = None


Terms = Mapping[str, Tensor]
"""Named scalars, averaged over the shards."""


@dataclass(frozen=True)
class Turn:
    """Which networks move, and to lower which loss.

    networks: attributes of the method.  loss: named scalars; their sum is lowered, and one without a gradient, named
    KIND/NAME, is only told.  every: taken at
    batches every, 2 every, ...; the batch is shared, its images count once.  times: repeats on the same
    batch, told apart by `step.repeat`.
    """

    name: str
    networks: tuple[str, ...]
    loss: Callable[[Step], Mapping[str, Tensor | Term]]
    every: int = 1
    times: int = 1


@dataclass(frozen=True)
class StoredCodes:
    """Codes that come along in every batch, as the column `column`, N `length` float32, out of an embedding store.

    by: the metadata column that names each sample.  network: the one of `[init]` whose model has written them.
    method: of that model.
    """

    column: str
    store: str
    by: str
    network: str
    method: str
    length: int


class MethodConfig(BaseModel):
    """The `[method]` table of a recipe; every method adds its own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    preset: str = "default"

    @property
    def columns(self) -> tuple[str, ...]:
        """The metadata columns that its losses read: they come along in every batch."""
        return ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The label images that its losses read: they come along in every batch."""
        return ()

    @property
    def companions(self) -> str:
        """The column of every class of which a look-alike comes along in every batch; "" is none."""
        return ""

    @property
    def stored_codes(self) -> StoredCodes | None:
        """The codes of training samples that are read, not computed along; None is none."""
        return None

    @property
    def strata(self) -> str:
        """The column of every class of which a batch must have equally many; "" is none."""
        return ""


class Method(nn.Module, ABC):
    """A published model, as the trainer sees it.

    Config: its keys in a recipe.  networks: its networks, in a fixed order.  averaged: those of which a moving
    average is kept.  frozen: those that no turn moves, and that come out of another model.  least_channels: that its
    images must have.  anew: parts of networks that never come out of another model.  presets: recipe tables that a
    recipe may begin from, by name.
    """

    Config: ClassVar[type[MethodConfig]]
    networks: ClassVar[tuple[str, ...]]
    averaged: ClassVar[tuple[str, ...]] = ()
    frozen: ClassVar[tuple[str, ...]] = ()
    least_channels: ClassVar[int] = 1
    anew: tuple[str, ...] = ()
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": {}}

    def __init__(self, config: Any, sample: Sample) -> None:
        """Build the networks for such samples."""
        super().__init__()
        self.config = config
        self.sample = sample

    @abstractmethod
    def turns(self) -> tuple[Turn, ...]:
        """The turns of a step, in order."""

    def shard_state(self) -> Mapping[str, Tensor]:
        """What is kept per virtual shard and has no mean (a pool of old fakes): initial values, by name.

        A loss finds them in `step.state`; names, shapes and types stay as they are here.
        """
        return {}

    def after_step(self, terms: Terms) -> None:
        """Change state that no gradient reaches (BEGAN's k, a buffer), by the averaged terms of the turns taken.

        It is not called after a step of which a turn was skipped because it was not finite.
        """

    def after_turn(self, turn: str) -> None:
        """Change weights that a turn has just moved (clip them), by nothing but what they are."""

    def rate(self, network: str, weight: str) -> float:
        """By what the learning rate of this weight of a network is multiplied."""
        return 1.0

    def preview(self, step: Step) -> Tensor:
        """As many images as the batch has, N C H W in [-1, 1], for people and metrics to look at.

        Raises RecipeError: the method makes no images.
        """
        raise RecipeError(
            f"{self.config.name} makes no images",
            "it was asked for samples",
            "Set evaluate.metrics, or take a generator",
        )

    def representation(self, images: Tensor) -> Tensor:
        """What the method knows of each image, N D: of images N C H W in [-1, 1], always the same of the same image.

        Raises RecipeError: the method has none.
        """
        raise RecipeError(
            f"{self.config.name} has no representation", "it was asked for one", "Take a method of docs/methods.md"
        )

    def network(self, name: str) -> nn.Module:
        """The network of that name."""
        return self.get_submodule(name)

    def parameters_of(self, networks: tuple[str, ...]) -> Iterator[nn.Parameter]:
        """The parameters of these networks that may move."""
        for name in networks:
            yield from (p for p in self.network(name).parameters() if p.requires_grad)


@contextmanager
def evaluated(network: nn.Module) -> Iterator[nn.Module]:
    """The network uses its running statistics meanwhile, and moves none of them."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield network
    finally:
        for module, training in modes:
            module.training = training


def build(kind: type[Method], config: MethodConfig, sample: Sample, seed: int) -> Method:
    """A method with the initial weights of that seed, whatever was drawn before.

    Raises RecipeError: it has no networks for such samples.
    """
    if sample.shape[0] < kind.least_channels:
        raise RecipeError(
            f"{config.name} relates the channels of an image to its first",
            f"images of {sample.shape[0]} channel(s), and {kind.least_channels} are needed",
            "Prepare images of more channels, or choose another method",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(config, sample)


Normalisation = Literal["batch", "layer", "none"]
"""How a network's activations are normalised: over the shard and space, per sample, or not at all."""
