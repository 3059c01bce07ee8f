"""Figures 5 and 6 and table 3: held-out cells made again, and how likely the codes are by which they are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

from distgan.data.batches import to_unit_range
from distgan.plots.figure_look import COLOURS, figure, tidy
from distgan.plots.figure_set import Asked, Drawn, LeftOut
from distgan.plots.latent_plots import mosaic, pictures
from distgan.plots.score_folder import read_facts
from storage.csv_table import read_table
from storage.embeddings import EmbeddingStore
from storage.errors import DataError
from storage.patches import PatchStore
from storage.sampler import Indices
from storage.split import column_values

KEPT = ("rows", "reconstruction", "nearest", "nearest_row", "mean", "surprise")
SHARES = {"as well as the median": 0.5, "as badly as the worst tenth": 0.9}
SAME = 1e-3
"""How far an error found anew may lie from the one that was written, if it is of the same images."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """A folder of `distgan reconstruct`.  columns: of errors.csv, N each.  typical: surprise of the prior."""

    columns: Mapping[str, Floats]
    made: PatchStore
    typical: tuple[float, float] | None

    @property
    def rows(self) -> Indices:
        """Of the store of the images."""
        return self.columns["rows"].astype(np.int64)


def reconstructions(asked: Asked) -> Iterator[Drawn | LeftOut]:
    """The images, then the errors.  Raises DataError: the folders are of other images than `real`."""
    settings = asked.settings
    store = PatchStore.open(Path(settings.real))
    found = {name: _read(Path(folder), store) for name, folder in settings.reconstructions.items()}
    of = np.asarray([str(value) for value in column_values(store.obs, settings.column)])
    common = set.intersection(*(set(one.rows.tolist()) for one in found.values()))
    if common:
        yield _pictures(found, store, of, sorted(common))
    else:
        yield LeftOut("Figure 5: cells made again", "no cell was sought by all models")
    yield _errors(found, of)


def _read(folder: Path, store: PatchStore) -> Found:
    lines = read_table(folder / "errors.csv", KEPT)
    codes = EmbeddingStore.open(folder / "codes.zarr")
    if codes.manifest.facts["patch_store"] != store.digest:
        raise DataError(
            f"{folder} is of other images", f"not of those at {store.path}", "Set figures.real to the store it is of"
        )
    typical = read_facts(folder / "summary.json", "distgan reconstruct")["surprise of the prior"]
    columns = {name: np.asarray([float(line[name] or "nan") for line in lines]) for name in KEPT}
    prior = None if typical is None else (float(typical["mean"]), float(typical["deviation"]))
    return Found(columns, PatchStore.open(folder / "images.zarr"), prior)


def _pictures(found: Mapping[str, Found], store: PatchStore, of: NDArray[np.str_], common: Sequence[int]) -> Drawn:
    """Of each protein the cells at some ranks of the first folder's errors: nobody chose them."""
    first = next(iter(found.values()))
    here = np.flatnonzero(np.isin(first.rows, common))
    drawn = figure(1.15 * len(SHARES) * (len(found) + 2) + 0.7, 0.62 * 2 * len(set(of[first.rows[here]])) + 0.5)
    numbers: list[dict[str, Any]] = []
    for axis, (label, share) in zip(drawn.subplots(1, len(SHARES), squeeze=False)[0], SHARES.items(), strict=True):
        kinds, chosen = _ranked(first, here, of, share)
        columns = _columns(found, store, chosen)
        shown = [pictures(images, store.channels) for images, _ in columns.values()]
        axis.imshow(
            mosaic([np.stack([line[row] for line in shown]) for row in range(len(chosen))]), interpolation="nearest"
        )
        height, width = shown[0].shape[1:3]
        for place, (name, (_, errors)) in enumerate(columns.items()):
            for row, error in enumerate(errors):
                if np.isfinite(error):
                    at = place * (width + 2) + 0.96 * width, row * (height + 2) + 0.95 * height
                    axis.text(*at, f"{error:.3f}", color="white", fontsize=6, ha="right", va="bottom")
                numbers.append(
                    {"like": label, "protein": kinds[row], "row": chosen[row], "cells": name, "error": error}
                )
        names = [fill(name, 15) for name in columns]
        axis.set_xticks([(width + 2) * place + width / 2 for place in range(len(columns))], names, fontsize=7)
        axis.set_yticks([(height + 2) * row + height / 2 for row in range(len(chosen))], kinds, fontsize=7)
        axis.tick_params(length=0, labeltop=True, labelbottom=False)
        axis.spines[:].set_visible(False)
        axis.set_title(label, fontsize=9)
    return Drawn(
        "reconstructions",
        "Figure 5: held-out cells made again",
        f"Of each protein the cell that {next(iter(found))} makes again as well as its median one, and as badly as its "
        "worst tenth begins; beside it the nearest training cell. On each its error: the root of the mean squared "
        "difference, black 0 and white 1.",
        drawn,
        numbers,
        {name: one.made.digest for name, one in found.items()},
    )


def _ranked(first: Found, here: Indices, of: NDArray[np.str_], share: float) -> tuple[list[str], list[int]]:
    """Proteins, and of each the row whose error has that rank."""
    kinds = sorted(set(of[first.rows[here]].tolist()))
    chosen = []
    for kind in kinds:
        own = here[of[first.rows[here]] == kind]
        order = own[np.argsort(first.columns["reconstruction"][own], kind="stable")]
        chosen.append(int(first.rows[order[int(share * (len(order) - 1))]]))
    return kinds, chosen


def _columns(
    found: Mapping[str, Found], store: PatchStore, chosen: Sequence[int]
) -> dict[str, tuple[torch.Tensor, Floats]]:
    """Images N C H W in [-1, 1] and their errors, by what they are called."""
    first = next(iter(found.values()))
    real = _images(store, np.asarray(chosen))
    columns = {"image": (real, np.full(len(chosen), np.nan))}
    where = np.asarray([np.flatnonzero(first.rows == row)[0] for row in chosen])
    rows, nearest = first.columns["nearest_row"][where].astype(np.int64), first.columns["nearest"][where]
    if rows.max() < store.shape[0]:
        images = _images(store, rows)
        apart = 0.5 * (images - real).flatten(1).square().mean(1).sqrt().numpy()
        if np.allclose(apart, nearest, atol=SAME):  # else the models were trained on another store
            columns["nearest"] = images, nearest
    for name, one in found.items():
        own = np.asarray([np.flatnonzero(one.rows == row)[0] for row in chosen])
        columns[name] = _images(one.made, own), one.columns["reconstruction"][own]
    return columns


def _images(store: PatchStore, rows: Indices) -> torch.Tensor:
    """In the order of the rows, N C H W in [-1, 1]."""
    places, order = np.unique(rows, return_inverse=True)
    return to_unit_range(store.read(places)[order], store.value_range)


def _errors(found: Mapping[str, Found], of: NDArray[np.str_]) -> Drawn:
    """Errors against those of the nearest training cell, and against how surprising the codes are."""
    kinds = sorted({kind for one in found.values() for kind in of[one.rows].tolist()})
    coded = any(one.typical for one in found.values())
    drawn = figure(2.6 * len(found) + 0.6, 2.7 * (1 + coded) + 0.5)
    axes = drawn.subplots(1 + coded, len(found), squeeze=False, sharey="row", sharex="row")
    numbers: list[dict[str, Any]] = []
    for column, (name, one) in enumerate(found.items()):
        own, error = of[one.rows], one.columns["reconstruction"]
        for kind in ("all", *kinds):
            which = np.ones(len(own), np.bool_) if kind == "all" else own == kind
            numbers.append({"model": name, "protein": kind, "cells": int(which.sum())} | _table(one, which))
        _cloud(axes[0, column], one.columns["nearest"], error, own, kinds)
        most = 1.08 * max(max(o.columns["nearest"].max(), o.columns["reconstruction"].max()) for o in found.values())
        axes[0, column].plot((0, most), (0, most), color="0.5", lw=0.9, ls="--")
        axes[0, column].set(xlim=(0, most), ylim=(0, most), aspect="equal")
        tidy(axes[0, column], "error of the nearest training cell [of white]", "error [of white]" if not column else "")
        axes[0, column].set_title(name, fontsize=9)
        if coded and one.typical:
            mean, deviation = one.typical
            axes[1, column].axhspan(mean - 3 * deviation, mean + 3 * deviation, color="0.9", lw=0)
            _cloud(axes[1, column], error, one.columns["surprise"], own, kinds)
            axes[1, column].axvline(float(np.median(one.columns["nearest"])), color="0.5", lw=0.9, ls=":")
            axes[1, column].set_xlim(0, None)
        if coded:
            tidy(axes[1, column], "error [of white]", "surprise of the code [nats]" if not column else "")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=7, frameon=False)
    return Drawn(
        "errors",
        "Figure 6 and table 3: errors of reconstructions, and likelihoods of their codes",
        "A dot for each held-out cell; crosses are medians of all cells with their median absolute deviations. "
        "Above: below the dashed line a cell is made again better than by its nearest training cell. Below: minus "
        "the log-likelihood of the code; grey where drawn codes lie (mean and 3 deviations), dotted the median error "
        "of the nearest training cell. The table has medians and median absolute deviations by protein.",
        drawn,
        numbers,
        {name: one.made.digest for name, one in found.items()},
    )


def _cloud(axis: Axes, x: Floats, y: Floats, own: NDArray[np.str_], kinds: Sequence[str]) -> None:
    for number, kind in enumerate(kinds):
        which = own == kind
        axis.scatter(x[which], y[which], s=11, color=COLOURS[number % len(COLOURS)], alpha=0.7, lw=0, label=kind)
    (at, wide), (height, high) = _median(x), _median(y)
    axis.errorbar(at, height, xerr=wide, yerr=high, color="black", lw=1.3, capsize=2, label="median ± MAD")


def _median(values: Floats) -> tuple[float, float]:
    """And the median absolute deviation, unscaled."""
    median = float(np.median(values))
    return median, float(np.median(np.abs(values - median)))


def _table(one: Found, which: NDArray[np.bool_]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in ("reconstruction", "nearest", "mean", "surprise"):
        found[name], found[f"{name} MAD"] = _median(one.columns[name][which])
    better = one.columns["reconstruction"][which] < one.columns["nearest"][which]
    return found | {"better than nearest": float(better.mean())}
