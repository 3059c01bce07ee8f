"""What the models of labelled tissue share (Han et al. 2018): labels as images, discriminators at several scales, and
the fakes of before.

Their formulas: y label images, x images, z noise; G_y makes labels, G_x an image of labels, F labels of an image.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from distgan.families.adversarial import accuracy
from distgan.families.tissue_sections import Critic, Translator
from distgan.losses import cross_entropy, least_squares
from distgan.method import Method, Step, evaluated
from distgan.networks.label_generator import parts
from distgan.networks.patch_discriminator import MultiScaleDiscriminator
from distgan.networks.unet import Disturbance, UNet
from storage.errors import RecipeError

SCHEDULE: Mapping[str, Any] = {"lr": 2e-4, "betas": [0.5, 0.999], "schedule": "linear"}
"""`[optimizer]` of the published code, but for the share of the run before the rates begin to fall."""


@runtime_checkable
class Labelling(Protocol):
    """A method that makes label images without images."""

    def label_images(self, step: Step) -> Tensor:
        """Label images N L H W in [-1, 1], of the structures of its recipe."""
        ...


@runtime_checkable
class Pairing(Protocol):
    """A method that makes images together with their labels."""

    def pairs(self, step: Step) -> tuple[Tensor, Tensor]:
        """Images N C H W and their label images N L H W, both in [-1, 1]."""
        ...


@runtime_checkable
class Segmenting(Protocol):
    """A method that finds structures in images."""

    def segment(self, images: Tensor) -> Tensor:
        """images: N C H W in [-1, 1].  Returns the log-odds of each structure at each pixel, N L H W."""
        ...


class Tissue(Method):
    """A method that is told label images, and has discriminators at several scales."""

    config: Any

    @property
    def channels(self) -> int:
        """Of an image."""
        return self.sample.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of an image.  Raises RecipeError: it is a volume."""
        edges = self.sample.shape[1:]
        if len(edges) != 2:
            raise RecipeError(
                f"{self.config.name} has networks for images of two dimensions",
                f"{' x '.join(map(str, edges))} voxels",
                "Prepare single planes, or a projection (prepare.operations: max_projection)",
            )
        return edges[0], edges[1]

    def new_reader(self) -> UNet:
        """The network that finds labels in images, with its first weights.  Raises RecipeError: they do not fit it."""
        table = self.config.reader
        parts(*self.size, 2**table.depth)
        return table.network(self.channels, len(self.config.structures))

    def given(self, step: Step, names: Sequence[str] = ()) -> Tensor:
        """The batch's label images of these structures, or of all: N L H W, 1 in the structure and -1 elsewhere.

        Raises RecipeError: the batch has none.
        """
        names = names or self.config.structures
        if any(name not in step.batch.labels for name in names):
            raise RecipeError(
                f"{self.config.name} makes images of label images",
                f"it was asked for samples without {' and '.join(names)}",
                "Take a method that makes its own labels (sgan, dsgan), or see the figures of its run",
            )
        return torch.stack([step.batch.labels[name] > 0 for name in names], 1).float() * 2 - 1

    def noise(self, step: Step, name: str, shape: tuple[int, int, int]) -> Tensor:
        """A noise image, N Z h w; another one at each repeat of a turn."""
        return step.normal(f"z {name} {step.repeat}", len(step.batch), *shape)

    def shard_state(self) -> Mapping[str, Tensor]:
        """The pools of old fakes: images of `pooled`, by the name of the discriminator."""
        count = getattr(self.config, "pool", 0)
        shapes = self.pooled() if count else {}
        pools = {f"{name} pool": torch.zeros(count, *shape) for name, shape in shapes.items()}
        return pools | {f"{name} filled": torch.tensor(0) for name in shapes}

    def pooled(self) -> Mapping[str, tuple[int, int, int]]:
        """What each discriminator is shown: channels, height and width, by its name."""
        return {}

    def critic_terms(
        self, critic: MultiScaleDiscriminator, table: Critic, step: Step, name: str, real: Tensor, fake: Tensor
    ) -> dict[str, Tensor]:
        """Half the loss of real images, 1, and half that of fakes or earlier ones, 0.  real, fake: N C H W."""
        fake = from_pool(step, name, fake.detach(), self.config.pool)
        own = table.weights if table.weighted else (1.0,) * len(table.weights)
        of_real, of_fake = critic(real), critic(fake)
        right = accuracy(opinion(of_real, own), opinion(of_fake, own))
        return {
            f"{name}_real": 0.5 * self.judged(of_real, 1.0, own),
            f"{name}_fake": 0.5 * self.judged(of_fake, 0.0, own),
            f"accuracy/{name}": right,
        }

    def judged(self, scores: Sequence[Tensor], target: float, weights: Sequence[float]) -> Tensor:
        """Sum over scales of weight x loss (eq. 7), a scalar.  scores: N 1 h w each, to be `target`."""
        loss = cross_entropy if self.config.loss == "cross_entropy" else least_squares
        return torch.stack([w * loss(one, target) for w, one in zip(weights, scores, strict=True)]).sum()

    def segmented(self, network: UNet, images: Tensor) -> Tensor:
        """Log-odds of each structure at each pixel of images N C H W, as in use: N L H W."""
        with evaluated(network), torch.no_grad():
            return network(images).float()


def unequal(**critics: float) -> dict[str, Any]:
    """`[optimizer]` of small runs: generators are fast and critics slow, who win soon against narrow generators.

    critics: the rate of each.
    """
    return {**SCHEDULE, "lr": 4e-4, "hold": 0.5, **{critic: {"lr": rate} for critic, rate in critics.items()}}


def noise_shape(table: Translator, height: int, width: int) -> tuple[int, int, int]:
    """Z h w of the noise image for labels of this size, the same for either kind of network.

    Raises RecipeError: the edges are no multiples of 2^depth.
    """
    return table.noise, *parts(height, width, 2**table.depth)


def disturbance(table: Translator, step: Step, name: str) -> Disturbance:
    """Additive noise and dropout by named noise; when a model is used, too, for in pix2pix they are all its variety."""

    def disturb(activations: Tensor, layer: int, *, dropped: bool) -> Tensor:
        if dropped and table.dropout:
            drawn = step.uniform(f"dropout {name} {step.repeat} {layer}", *activations.shape)
            activations = activations * (drawn >= table.dropout) / (1 - table.dropout)
        if table.sigma:
            added = step.normal(f"sigma {name} {step.repeat} {layer}", *activations.shape)
            activations = activations + table.sigma * added
        return activations

    return disturb


def from_pool(step: Step, name: str, fakes: Tensor, size: int) -> Tensor:
    """Fakes N C H W, each with probability 1/2 exchanged for an earlier one (Shrivastava et al. 2017).

    Until the pool is full, each is put there, and shown. Every shard has its own, in `step.state`.
    """
    if not size:
        return fakes
    pool, filled = step.state[f"{name} pool"].clone(), step.state[f"{name} filled"]
    place, swap = step.uniform(f"pool {name} {step.repeat}", 2, len(fakes))
    shown = []
    for number, fake in enumerate(fakes.to(pool.dtype)):
        full = filled >= size
        at = torch.where(full, (place[number] * size).long().clamp(max=size - 1), filled)[None]
        old = pool.index_select(0, at)[0]
        swapped = full & (swap[number] < 0.5)
        pool = pool.index_copy(0, at, torch.where(full & ~swapped, old, fake)[None])
        shown.append(torch.where(swapped, old, fake))
        filled = torch.where(full, filled, filled + 1)
    step.state[f"{name} pool"], step.state[f"{name} filled"] = pool, filled
    return torch.stack(shown)


def opinion(scores: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The weighted mean score of each image over patches and scales, N.  scores: N 1 h w each."""
    return torch.stack([w * one.flatten(1).mean(1) for w, one in zip(weights, scores, strict=True)]).sum(0)


def segmentation_loss(found: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy per pixel, a scalar.  found: log-odds N L H W.  labels: N L H W in [-1, 1]."""
    return F.binary_cross_entropy_with_logits(found.float(), (labels.float() + 1) / 2)


def weighted_difference(made: Tensor, real: Tensor, labels: Tensor, weights: Sequence[float]) -> Tensor:
    """Mean absolute difference of images N C H W, where each pixel counts as its structure does (the last, if several).

    labels: N L H W in [-1, 1].  weights: of each structure; pixels of none count once.  Returns a scalar.
    """
    counts = torch.ones_like(labels[:, :1])
    for number, weight in enumerate(weights):
        counts = torch.where(labels[:, number : number + 1] > 0, weight, counts)
    return (counts * (made - real).abs()).float().mean()
