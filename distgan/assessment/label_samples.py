"""Label images that models of tissue make, to be measured: samples, those of the least noise, and of other noise."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distgan.data.batches import Feed
from distgan.evaluations.labels import made_of
from distgan.families.tissue import Labelling, Pairing, noise_shape
from distgan.families.tissue_translation import TranslationGan
from distgan.method import Batch, Method, Step
from distgan.methods.sgan import Sgan
from distgan.metrics.support import halved, overlaps
from distgan.model import Model
from distgan.networks.label_generator import LabelGenerator

Masks = NDArray[np.bool_]
"""N L H W."""
BATCH = 16
ATOMS = 64
"""That are made at a time."""
NOISE = 2
"""Height and width of the noise image of an atom (Han et al., part D)."""


def makes_labels(method: Method) -> bool:
    """Whether the method makes label images, or some of them; `label_to_image` is given all."""
    given_all = isinstance(method, TranslationGan) and not isinstance(method, Sgan | Labelling)
    return isinstance(method, Pairing | Labelling) and not given_all


@torch.no_grad()
def pairs_of(model: Model, feed: Feed, count: int, seed: int) -> Iterator[tuple[torch.Tensor | None, torch.Tensor]]:
    """`count` images N C H W, if there are any, and their labels N L H W, both in [-1, 1], in batches.

    feed: samples that are told, where the model is told any, again and again.  Raises RecipeError: it makes no labels.
    """
    for step in _steps(feed, count, seed):
        yield made_of(model.method, step)


@torch.no_grad()
def labels_of(model: Model, feed: Feed, count: int, seed: int) -> Iterator[torch.Tensor]:
    """The labels of `pairs_of` alone; no image is made of them where that can be left out."""
    method: Any = model.method
    if not isinstance(method, Sgan):
        yield from (labels for _, labels in pairs_of(model, feed, count, seed))
        return
    for step in _steps(feed, count, seed):
        yield method.enlarged(method.made_labels(step, "preview labels"))


def _steps(feed: Feed, count: int, seed: int) -> Iterator[Step]:
    for shard, start in enumerate(range(0, count, BATCH)):
        places = np.arange(start, min(start + BATCH, count)) % len(feed.images)
        yield Step(feed.rows(places), 0, shard, seed=seed)


def atom_edge(method: Method) -> int | None:
    """Edge in pixels of what the method makes of a noise image of 2 x 2; None where its noise is no image."""
    for name in method.networks:
        network = method.network(name)
        if isinstance(network, LabelGenerator):
            reduction = getattr(method.config, "label_reduction", 1)
            return NOISE * network.factor * int(reduction) if network.start == "image" else None
    return None


@torch.no_grad()
def atoms(model: Model, count: int, run: int, seed: int) -> Masks:
    """Label images of noise images of 2 x 2, at half their edges: N L h w; other ones in every run.

    A larger sample is pieced together of such: how many there are is what Han et al. count.
    Raises RecipeError: the networks cannot make images so small.
    """
    method: Any = model.method
    edge = atom_edge(method)
    assert edge is not None, "the method's noise is an image"
    trained, apart = method.sample, isinstance(method, Sgan)
    method.sample = replace(trained, shape=(trained.shape[0], edge, edge))
    parts = []
    try:
        for number, start in enumerate(range(0, count, ATOMS)):
            batch = Batch(torch.zeros(min(ATOMS, count - start), *method.sample.shape))
            step = Step(batch, 0, run * -(-count // ATOMS) + number, seed=seed)
            made: torch.Tensor = method.made_labels(step, "atoms") if apart else made_of(method, step)[1]
            parts.append(halved((made > 0).numpy()))
    finally:
        method.sample = trained
    return np.concatenate(parts)


@dataclass(frozen=True)
class OtherNoise:
    """Labels made of the same given ones and other noise.  Distances are 1 - IU, means over `images`.

    apart: of two of them, with its spread over images.  empty: share in which nothing was made.  from_real: from the
    real labels.  real_apart: of real labels of two images.  same: names the images and the noise; only where it is
    equal may two models be compared.  network, noise: kind, and channels of its noise image.
    """

    apart: float
    apart_sd: float
    empty: float
    from_real: float
    real_apart: float
    images: int
    draws: int
    network: str
    noise: int
    same: str


@torch.no_grad()
def other_noise(model: Model, feed: Feed, made: Sequence[int], seed: int) -> OtherNoise:
    """What a model that completes labels makes of some of the feed's, BATCH times each.

    made: which of its structures it makes; the others it is told.
    """
    method: Any = model.method
    table, names = method.config.translator, method.sample.labels
    count = min(BATCH, len(feed.images))
    name = hashlib.sha256(feed.rows(np.arange(count)).images.numpy().tobytes())
    apart, real, of_real, empty = [], [], [], []
    for row in range(count):
        one = feed.rows(np.full(BATCH, row))
        step = Step(one, 0, row, seed=seed)
        if table.noise:
            name.update(method.noise(step, "preview", noise_shape(table, *method.size)).numpy().tobytes())
        masks = (method.label_images(step)[:, list(made)] > 0).numpy()
        truth = np.stack([(one.labels[names[number]][:1] > 0).numpy() for number in made], 1)
        apart.append(1 - overlaps(masks)[~np.eye(BATCH, dtype=np.bool_)].mean())
        of_real.append(1 - overlaps(np.concatenate([truth, masks]))[0, 1:].mean())
        empty.append(float((~masks.any((1, 2, 3))).mean()))
        real.append(truth[0])
    others = overlaps(np.stack(real))[~np.eye(count, dtype=np.bool_)]
    return OtherNoise(
        float(np.mean(apart)),
        float(np.std(apart)),
        float(np.mean(empty)),
        float(np.mean(of_real)),
        float(1 - others.mean()) if len(others) else float("nan"),
        count,
        BATCH,
        table.kind,
        table.noise,
        name.hexdigest()[:16] if table.noise else "no noise image",
    )
