"""How well can a generator make images that it was not trained on? Their codes are sought, and errors compared.

    OUT/codes.zarr      embedding store: `codes`, `errors`, and of the encoder alone `encoded`, `encoded_errors`
    OUT/images.zarr     patch store of what the generator makes of those codes, in the same order
    OUT/errors.csv      a line for each image: its errors, and how surprising its code is
    OUT/summary.json    medians, in all and by the classes of a column
    OUT/panel.png, OUT/errors.png, OUT/surprise.png

Errors are roots of mean squared differences, black 0 and white 1. Beside the reconstruction stand the nearest training
image, which a generator that only remembers would give, and the mean training image, which needs none.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from pyarrow import csv

from distgan.codes import Prior
from distgan.data.batches import choose, from_unit_range, open_store
from distgan.engine.numerics import one_thread
from distgan.inference.invert import Codes, Inverter, Search
from distgan.inference.told import evenly, samples_of
from distgan.model import Model
from distgan.plots import latent_plots
from storage.datasets import Progress
from storage.durable import disk_errors, write_file
from storage.embeddings import KIND, EmbeddingArrays, EmbeddingStore, Features
from storage.errors import RecipeError
from storage.journal import resumable
from storage.made import write_patches
from storage.manifest import Facts
from storage.patches import PatchStore
from storage.sampler import Indices
from storage.split import column_values

FORMAT = 1
"""Of what is written; another number makes what a killed call has begun worthless."""
BATCH = 32
"""Images whose codes are sought at once."""
BLOCK = 1024
TOLD = 1024
"""Training samples of which conditions are drawn."""
SHOWN = 12
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Compared:
    """Errors of N images, N each.  nearest_row: of the training image that is nearest.  surprise: of codes, in nats."""

    rows: Indices
    reconstruction: Floats
    encoder: Floats
    nearest: Floats
    nearest_row: Indices
    mean: Floats
    surprise: Floats

    def table(self) -> pa.Table:
        """A row for each image."""
        return pa.table({name: getattr(self, name) for name in self.__dataclass_fields__})


def reconstruct(
    model: Model,
    store: PatchStore,
    out: Path,
    search: Search,
    *,
    count: int | None = None,
    by: str = "",
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Seek the codes of the images that were held out of a model's training, or of all of another store.

    count: so many of them, evenly taken.  by: a column of classes that are told apart in the summary.  A call that was
    killed is gone on with by the same call.  progress: in images, and before that in steps of the encoder.
    Returns the summary.
    Raises RecipeError: the model makes no images of codes, the samples are not such as it was trained on, or other
    codes stand in `out`.
    """
    train_store, train = training_rows(model, store)
    rows = held_out_rows(model, store, count)
    classes = np.asarray([str(value) for value in column_values(store.obs, by)])[rows] if by else None
    some = samples_of(model, train_store, evenly(train, TOLD))
    with one_thread():
        inverter = Inverter(model, search, some, progress)
        codes = _codes(inverter, model, store, rows, out / "codes.zarr", progress)
    compared = _compared(inverter, model, store, rows, codes, train_store, train)
    summary = _summary(compared, inverter.prior, search, classes, by)
    _write(inverter, model, store, codes, compared, train_store, summary, out)
    return summary


def training_rows(model: Model, store: PatchStore) -> tuple[PatchStore, Indices]:
    """The store that the model was trained on, and the rows that it learned from; `store` may be that."""
    config = model.config.data
    own = store if store.digest == model.card["patch_store"] else open_store(config)
    return own, choose(own, config).train


def held_out_rows(model: Model, store: PatchStore, count: int | None) -> Indices:
    """Of the store the model was trained on those it has not seen, if there are any; of another, all."""
    rows = np.arange(store.shape[0])
    if store.digest == model.card["patch_store"]:
        held_out = choose(store, model.config.data).held_out
        rows = held_out if len(held_out) else rows
    return rows if count is None else evenly(rows, count)


def _codes(
    inverter: Inverter, model: Model, store: PatchStore, rows: Indices, target: Path, progress: Progress
) -> EmbeddingStore:
    """The codes of these rows, as far as an earlier attempt has not found them."""
    facts: Facts = {
        "model": model.digest,
        "patch_store": store.digest,
        "chosen": hashlib.sha256(rows.tobytes()).hexdigest(),
        "search": inverter.search.dump(),
    }
    if target.exists():
        return _the_same(target, facts)
    sizes = inverter.sizes(samples_of(model, store, rows[:1]))
    arrays = EmbeddingArrays(len(rows), sizes, min(BATCH, len(rows)))
    whole = {"features": sizes, "rows": arrays.rows} | facts
    key = hashlib.sha256(json.dumps([FORMAT, BATCH, torch.__version__, facts]).encode()).hexdigest()
    with resumable(target, KIND, whole, key) as work:
        arrays.create(work.path)
        for start, stop in arrays.shards:
            if str(start) not in work.done:
                own = rows[start:stop]
                found = _features(inverter(samples_of(model, store, own), own.tolist()))
                work.finish(str(start), arrays.write(work.path, start, found), None)
            progress(stop, len(rows))
        obs = store.obs.take(pa.array(rows))
        pq.write_table(obs.append_column("patch_row", pa.array(rows)), work.path / "obs.parquet")
    return EmbeddingStore.open(target)


def _the_same(target: Path, facts: Facts) -> EmbeddingStore:
    found = EmbeddingStore.open(target)
    if other := sorted(name for name in facts if found.manifest.facts.get(name) != facts[name]):
        raise RecipeError(
            f"other codes stand at {target}", f"they differ in {', '.join(other)}", "Give another --out, or remove them"
        )
    return found


def _features(codes: Codes) -> dict[str, Features]:
    found = {"codes": codes.codes, "errors": codes.errors[:, None]}
    if codes.encoded is not None:
        found |= {"encoded": codes.encoded, "encoded_errors": codes.encoded_errors[:, None]}
    return {name: values.numpy() for name, values in found.items()}


def _compared(
    inverter: Inverter,
    model: Model,
    store: PatchStore,
    rows: Indices,
    codes: EmbeddingStore,
    train_store: PatchStore,
    train: Indices,
) -> Compared:
    """Errors of the codes, and of what needs no model."""
    channels = inverter.channels

    def light(of: PatchStore, chosen: Indices) -> NDArray[np.float32]:
        images = samples_of(model, of, chosen).images[:, channels]
        found: NDArray[np.float32] = (0.5 * images + 0.5).flatten(1).numpy()
        return found

    pixels = len(light(store, rows[:1])[0])
    own, mean = light(store, rows), np.zeros(pixels)
    best, where = np.full(len(rows), np.inf), np.zeros(len(rows), np.int64)
    squares = np.square(own, dtype=np.float64).sum(1)
    same = store.digest == train_store.digest
    for start in range(0, len(train), BLOCK):
        block = train[start : start + BLOCK]
        others = light(train_store, block)
        mean += others.sum(0, dtype=np.float64) / len(train)
        apart = squares[:, None] + np.square(others, dtype=np.float64).sum(1) - 2.0 * (own @ others.T)
        if same:
            apart[rows[:, None] == block] = np.inf  # an image is not its own neighbour
        nearest = apart.argmin(1)
        closer = apart[np.arange(len(rows)), nearest] < best
        best = np.where(closer, apart[np.arange(len(rows)), nearest], best)
        where = np.where(closer, block[nearest], where)
    surprise = np.full(len(rows), np.nan)
    if inverter.prior is not None:
        surprise = inverter.prior.surprise(torch.from_numpy(codes.read("codes"))).double().numpy()
    encoder = codes.read("encoded_errors")[:, 0] if "encoded" in codes.sizes else np.full(len(rows), np.nan)
    return Compared(
        rows,
        codes.read("errors")[:, 0].astype(np.float64),
        encoder.astype(np.float64),
        np.sqrt(best.clip(0) / pixels),
        where,
        np.sqrt(np.square(own - mean).mean(1)),
        surprise,
    )


def _summary(
    compared: Compared, prior: Prior | None, search: Search, classes: NDArray[np.str_] | None, by: str
) -> dict[str, Any]:
    whole = np.ones(len(compared.rows), np.bool_)
    groups = {"all": whole}
    if classes is not None:
        groups |= {f"{by} {name}": classes == name for name in np.unique(classes).tolist()}
    lines = [{"images": name, "count": int(own.sum())} | _medians(compared, own) for name, own in groups.items()]
    typical = None if prior is None else dict(zip(("mean", "deviation"), prior.typical(), strict=True))
    return {"search": search.dump(), "errors": lines, "surprise of the prior": typical}


def _medians(compared: Compared, own: NDArray[np.bool_]) -> dict[str, Any]:
    """Medians, each with the median distance to it; and how often a reconstruction is better than the nearest image."""
    found: dict[str, Any] = {}
    for name in ("reconstruction", "encoder", "nearest", "mean", "surprise"):
        values = getattr(compared, name)[own]
        if np.isfinite(values).all():
            median = float(np.median(values))
            found |= {name: round(median, 4), f"{name} ±": round(float(np.median(np.abs(values - median))), 4)}
    better = compared.reconstruction[own] < compared.nearest[own]
    return found | {"better than nearest": round(float(better.mean()), 4)}


def _write(
    inverter: Inverter,
    model: Model,
    store: PatchStore,
    codes: EmbeddingStore,
    compared: Compared,
    train_store: PatchStore,
    summary: Mapping[str, Any],
    out: Path,
) -> None:
    rows, parts = compared.rows, []
    sought = torch.from_numpy(codes.read("codes"))
    for start in range(0, len(rows), BATCH):
        own = slice(start, start + BATCH)
        with torch.no_grad():
            parts.append(inverter.method.decoded(sought[own], samples_of(model, store, rows[own])))
    made = torch.cat(parts)
    target = out / "images.zarr"
    if not target.exists():
        card = model.card
        facts = {name: card[name] for name in ("channels", "value_range", "pixel_um")}
        facts |= {"source": codes.digest, "recipe": inverter.search.dump(), "model": model.digest}
        write_patches(target, from_unit_range(made, model.value_range, card["dtype"]), codes.obs, facts)
    with disk_errors(out):
        csv.write_csv(compared.table(), out / "errors.csv")
    write_file(out / "summary.json", (json.dumps(summary, indent=1) + "\n").encode())
    _draw(model, store, compared, train_store, made, inverter.prior, out)


def _draw(
    model: Model,
    store: PatchStore,
    compared: Compared,
    train_store: PatchStore,
    made: torch.Tensor,
    prior: Prior | None,
    out: Path,
) -> None:
    """Images from the best to the worst at even ranks, so that nobody chose them; and two clouds."""
    order = np.argsort(compared.reconstruction, kind="stable")
    shown = order[np.linspace(0, len(order) - 1, min(SHOWN, len(order))).astype(int)]
    lines = [
        ("image", samples_of(model, store, compared.rows[shown]).images),
        ("reconstruction", made[torch.from_numpy(shown)]),
        ("nearest in training", samples_of(model, train_store, compared.nearest_row[shown]).images),
    ]
    names = [f"{value:.3f}" for value in compared.reconstruction[shown]]
    with disk_errors(out):
        latent_plots.lines(
            lines, model.card["channels"], names, "evenly from the best to the worst; above each its error"
        ).savefig(out / "panel.png")
        latent_plots.errors(compared.nearest, compared.reconstruction).savefig(out / "errors.png")
        if prior is not None:
            latent_plots.surprise(compared.reconstruction, compared.surprise, prior.typical()).savefig(
                out / "surprise.png"
            )
