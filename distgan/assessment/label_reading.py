"""How well labels can be read off made images, by a network that has learnt from real ones (Han et al., table 2)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distgan.assessment.label_samples import BATCH, makes_labels, pairs_of
from distgan.data.image_sets import feed_of
from distgan.evaluations.segmentation import Tally, scores, segmenting
from distgan.families.tissue import Labelling, Pairing, Segmenting
from distgan.families.tissue_translation import TranslationGan
from distgan.method import Batch, Step
from distgan.model import Model, load_model
from storage.errors import RecipeError
from storage.patches import PatchStore
from storage.sampler import Indices

Read = Iterator[tuple[Tensor, Tensor]]
"""Batches of images N C H W and labels N L H W, in [-1, 1]."""


def read_pairs(
    reader: Path,
    model: Model | None,
    store: PatchStore,
    rows: Mapping[str, Indices],
    labels: Path | None,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """Mean IU and NLL as of the evaluation `segmentation`, of real images (rows of the store) and of made pairs.

    labels: a patch store of label images that the model makes images of; by default it makes its own, or is given
    those of the training images.  What a reader of the model's own finds is told, too.
    Raises RecipeError: the reader finds no structures, not those of the model, or not in such images.
    """
    judge = load_model(reader)
    names = judge.method.sample.labels
    told: dict[str, Any] = {"reader": judge.digest, "structures": list(names)}
    for name, own in rows.items():
        if len(own):
            told[name] = _found(judge, _real(judge, store, own))
    if model is None or not isinstance(model.method, Pairing | TranslationGan) or isinstance(model.method, Labelling):
        return told
    if model.method.sample.labels != names or model.method.sample.shape[0] != judge.method.sample.shape[0]:
        raise RecipeError(
            "the reader finds other structures than the model makes, or in other images",
            f"{', '.join(names)} and {', '.join(model.method.sample.labels)}",
            "Take a reader and a model of the same store and structures",
        )
    told["made of"] = str(labels) if labels else "its own labels" if makes_labels(model.method) else "real labels"
    told["made"] = _found(judge, _pairs(model, store, rows["training images"], labels, samples, seed))
    if isinstance(model.method, Segmenting):
        again = _pairs(model, store, rows["training images"], labels, samples, seed)
        told["made, read by its own reader"] = _found(model, again)
    return told


@torch.no_grad()
def _found(reader: Model, pairs: Read) -> dict[str, float]:
    names = reader.method.sample.labels
    tallies, who = {name: Tally() for name in names}, segmenting(reader.method)
    for images, labels in pairs:
        said = who.segment(images)
        for number, tally in enumerate(tallies.values()):
            tally.add(said[:, number], (labels[:, number] > 0).float())
    return {name: round(value, 4) for name, value in scores(tallies).items()}


def _real(judge: Model, store: PatchStore, rows: Indices) -> Read:
    feed = feed_of(store, np.sort(rows), judge)
    for start in range(0, len(rows), BATCH):
        batch = feed.rows(np.arange(start, min(start + BATCH, len(rows))))
        yield batch.images, _stacked(batch, judge.method.sample.labels)


@torch.no_grad()
def _pairs(model: Model, store: PatchStore, rows: Indices, labels: Path | None, samples: int, seed: int) -> Read:
    method: Any = model.method
    if labels is None and isinstance(method, Pairing):
        feed = feed_of(store, np.sort(rows), model, seed)
        for images, made in pairs_of(model, feed, samples, seed):
            assert images is not None, "pairs have images"
            yield images, made
        return
    if not isinstance(method, TranslationGan):
        raise RecipeError(
            f"{method.config.name} makes no images of labels that it is given",
            f"tissue.labels = {labels}",
            "Leave tissue.labels out, or take label_to_image, sgan or dsgan",
        )
    of = PatchStore.open(labels) if labels else store
    own = np.arange(min(samples, of.shape[0])) if labels else np.sort(rows)[:samples]
    told = {name: torch.from_numpy(of.read(own, name).astype(np.int64)) for name in method.sample.labels}
    for shard, start in enumerate(range(0, len(own), BATCH)):
        part = {name: values[start : start + BATCH] for name, values in told.items()}
        count = len(next(iter(part.values())))
        step = Step(Batch(torch.zeros(count, *method.sample.shape), labels=part), 0, shard, seed=seed)
        given = method.given(step)
        yield method.translated(step, given, "preview"), given


def _stacked(batch: Batch, names: tuple[str, ...]) -> Tensor:
    return torch.stack([batch.labels[name] > 0 for name in names], 1).float() * 2 - 1
