"""`distgan evaluate quality`: how good are images that were made, against held-out real ones?

Distances and neighbourhoods in features, spectra, correlations of channels, and whether training images were copied.
Beside each stands what real images get in their place (the floor). The images made are those of a model, a store or a
folder.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from distgan.assessment.quality import Describe, Sets, copies, in_features, in_pixels, suspected
from distgan.config.sections import Data, Seed, Split
from distgan.data.batches import Feed, choose
from distgan.data.feed import some_blocks
from distgan.data.image_sets import ImageSet, feed_of, is_model, made_by, open_images, unit_range
from distgan.evaluations.kid import FEATURES, feature_network
from distgan.metrics.kid import FEWEST, Features
from distgan.metrics.manifold import NEIGHBOURS
from distgan.model import Model, load_model
from distgan.plots import quality_plots
from distgan.score import Asked, ScoreSettings, Told
from storage.errors import RecipeError
from storage.manifest import sha256_file
from storage.patches import PatchStore
from storage.sampler import Indices

MULTIPLE = 8
"""Of the edges of images from which the features of KID are learned."""


class Settings(ScoreSettings):
    """`[quality]`.

    store: of the real images, a patch store or a folder; by default what the model was trained on.  split: what is held
    out of it; by default what the model has not seen.  features: folder of a model whose representation is compared
    instead of the features of an autoencoder that is trained on the training images.  samples: images on each side.
    training: training images in which copies are looked for, at most.  neighbours: that make a neighbourhood.
    """

    store: str = ""
    split: Split | None = None
    features: str = ""
    samples: int = Field(1_000, ge=FEWEST)
    training: int = Field(20_000, ge=FEWEST)
    neighbours: int = Field(NEIGHBOURS, ge=1, lt=FEWEST)
    seed: Seed = 0


def score(asked: Asked) -> Told:
    """Score a model, or the images of a store or folder.

    Raises RecipeError: there is nothing to compare with, or the images do not fit each other.
    Raises DataError: a store is damaged, or a file is no image.
    """
    settings: Settings = asked.settings
    sets, feed, notes = _sets(Path(asked.target), settings)
    describe, named = _described(feed, sets, settings)
    asked.progress(1, 4)
    rows = in_features(sets, describe, settings.neighbours, settings.seed)
    asked.progress(2, 4)
    pixels, figures = in_pixels(sets)
    asked.progress(3, 4)
    found, panels = copies(sets, describe)
    asked.progress(4, 4)
    facts = {
        "score": "quality",
        "of": asked.target,
        "images": len(sets.made),
        "training images": len(sets.training),
        "features": named,
        "neighbours": settings.neighbours,
        "in features": rows,
        **pixels,
        "copies of training images": found,
        "notes": notes + [note for row in found for note in suspected(row)],
        "settings": settings.model_dump(mode="json"),
    }
    samples = partial(quality_plots.samples, sets.made, sets.held_out)
    return Told(facts, figures={"samples": samples, **figures, **panels})


def _sets(target: Path, settings: Settings) -> tuple[Sets, Feed, list[str]]:
    """The images, the feed of the training images, and what is to be said of them."""
    model = load_model(target) if is_model(target) else None
    if not settings.store and model is None:
        raise RecipeError(
            "it is not said which real images to compare with",
            f"{target} is no model, and there is no quality.store",
            "Set quality.store to a patch store or a folder of real images",
        )
    real = open_images(Path(settings.store or (model.config.data.store if model else "")))
    train, held_out, notes = _divided(real, model, settings)
    seed = model.config.run.seed if model else settings.seed
    random = np.random.Generator(np.random.Philox(key=[settings.seed, 5]))
    other = None if model else open_images(target)
    there = [len(train), len(held_out), *([other.shape[0]] if other else [])]
    count = min(settings.samples, *there)
    if count < FEWEST:
        raise RecipeError(
            "there are too few images to compare",
            f"{there[0]} to train on, {there[1]} held out" + (f", {there[2]} made" if other else ""),
            f"Give {FEWEST} of each, or hold out more groups (quality.split)",
        )
    shown = feed_of(real, np.sort(random.permutation(held_out)[:count]), model, settings.seed)
    if other is None:
        assert model is not None
        made = made_by(model, shown, count, settings.seed)
    else:
        _check_alike(other, real)
        rows = np.sort(random.permutation(other.shape[0])[:count])
        made = unit_range(other, rows, real.value_range)
    feed = feed_of(real, train, model, seed)
    training, held = (of.rows(np.arange(len(of.images))).images for of in (feed, shown))
    some = np.sort(random.permutation(len(train))[:count])
    return Sets(made, held, training, some, real.channels), feed, notes


def _divided(real: ImageSet, model: Model | None, settings: Settings) -> tuple[Indices, Indices, list[str]]:
    """Rows of training images and of held-out ones, and what is to be said of them."""
    data = Data.model_validate({"store": str(real.path)})
    if model and (not settings.store or settings.store == model.config.data.store):
        data = model.config.data
    if settings.split:
        data = data.model_copy(update={"split": settings.split})
    store: Any = real  # a folder has all that is asked of a store
    chosen = choose(store, data)
    train, held_out, notes = chosen.train, chosen.held_out, []
    if not len(held_out):
        random = np.random.Generator(np.random.Philox(key=[settings.seed, 6]))
        halves = np.array_split(random.permutation(train), 2)
        train, held_out = np.sort(halves[0]), np.sort(halves[1])
        notes.append(
            "nothing is held out (quality.split): the real images were halved at random, so that neighbours of one "
            "image may be on both sides, and copies of one half are not looked for"
        )
    if len(train) > settings.training:
        notes.append(f"copies are looked for in {settings.training:,} of {len(train):,} training images")
        if isinstance(real, PatchStore):
            train = some_blocks(real, train, settings.training, settings.seed)
        else:
            train = np.sort(np.random.default_rng(settings.seed).permutation(train)[: settings.training])
    return train, held_out, notes


def _check_alike(made: ImageSet, real: ImageSet) -> None:
    if made.shape[1:] != real.shape[1:]:
        raise RecipeError(
            f"the images of {made.path} are not such as those of {real.path}",
            f"C H W = {made.shape[1:]} and {real.shape[1:]}",
            "Give images of one shape",
        )


def _described(feed: Feed, sets: Sets, settings: Settings) -> tuple[Describe, str]:
    """What makes features of images, in units of their spread among training images, and its name."""
    if settings.features:
        other = load_model(Path(settings.features))
        describe, named = other.method.representation, f"representation of model {other.digest[:12]}"
    else:
        if any(edge % MULTIPLE for edge in sets.held_out.shape[2:]):
            raise RecipeError(
                "the features cannot be learned from images of this size",
                f"H W = {tuple(sets.held_out.shape[2:])}, and multiples of {MULTIPLE} are needed",
                "Cut them to such a size, or set quality.features to a model that knows them",
            )
        with TemporaryDirectory() as folder:
            path = Path(folder, FEATURES)
            describe = feature_network(feed, feed.seed, path).features
            named = f"autoencoder of the training images, SHA-256 {sha256_file(path)[:12]}"
    raw = _raw(describe, sets.some)
    centre, scale = raw.mean(0), raw.std(0) + 1e-6
    return lambda images: (_raw(describe, images) - centre) / scale, named


@torch.no_grad()
def _raw(describe: Callable[[Tensor], Tensor], images: Tensor) -> Features:
    found = torch.cat([describe(part).flatten(1) for part in images.split(256)])
    return found.double().cpu().numpy()
