"""`distgan evaluate dependence`: how much does a predicted structure depend on each reference channel?

A structure is predicted from its class and its cell, at z^s = 0, and compared with the cell's own: by correlation, and
by cross-entropy in nats. Then a channel is taken from another held-out cell, and the prediction compared again; what is
lost is what the channel was worth. Beside it stands the mean training image of the class, which needs no channel.

    drop     correlation lost       rise   cross-entropy gained      95 % of their means over resampled groups
    change   1 - the correlation of both predictions with each other: how much the model looks at the channel,
             whether or not that helps

Channels are permuted across all cells, whatever their structure, as the integrated cell's successor does for its ELBO.
"""

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field
from torch import Tensor

from distgan.assessment.cell_measures import correlations, cross_entropies, likeliest, names_of
from distgan.assessment.cell_sets import CellSets, CellSettings, flattened, rounded
from distgan.method import Batch
from distgan.plots import cell_plots
from distgan.score import Asked, Told
from storage.errors import DataError


class Settings(CellSettings):
    """`[dependence]`: permutations: of the cells, by which every cell gets so many others' channels in turn."""

    permutations: int = Field(5, ge=1)


def score(asked: Asked) -> Told:
    """Score a model that makes structures.

    Raises RecipeError: it makes none, or has seen all cells.  Raises DataError: there are too few cells to exchange.
    """
    settings: Settings = asked.settings
    sets = CellSets.of(asked)
    names = names_of(sets.cells, sets.reference)
    exchanged: dict[str, tuple[int, ...]] = {
        name: (channel,) for name, channel in zip(names, sets.reference, strict=True)
    }
    if len(names) > 1:
        exchanged[" and ".join(names)] = sets.reference
    partners = others(len(sets.held_out), settings.permutations, settings.seed)
    own = likeliest(sets.cells, sets.held_out)
    real = _agreement(sets, own)
    mean = _agreement(sets, sets.means(sets.held_out))
    rows: list[dict[str, Any]] = []
    for done, (name, channels) in enumerate(exchanged.items()):
        lost, gained, change = (torch.zeros(len(sets.held_out), dtype=torch.float64) for _ in range(3))
        for order in partners:
            images = sets.held_out.images.clone()
            images[:, list(channels)] = images[order][:, list(channels)]
            other = likeliest(sets.cells, Batch(images, sets.held_out.columns))
            found = _agreement(sets, other)
            lost += (real[0] - found[0]) / len(partners)
            gained += (found[1] - real[1]) / len(partners)
            change += (1 - correlations(sets.cells, own, other)) / len(partners)
        for structure, which in sets.structures.items():
            rows.append(
                {
                    "structure": structure,
                    "exchanged": name,
                    "cells": int(which.sum()),
                    "correlation": rounded(real[0][which].mean()),
                    "without it": rounded((real[0] - lost)[which].mean()),
                    **flattened("drop", sets.estimate(lost, which)),
                    "mean image": rounded(mean[0][which].mean()),
                    "cross-entropy": rounded(real[1][which].mean()),
                    **flattened("rise", sets.estimate(gained, which)),
                    "mean image's": rounded(mean[1][which].mean()),
                    "change": rounded(change[which].mean()),
                }
            )
        asked.progress(done + 1, len(exchanged))
    facts = {
        "score": "dependence",
        "of": asked.target,
        "held-out cells": len(sets.held_out),
        "scores": rows,
        "settings": settings.model_dump(mode="json"),
    }
    return Told(facts, {"dependence": pa.Table.from_pylist(rows)}, {"dependence": partial(cell_plots.drops, rows)})


def others(count: int, permutations: int, seed: int) -> list[Tensor]:
    """So many ways to give every cell another cell, N each: nobody has itself, and nobody the same one twice.

    Raises DataError: there are too few cells for that.
    """
    if count <= permutations:
        raise DataError(
            "there are too few held-out cells to exchange channels",
            f"{count} cells, {permutations} others of each",
            f"Hold out more, or lower dependence.permutations below {count}",
        )
    random = np.random.Generator(np.random.Philox(key=[seed, 8]))
    order = random.permutation(count)
    found = []
    for shift in 1 + random.permutation(count - 1)[:permutations]:
        partner = np.empty(count, np.int64)
        partner[order] = np.roll(order, shift)
        found.append(torch.from_numpy(partner))
    return found


def _agreement(sets: CellSets, predicted: Tensor) -> tuple[Tensor, Tensor]:
    """Correlation and cross-entropy of every held-out cell's structure with the one predicted, N each."""
    cells, images = sets.cells, sets.held_out.images
    light, made = (cells.light(one, cells.structure) for one in (images, predicted))
    return correlations(cells, images, predicted), cross_entropies(light, made).double()
