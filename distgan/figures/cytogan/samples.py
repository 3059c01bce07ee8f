"""What every model makes, a row each."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from distgan.data.batches import to_unit_range
from distgan.data.frames import spread
from distgan.inference.sample import sample
from distgan.plots import image_plots
from distgan.plots.figure_look import figure
from distgan.plots.figure_set import Asked, Drawn
from storage.patches import PatchStore

SHOWN = 12


def samples(asked: Asked) -> Iterator[Drawn]:
    """The first images of each model, under real ones if a store is named."""
    settings = asked.settings
    models = asked.models(settings.models)
    rows = {name: next(sample(model, SHOWN, settings.seed)).numpy() for name, model in models.items()}
    sources = {name: model.digest for name, model in models.items()}
    if settings.real:
        store, model = PatchStore.open(Path(settings.real)), next(iter(models.values()))
        images = store.read(np.asarray(spread(len(store.obs), SHOWN)))
        rows = {"real": to_unit_range(images, model.value_range).numpy(), **rows}
        sources |= {"real": store.digest}
    drawn = figure(9.0, 0.66 * len(rows) + 0.2)
    axes = drawn.subplots(len(rows), 2, width_ratios=(1.2, SHOWN), squeeze=False)
    for (label, axis), (name, images) in zip(axes, rows.items(), strict=True):
        label.text(1, 0.5, name, fontsize=7, ha="right", va="center")
        axis.imshow(image_plots.montage(images, SHOWN, 2), interpolation="nearest")
        label.set_axis_off()
        axis.set_axis_off()
    numbers = [
        {
            "model": name,
            "mean": float(images.mean()),
            "deviation": float(images.std()),
            "over_samples": float(images.std(0).mean()),
        }
        for name, images in rows.items()
    ]
    yield Drawn(
        "samples",
        "Samples of every model",
        f"The first {SHOWN} images of each, seed {settings.seed}, none chosen. Numbers: intensities in [-1, 1], and "
        "the mean over pixels of their standard deviation over these images.",
        drawn,
        numbers,
        sources,
    )
