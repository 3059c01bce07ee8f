"""Figures 1 and 3, and walks between codes: what the images look like before, after, and when they are made."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

from distgan.codes import Decoding
from distgan.data.batches import to_unit_range
from distgan.data.frames import spread
from distgan.inference.latent import slerp
from distgan.inference.sample import sample
from distgan.method import Batch, Step
from distgan.model import Model
from distgan.monitoring.tracking import read_lines
from distgan.plots import image_plots
from distgan.plots.figure_look import SCRATCH, TRANSFER, figure, picture, tidy
from distgan.plots.figure_set import Asked, Drawn
from storage.errors import DataError, RecipeError
from storage.patches import PatchStore
from storage.pipeline import Pipeline
from storage.source import open_source

SHOWN = 48
WALKS, STEPS = 6, 11
Floats = NDArray[np.floating]


def denoising(asked: Asked) -> Iterator[Drawn]:
    """Figure 1: the middle plane of the first frame of an image, and its middle enlarged."""
    raw = asked.settings.raw
    pipeline = Pipeline.of(raw.operations, patches=True)
    source, listing = open_source(Path(raw.store))
    if raw.image >= len(listing.names):
        found = f"it has {len(listing.names)} images"
        raise RecipeError(f"{raw.store} has no image {raw.image}", found, "Lower figures.raw.image")
    first = int(listing.first_frame[raw.image])
    (stack,) = source.frames(int(listing.series[raw.image]), first, first + 1)
    planes = {
        name: one.image[0, one.image.shape[1] // 2].astype(np.float64)
        for name, one in (("before", stack), ("after", pipeline(stack, {})))
    }
    drawn = figure(6.4, 6.6)
    rows = []
    for number, (column, (name, plane)) in enumerate(zip(drawn.subplots(2, 2).T, planes.items(), strict=True)):
        low, high = np.percentile(plane, (1, 99.8)).tolist() if number == 0 else (plane.min(), plane.max())
        told = ", ".join(str(one["name"]) for one in raw.operations) if number else "as the camera left it"
        y, x = (slice(size // 4, size - size // 4) for size in plane.shape)
        picture(column[0], plane, low, high, f"{name} ({told})")
        picture(column[1], plane[y, x], low, high)
        between = float(np.diff(plane, axis=1).std() / np.sqrt(2))
        rows.append({"image": name, "mean": plane.mean(), "deviation": plane.std(), "between_neighbours": between})
    before, after = (row["between_neighbours"] / max(row["deviation"], 1e-9) for row in rows)
    yield Drawn(
        "figure-01",
        "Figure 1: before and after denoising",
        f"The middle plane of {Path(listing.names[raw.image]).name}; black and white are its 1st and 99.8th "
        "percentile before, and its least and largest value after. What neighbouring pixels differ by, mostly noise, "
        f"is {before:.2f} of the standard deviation before and {after:.2f} after.",
        drawn,
        rows,
        {"raw": source.digest},
    )


def samples(asked: Asked) -> Iterator[Drawn]:
    """Figure 3: what the generator makes, real patches, and the losses of both networks."""
    settings = asked.settings
    model, store = asked.model(settings.gan), PatchStore.open(Path(settings.pool))
    model.check_samples(store)
    made = next(sample(model, SHOWN, settings.seed)).numpy()
    real = to_unit_range(store.read(np.asarray(spread(len(store.obs), SHOWN))), model.value_range).numpy()
    losses = _losses(asked.kept("runs", settings.gan_run), model)
    drawn = figure(7.6, 5.0)
    (left, right), (generator, critic) = drawn.subplots(2, 2, height_ratios=(2.8, 1.6))
    for axis, images, title in ((left, made, "made"), (right, real, "real")):
        axis.imshow(image_plots.montage(images, 8, 1), interpolation="nearest")
        axis.set_axis_off()
        axis.set_title(title, fontsize=9)
    _lines(generator, losses, {"loss/generator": ("generator", TRANSFER)}, "loss of the generator")
    terms = {"loss/distance": ("minus the distance", SCRATCH), "loss/penalty": ("penalty", "0.5")}
    _lines(critic, losses, terms, "loss of the critic")
    yield Drawn(
        "figure-03",
        "Figure 3: samples, real patches and losses",
        f"The first {SHOWN} images of the generator (seed {settings.seed}) and {SHOWN} real patches from all over the "
        f"store, none chosen by eye; below, the losses of {model.config.run.name} at {len(losses)} points of its "
        "training, each of one batch.",
        drawn,
        [{"images_seen": seen, **values} for seen, values in losses.items()],
        {"GAN": model.digest, "pool": store.digest},
    )


def _losses(run: Path, model: Model) -> dict[int, dict[str, float]]:
    """By images seen.  Raises RecipeError: it is the run of another model.  Raises DataError: it logged no losses."""
    known = {
        line["images_seen"]: line["metrics"] for line in read_lines(run) if "loss/distance" in line.get("metrics", {})
    }
    card = run / "model" / "model.json"
    if card.exists() and json.loads(card.read_text(encoding="utf-8"))["state_sha256"] != model.card["state_sha256"]:
        raise RecipeError(
            f"{run} is the run of another model than figures.gan", str(card), "Name the run it comes from"
        )
    if not known:
        raise DataError(
            f"{run} has no losses", "no line of metrics.jsonl names loss/distance", "Name the run of the GAN"
        )
    names = ("loss/generator", "loss/distance", "loss/penalty")
    return {seen: {name: values.get(name, float("nan")) for name in names} for seen, values in known.items()}


def _lines(
    axis: Axes, losses: Mapping[int, Mapping[str, float]], terms: Mapping[str, tuple[str, str]], title: str
) -> None:
    for name, (label, colour) in terms.items():
        points = np.asarray([(seen, values[name]) for seen, values in losses.items()])
        known = points[np.isfinite(points[:, 1])]  # a turn is not taken at every batch
        axis.plot(known[:, 0] / 1000, known[:, 1], color=colour, linewidth=1, label=label)
    tidy(axis, "real images seen [thousands]", "loss [no unit]", title)
    if len(terms) > 1:
        axis.legend(fontsize=7, frameon=False)


def interpolation(asked: Asked) -> Iterator[Drawn]:
    """Walks between codes over the sphere on which they lie.  Raises RecipeError: the model makes nothing of codes."""
    model = asked.model(asked.settings.gan)
    method, nothing = model.method, Batch(torch.zeros(WALKS * STEPS, *model.method.sample.shape))
    if not isinstance(method, Decoding) or method.prior is None:
        raise RecipeError("figures.gan draws no codes", model.config.method.name, "Name a model of wgan_gp")
    codes = method.prior.drawn(Step(nothing, 0, seed=asked.settings.seed), "walk", WALKS + 1)
    walks = slerp(codes[:-1, None], codes[1:, None], torch.linspace(0, 1, STEPS))
    images = method.decoded(walks.flatten(0, 1), nothing).unflatten(0, (WALKS, STEPS))
    drawn = image_plots.grid(
        images.flatten(0, 1).numpy(), "each line from one code (left) to the next (right)", columns=STEPS
    )
    apart = (images[:, 1:] - images[:, :-1]).square().flatten(2).mean(2).sqrt()
    yield Drawn(
        "interpolation",
        "Interpolation between codes",
        f"{WALKS} walks of {STEPS} steps along great circles (slerp) between codes drawn with seed "
        f"{asked.settings.seed}; the last image of a line is the first of the next. From one step to the next the "
        f"images, of [-1, 1], differ by {apart.mean():.3f} (root mean square), {apart.max():.3f} at most; the two "
        f"ends of a walk by {(images[:, -1] - images[:, 0]).square().mean().sqrt():.3f}.",
        drawn,
        [
            {"walk": walk, "step": step, "changed": float(value)}
            for (walk, step), value in np.ndenumerate(apart.numpy())
        ],
        {"GAN": model.digest},
    )
