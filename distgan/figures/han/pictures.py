"""What models of tissue make, beside real tissue: pairs, labels, images of labels, single cells, and large planes."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from distgan.assessment.label_samples import makes_labels, pairs_of
from distgan.data.image_sets import feed_of, unseen
from distgan.evaluations.labels import painted, shape_of
from distgan.families.tissue import Labelling
from distgan.families.tissue_translation import TranslationGan
from distgan.method import Batch, Step
from distgan.metrics.cells_shape import Mask
from distgan.model import Model
from distgan.plots import image_plots
from distgan.plots.figure_look import figure, picture
from distgan.plots.figure_set import Asked, Drawn, LeftOut
from distgan.study.labels import cell_sets
from storage.errors import DataError, RecipeError
from storage.patches import PatchStore
from storage.store import ImageStore, read_box

SHOWN, CELLS, DRAWS, WIDEST = 6, 12, 5, 1024
Rows = dict[str, Any]


def pairs(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """Label images with their images, of every model under real ones."""
    models = asked.models(asked.settings.models)
    yield _samples(
        asked,
        models,
        "pairs",
        "Figures 1 and 6: pairs of labels and images",
        f"The first {SHOWN} of each, none chosen: membranes red, mitochondria green, and to the right the image.",
        with_images=True,
    )


def ablations(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """Label images of label generators and of what they are compared with, under real ones."""
    models = asked.models(asked.settings.labels)
    yield _samples(
        asked,
        models,
        "label_generators",
        "Figures 4 and 11: label generators",
        f"The first {SHOWN} label images of each, none chosen and none edited: membranes red, mitochondria green.",
        with_images=False,
    )


def translations(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """Real labels, their real image, and what each model makes of them."""
    models = asked.models(asked.settings.translators)
    first = _one_of(models)
    batch, labels = _real(asked, first)
    rows = {"labels": painted(None, labels), "real": batch.images}
    numbers = []
    for name, model in models.items():
        method: Any = model.method
        if not isinstance(method, TranslationGan) or isinstance(method, Labelling):
            raise RecipeError(
                f"{name} makes no images of labels", model.card["method"], "Name label_to_image, sgan or dsgan"
            )
        with torch.no_grad():
            made = method.translated(Step(batch, 0, seed=asked.settings.seed), method.given(Step(batch, 0)), "preview")
        rows[name] = made
        apart = float((made - batch.images).abs().mean())
        numbers.append({"model": name, "mean absolute difference [of white - black]": apart / 2})
    sources = {name: model.digest for name, model in models.items()}
    caption = f"{SHOWN} label images that no model has seen, where it knows."
    yield Drawn("translations", "Figure 5: images of real labels", caption, _lines(rows), numbers, sources)


def single(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """Label images of single cells with mitochondria, of every model and real ones."""
    title = "Figure 7: single cells"
    store = PatchStore.open(Path(asked.settings.real))
    rows: dict[str, Tensor] = {}
    numbers: list[Rows] = []
    sources: dict[str, str] = {}
    for name, address in asked.settings.models.items():
        model = asked.model(address)
        try:
            real, made = cell_sets(store, model, CELLS, asked.settings.seed)
        except RecipeError as error:
            yield LeftOut(f"{title}: {name}", str(error))
            continue
        if not numbers:
            rows["real"] = torch.from_numpy(2.0 * real.values - 1)
            numbers.append({"of": "real", "cells": len(real.values)})
        rows[name] = torch.from_numpy(2.0 * made.values - 1)
        numbers.append({"of": name, "cells": len(made.values)})
        sources[name] = model.digest
    if numbers:
        caption = f"{CELLS} cells of each or fewer, drawn by seed: the wall red, mitochondria green; not to one scale."
        yield Drawn("cells", title, caption, _lines(rows, CELLS), numbers, sources)


def completions(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """Mitochondria made of the same membranes by other noise."""
    models = asked.models(asked.settings.completions)
    batch, labels = _real(asked, _one_of(models))
    rows: dict[str, Tensor] = {}
    numbers: list[Rows] = []
    for name, model in models.items():
        method: Any = model.method
        if not getattr(method.config, "given", ()):
            raise RecipeError(f"{name} completes no labels", model.card["method"], "Name models of label_completion")
        for place in range(2):
            one = batch.part(slice(place, place + 1))
            with torch.no_grad():
                steps = (Step(one, 0, shard, seed=asked.settings.seed) for shard in range(DRAWS))
                made = torch.cat([method.label_images(step) for step in steps])
            rows[f"{name} {place + 1}"] = painted(None, torch.cat([labels[place : place + 1], made]))
            told = shape_of(made[:, -1] > 0)
            numbers.append({"model": name, "image": place, "mitochondria, 1 - IU of neighbours": told["diversity"]})
    sources = {name: model.digest for name, model in models.items()}
    caption = (
        f"First the real labels, then {DRAWS} of other noise and the same membranes; the same noise for each model."
    )
    yield Drawn(
        "completions",
        "Figure 14: mitochondria of the same membranes",
        caption,
        _lines(rows, DRAWS + 1),
        numbers,
        sources,
    )


def planes(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """A plane with its labels, small; and a window of the labels before and after they were edited."""
    plane = ImageStore.open(Path(asked.settings.plane))
    masks, image = _masks(plane), _image(plane)
    height, width = image.shape
    step = max(1, -(-max(height, width) // WIDEST))
    drawn = figure(9.0, 4.7)
    axes = drawn.subplots(1, 2)
    axes[0].imshow(_coloured({name: one[::step, ::step] for name, one in masks.items()}), interpolation="nearest")
    axes[0].set_axis_off()
    picture(axes[1], image[::step, ::step], float(image.min()), float(image.max()))
    numbers = [{"structure": name, "share of pixels": float(one.mean())} for name, one in masks.items()]
    caption = f"One sample of {height} x {width} pixels, every pixel of {step} shown."
    sources = {"plane": plane.manifest.digest}
    yield Drawn("plane", "Figure 3: a large sample", caption, drawn, numbers, sources)
    title = "Figure 6: labels edited"
    if not asked.settings.edited:
        yield LeftOut(title, "figures.edited not named")
        return
    other = ImageStore.open(Path(asked.settings.edited))
    after = _masks(other)
    if after.keys() != masks.keys() or _image(other).shape != (height, width):
        raise DataError(
            f"{other.path} is not {plane.path} edited", "another size, or other labels", "Name what was edited"
        )
    window = np.s_[: min(512, height), : min(512, width)]
    drawn = figure(9.0, 3.3)
    changed = {name: masks[name] & ~after[name] for name in masks}
    panels = {"as made": masks, "edited": after, "dropped": changed}
    for axis, (name, of) in zip(drawn.subplots(1, 3), panels.items(), strict=True):
        axis.imshow(_coloured({one: mask[window] for one, mask in of.items()}), interpolation="nearest")
        axis.set_title(name, fontsize=9)
        axis.set_axis_off()
    numbers = [
        {"structure": name, "dropped [share of its pixels]": float(changed[name].sum() / max(masks[name].sum(), 1))}
        for name in masks
    ]
    caption = (
        "The upper left window, of 512 pixels at most. Discontinuous membranes and concave mitochondria are dropped."
    )
    yield Drawn("edited", title, caption, drawn, numbers, sources | {"edited": other.manifest.digest})


def _samples(
    asked: Asked, models: Mapping[str, Model], name: str, title: str, caption: str, *, with_images: bool
) -> Drawn:
    first = _one_of(models)
    batch, labels = _real(asked, first)
    rows = {"real": painted(batch.images if with_images else None, labels)}
    numbers = [_measured("real", labels, first.method.sample.labels)]
    for called, model in models.items():
        if not makes_labels(model.method):
            raise RecipeError(f"{called} makes no labels", model.card["method"], "Name label_gan, sgan, dsgan, ...")
        feed = feed_of(PatchStore.open(Path(asked.settings.real)), np.arange(SHOWN), model)
        images, made = next(pairs_of(model, feed, SHOWN, asked.settings.seed))
        if with_images and images is None:
            raise RecipeError(f"{called} makes labels alone", model.card["method"], "Name it under figures.labels")
        rows[called] = painted(images if with_images else None, made)
        numbers.append(_measured(called, made, model.method.sample.labels))
    sources = {called: model.digest for called, model in models.items()}
    return Drawn(name, title, caption, _lines(rows), numbers, sources)


def _measured(name: str, labels: Tensor, structures: tuple[str, ...]) -> Rows:
    found: Rows = {"model": name}
    for number, structure in enumerate(structures):
        found |= {f"{key} of {structure}": value for key, value in shape_of(labels[:, number] > 0).items()}
    return found


def _real(asked: Asked, model: Model) -> tuple[Batch, Tensor]:
    """Samples of the store with their labels N L H W in [-1, 1]; held-out ones, if the model learnt from it."""
    store = PatchStore.open(Path(asked.settings.real))
    rows, _ = unseen(store, model, SHOWN)
    random = np.random.Generator(np.random.Philox(key=[asked.settings.seed, 18]))
    feed = feed_of(store, np.sort(random.permutation(rows)[:SHOWN]), model)
    batch = feed.rows(np.arange(len(feed.images)))
    return batch, torch.stack([batch.labels[name] > 0 for name in model.method.sample.labels], 1).float() * 2 - 1


def _one_of(models: Mapping[str, Model]) -> Model:
    return next(iter(models.values()))


def _lines(rows: Mapping[str, Tensor], columns: int = SHOWN) -> Figure:
    """A line of pictures N C H W in [-1, 1] for each, its name to the left of it."""
    heights = [min(1.6, 7.6 / columns * of.shape[2] / of.shape[3]) for of in rows.values()]
    drawn = figure(9.0, sum(heights) + 0.3)
    axes = drawn.subplots(len(rows), 2, width_ratios=(1.2, columns), squeeze=False)
    for (label, axis), (name, of) in zip(axes, rows.items(), strict=True):
        label.text(1, 0.5, name, fontsize=7, ha="right", va="center")
        axis.imshow(image_plots.montage(of.numpy(), columns, 2), interpolation="nearest")
        label.set_axis_off()
        axis.set_axis_off()
    return drawn


def _masks(store: ImageStore) -> dict[str, Mask]:
    series = store.series[0]
    return {name: np.asarray(store.array(series, name)[0, 0, 0]) > 0 for name in series.labels}


def _image(store: ImageStore) -> Any:
    array, shape = store.array(store.series[0]), store.series[0].shape
    box = slice(0, 1), slice(0, shape[1]), slice(0, 1)
    return read_box(array, box)[0, :, 0].mean(0)


def _coloured(masks: Mapping[str, Mask]) -> Any:
    found = np.zeros((*next(iter(masks.values())).shape, 3), np.float32)
    for number, mask in enumerate(list(masks.values())[:3]):
        found[..., number] = mask
    return found
