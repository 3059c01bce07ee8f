"""A walk through the latent space of a model of cells: what each dimension of its codes means.

Dimensions are in the order of what they tell: of a VAE by their mean KL(q(z|x) | N(0, 1)) over the cells of a store; of
codes without noise, where that has no meaning, by their effect: the mean squared change of the image, whose range is 2,
from one standard deviation below 0 to one above.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from distgan.families.cells import CellMethod
from distgan.inference.embed import intensity
from distgan.inference.told import samples_of
from distgan.method import Batch
from distgan.model import Model
from distgan.plots import image_plots
from storage import cuts, samples
from storage.datasets import Progress
from storage.durable import disk_errors
from storage.errors import RecipeError
from storage.patches import PatchStore

BATCH = 64
FEATURES = ("mean", "deviation", "skewness", "kurtosis", "largest")
"""Of each channel, as `distgan.inference.embed.intensity` has them."""
GRIDS, FILMS = (".png",), (".gif",)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Dimensions:
    """What the codes of a store say of each dimension of a code, Z each.

    divergence: in nats, NaN of codes without noise.  effect: as above.  correlations: Spearman's, with numbers that are
    known of each cell or measured in its channels, by their name; NaN where the dimension is constant.
    """

    divergence: Floats
    effect: Floats
    mean: Floats
    deviation: Floats
    correlations: dict[str, Floats]

    @property
    def order(self) -> NDArray[np.int64]:
        """The dimensions, those that tell most first."""
        telling = self.divergence if np.isfinite(self.divergence).all() else self.effect
        return np.argsort(-telling, kind="stable")


def traverse(
    model: Model,
    store: PatchStore,
    out: Path,
    *,
    row: int = 0,
    count: int = 8,
    steps: int = 7,
    reach: float = 3.0,
    progress: Progress = lambda done, total: None,
) -> Dimensions:
    """Write a walk to `out`, and what is known of each dimension to the .csv beside it.

    out: .png, a line for each of the first `count` dimensions, in `steps` steps from -reach to reach (standard
    deviations), all others 0; or .gif, a film of the same.  row: the cell of the store to tell a conditional model.
    Raises RecipeError: as `cell_method` and `samples_of`; the path has another suffix, or the store no such row.
    """
    method = cell_method(model)
    if out.suffix not in GRIDS + FILMS:
        raise RecipeError(
            f"a walk cannot be written as {out.suffix or 'a file without suffix'}",
            str(out),
            f"Use one of {', '.join(GRIDS + FILMS)}",
        )
    one = samples_of(model, store, [row])
    codes, divergences, features = codes_of(model, store, progress)
    found = dimensions(codes, divergences, effects(method, one), features | numbers(store.obs))
    shown = found.order[:count]
    walk = np.zeros((len(shown), steps, codes.shape[1]))
    for line, dimension in enumerate(shown):
        walk[line, :, dimension] = np.linspace(-reach, reach, steps)
    images = flat(decoded(method, torch.from_numpy(walk).flatten(0, 1).float(), one))
    out.parent.mkdir(parents=True, exist_ok=True)
    with disk_errors(out):
        if out.suffix in GRIDS:
            title = f"dimensions {', '.join(map(str, shown))}, from above; from {-reach:g} to {reach:g}"
            image_plots.grid(images, title, columns=steps).savefig(out)
        else:
            _write_film(out, images.reshape(len(shown), steps, *images.shape[1:]))
        _write_table(out.with_suffix(".csv"), found)
    return found


def cell_method(model: Model) -> CellMethod:
    """The method of a model of cells.  Raises RecipeError: it is none."""
    if isinstance(model.method, CellMethod):
        return model.method
    raise RecipeError(
        f"{model.config.method.name} has no codes of cells",
        "only models of the integrated cell can be walked and integrated",
        "Take a model of cell_autoencoder, conditional_autoencoder or conditional_beta_vae",
    )


def codes_of(
    model: Model, store: PatchStore, progress: Progress = lambda done, total: None
) -> tuple[Floats, Floats, dict[str, Floats]]:
    """The codes of all cells of a store and their divergences, N Z each, and features of their channels, N each.

    Raises RecipeError: as `samples_of`.
    """
    method, total = cell_method(model), store.shape[0]
    parts: list[tuple[Tensor, ...]] = []
    for start in range(0, total, BATCH):
        batch = samples_of(model, store, range(start, min(start + BATCH, total)))
        with torch.no_grad():
            parts.append((method.codes(batch), method.divergences(batch), intensity(batch.images)))
        progress(start + len(batch), total)
    codes, divergences, features = (torch.cat(each).double().numpy() for each in zip(*parts, strict=True))
    names = [f"{channel} {name}" for channel in store.channels for name in FEATURES]
    return codes, divergences, dict(zip(names, features.T, strict=True))


def numbers(obs: pa.Table) -> dict[str, Floats]:
    """The columns that have a number for every cell, but those that `prepare` has written."""
    found = {}
    for name in set(obs.column_names) - {*cuts.OURS, *samples.OURS}:
        kind = obs.schema.field(name).type
        if (pa.types.is_integer(kind) or pa.types.is_floating(kind)) and not obs.column(name).null_count:
            found[name] = np.asarray(obs.column(name).to_pylist(), np.float64)
    return dict(sorted(found.items()))


def effects(method: CellMethod, cell: Batch) -> Floats:
    """Mean squared change of a cell's image from -1 to 1 along each dimension of its code, all others 0: Z."""
    steps = torch.eye(method.config.latent)
    change = decoded(method, steps, cell) - decoded(method, -steps, cell)
    return change[:, list(method.made)].double().square().flatten(1).mean(1).numpy()


def dimensions(codes: Floats, divergences: Floats, effect: Floats, features: Mapping[str, Floats]) -> Dimensions:
    """What codes N Z, their divergences N Z and the effects Z say of each dimension.

    features: of the same cells, N each; those that do not differ are left out.
    """
    from scipy.stats import rankdata

    ranks = _standard(rankdata(codes, axis=0))
    correlations = {
        name: ranks.T @ _standard(rankdata(values)) / len(values)
        for name, values in features.items()
        if np.isfinite(values).all() and values.std() > 0
    }
    return Dimensions(divergences.mean(0), effect, codes.mean(0), codes.std(0), correlations)


def _standard(values: Floats) -> Floats:
    spread = values.std(0)
    return np.asarray((values - values.mean(0)) / np.where(spread > 0, spread, np.nan))


@torch.no_grad()
def decoded(method: CellMethod, codes: Tensor, cell: Batch) -> Tensor:
    """Images N C ... in [-1, 1] of codes N Z, all told the same one cell; some at a time."""
    parts = []
    for part in codes.split(BATCH):
        images = cell.images.expand(len(part), *cell.images.shape[1:])
        columns = {name: values.expand(len(part)) for name, values in cell.columns.items()}
        parts.append(method.decoded(part, Batch(images, columns)))
    return torch.cat(parts)


def flat(images: Tensor) -> NDArray[np.float32]:
    """Images N C H W as they are; of N C D H W the brightest of each D."""
    found: NDArray[np.float32] = (images.amax(2) if images.ndim == 5 else images).numpy()
    return found


def _write_film(out: Path, walk: NDArray[Any]) -> None:
    """walk: L T C H W.  There and back again, the dimensions side by side."""
    from PIL import Image

    lines = walk.transpose(1, 0, 2, 3, 4)
    pictures = [(255 * image_plots.montage(step)).round().astype(np.uint8) for step in (*lines, *lines[-2:0:-1])]
    first, *others = map(Image.fromarray, pictures)
    first.save(out, save_all=True, append_images=others, duration=120, loop=0)


def _write_table(out: Path, found: Dimensions) -> None:
    """A line for each dimension, in order."""
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["dimension", "divergence_nats", "effect", "mean", "deviation", *found.correlations])
        for one in found.order:
            numbers = (found.divergence, found.effect, found.mean, found.deviation, *found.correlations.values())
            writer.writerow([int(one), *(f"{values[one]:.6g}" for values in numbers)])
