"""`distgan evaluate cells`: what a model of cells makes of cells that it has not seen, structure by structure.

    classes         cells of each structure in each set (table S8 of Johnson et al. 2017)
    confusion       structures that are, against those that the encoder says (table S9); beside its accuracy that of
                    the commonest class, and of a logistic regression on mean and deviation of each channel
    reconstruction  signal-to-noise (dB) and cross-entropy (nats) of each channel made again, means over training and
                    over held-out cells; beside them those of the mean training image
    colocalisation  correlation over pixels of the structure with each reference channel: in real cells, with the
                    likeliest structure (z^s = 0), with drawn ones, and with the mean training image of the class
    uncertainty     spread: of structures drawn for one cell, the deviation at each pixel, root mean square; error: how
                    far their mean is from the cell's own; real spread: of that class between training cells.  A model
                    that knows what it does not know has a spread as large as its error.
    normality       mean Kolmogorov-Smirnov distance of the codes of held-out cells from N(0, 1)

Light is from 0 to 1. Limits are 95 % of a mean over resampled groups (`cells.groups`). What a model lacks is left out.
"""

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field
from torch import Tensor

from distgan.assessment.cell_measures import cross_entropies, likeliest, made, names_of, psnrs
from distgan.assessment.cell_sets import ALL, CellSets, CellSettings, flattened, kinds_of, rounded
from distgan.evaluations.cells import intensity, normality
from distgan.method import Batch, Step
from distgan.metrics.baselines import logistic, majority
from distgan.metrics.channels import correlations
from distgan.metrics.classification import Floats, accuracy, balanced_accuracy, confusion, resamples
from distgan.plots import cell_plots
from distgan.score import Asked, Told

Rows = list[dict[str, Any]]


class Settings(CellSettings):
    """`[cells]`: draws: codes of each held-out cell's structure."""

    draws: int = Field(8, ge=2)


def score(asked: Asked) -> Told:
    """Score a model of cells.  Raises RecipeError: it is none, or has seen all cells."""
    settings: Settings = asked.settings
    sets = CellSets.of(asked)
    found: dict[str, Any] = {"normality": rounded(normality(_codes(sets)))}
    tables: dict[str, Rows] = {"classes": _classes(sets), "reconstruction": _reconstruction(sets)}
    figures: dict[str, Any] = {}
    asked.progress(1, 3)
    if (scores := made(sets.held_out, lambda part: sets.cells.class_scores(part.images))).shape[1]:
        rows, matrix, tables["confusion"] = _told(sets, scores.double().softmax(1).cpu().numpy())
        tables["accuracy"] = rows
        title = f"{len(sets.held_out)} held-out cells, {rows[0]['accuracy']:.1%} right"
        figures["confusion"] = partial(cell_plots.confusion, sets.cells.classes, matrix, title)
    asked.progress(2, 3)
    if sets.cells.classes and getattr(sets.cells, "reference", ()):
        drawn = _drawn(sets, settings)
        tables["colocalisation"] = _colocalisation(sets, drawn)
        tables["uncertainty"] = _uncertainty(sets, drawn)
        figures["colocalisation"] = partial(cell_plots.colocalisation, tables["colocalisation"])
        figures["uncertainty"] = partial(cell_plots.spreads, tables["uncertainty"])
    asked.progress(3, 3)
    facts = {"score": "cells", "of": asked.target, "held-out cells": len(sets.held_out), **found, **tables}
    facts["settings"] = settings.model_dump(mode="json")
    return Told(facts, {name: pa.Table.from_pylist(rows) for name, rows in tables.items()}, figures)


def _codes(sets: CellSets) -> Floats:
    return made(sets.held_out, sets.cells.codes).double().cpu().numpy()


def _classes(sets: CellSets) -> Rows:
    names = list(sets.cells.classes) or [ALL]
    rows = [{"structure": name, **{which: of.get(name, 0) for which, of in sets.counts.items()}} for name in names]
    if len(rows) > 1:
        rows.append({"structure": ALL, **{which: sum(of.values()) for which, of in sets.counts.items()}})
    return [{"structure": row.pop("structure"), "total": sum(row.values()), **row} for row in rows]


def _reconstruction(sets: CellSets) -> Rows:
    """A line for each set, structure and channel that is made."""
    cells, rows = sets.cells, []
    for name, batch in (("train", sets.train), ("held out", sets.held_out)):
        again, mean = made(batch, cells.reconstruction), sets.train.images.mean(0).expand_as(batch.images)
        whole = torch.ones(len(batch), dtype=torch.bool)
        kinds = kinds_of(cells, batch)
        for number, channel in zip(cells.made, names_of(cells, cells.made), strict=True):
            real, made_again, mean_light = (cells.light(one, (number,)) for one in (batch.images, again, mean))
            values = {
                "PSNR [dB]": psnrs(real, made_again),
                "mean image's PSNR": psnrs(real, mean_light),
                "cross-entropy": cross_entropies(real, made_again),
                "mean image's": cross_entropies(real, mean_light),
            }
            for structure, own in {**kinds, ALL: whole}.items():
                means = {key: rounded(value[own].double().mean()) for key, value in values.items()}
                rows.append({"set": name, "structure": structure, "channel": channel, "cells": int(own.sum())} | means)
    return rows


def _told(sets: CellSets, probabilities: Floats) -> tuple[Rows, Floats, Rows]:
    """Accuracies with limits, of the encoder and of who has not looked; the confusion, and that as a table."""
    cells = sets.cells
    truth, of_train = (batch.columns[cells.config.column].cpu().numpy() for batch in (sets.held_out, sets.train))
    count = len(cells.classes)
    weights = resamples(sets.groups, sets.settings.resamples, sets.settings.seed)
    by = {
        "encoder": probabilities,
        "intensity": logistic(intensity(cells, sets.train), of_train, intensity(cells, sets.held_out), count),
        "majority": majority(of_train, count, len(truth)),
    }
    rows = []
    for name, said in by.items():
        row: dict[str, Any] = {"by": name}
        drawn = confusion(truth, said, weights)
        for key, measure in (("accuracy", accuracy), ("balanced accuracy", balanced_accuracy)):
            limits = np.nanquantile(measure(drawn), (0.025, 0.975))
            row |= flattened(
                key,
                {"mean": rounded(float(measure(confusion(truth, said)))), "95%": [rounded(limit) for limit in limits]},
            )
        rows.append(row)
    matrix = confusion(truth, probabilities)
    table = [
        {"structure": name, **{other: int(n) for other, n in zip(cells.classes, line, strict=True)}}
        for name, line in zip(cells.classes, matrix, strict=True)
    ]
    return rows, matrix, table


def _drawn(sets: CellSets, settings: Settings) -> Tensor:
    """Structures of normal codes in the held-out cells, in light: draws N C ...."""
    cells, batch = sets.cells, sets.held_out
    found = []
    for draw in range(settings.draws):
        codes = Step(batch, 0, seed=settings.seed).normal(f"z^s {draw}", len(batch), cells.config.latent)
        told = Batch(batch.images, {**batch.columns, "": codes})  # the codes are cut into parts as the cells are
        images = made(told, lambda part: cells.decoded(part.columns[""], part))
        found.append(cells.light(images, cells.structure))
    return torch.stack(found)


def _colocalisation(sets: CellSets, drawn: Tensor) -> Rows:
    cells, batch = sets.cells, sets.held_out
    reference = cells.light(batch.images, sets.reference)
    real, likely, mean = (
        cells.light(one, cells.structure).mean(1) for one in (batch.images, likeliest(cells, batch), sets.means(batch))
    )
    rows: Rows = []
    for number, channel in enumerate(names_of(cells, sets.reference)):
        own = reference[:, number]
        kinds = {"real": _together(real, own), "likeliest": _together(likely, own), "mean image": _together(mean, own)}
        kinds["drawn"] = torch.stack([_together(one.mean(1), own) for one in drawn]).mean(0)
        for structure, which in sets.structures.items():
            row: dict[str, Any] = {"structure": structure, "channel": channel, "cells": int(which.sum())}
            for name, values in kinds.items():
                row |= flattened(name, sets.estimate(values, which))
            rows.append(row | flattened("drawn - real", sets.estimate(kinds["drawn"] - kinds["real"], which)))
    return rows


def _together(one: Tensor, other: Tensor) -> Tensor:
    """Correlation over pixels of one channel with another, of each image, N; 0 where one is even."""
    found = correlations(torch.stack([one, other], 1).cpu().numpy())[:, 0]
    return torch.from_numpy(np.nan_to_num(found))


def _uncertainty(sets: CellSets, drawn: Tensor) -> Rows:
    cells = sets.cells
    light = cells.light(sets.held_out.images, cells.structure)
    spread = drawn.var(0).flatten(1).mean(1)
    error = (drawn.mean(0) - light).square().flatten(1).mean(1)
    of_train, train = kinds_of(cells, sets.train), cells.light(sets.train.images, cells.structure)
    rows = []
    for structure, which in sets.structures.items():
        own = train[of_train[structure]] if structure in of_train else train
        row: dict[str, Any] = {"structure": structure, "cells": int(which.sum())}
        row |= {"spread": _root(spread[which]), "error": _root(error[which])}
        rows.append(row | {"real spread": _root(own.var(0)) if len(own) > 1 else None})
    return rows


def _root(squares: Tensor) -> float:
    return rounded(squares.double().mean().sqrt())
