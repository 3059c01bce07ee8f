"""Codes that a model has written to an embedding store, brought to the samples of a run by the name of each sample.

It is what `[init]` would compute along, read instead (`distgan embed MODEL STORE --out CODES`).
"""

from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distgan import model
from distgan.config.run_config import AnyRun
from distgan.config.sections import Augment
from distgan.method import StoredCodes
from storage.embeddings import EmbeddingStore
from storage.errors import DataError, RecipeError
from storage.manifest import read_manifest
from storage.patches import PatchStore
from storage.sampler import Indices
from storage.split import column_values

FEATURES = "representation"


def stored_codes(store: PatchStore, rows: Indices, config: AnyRun, asked: StoredCodes) -> Tensor:
    """The codes of these rows of a patch store, N D float32.

    Raises RecipeError: they are of another model than that of `[init]`, or of another patch store; of another length;
    images are augmented; or the column does not name each sample.  Raises DataError: a sample has no code, or the
    embedding store is damaged.  Raises MissingError: there is none.
    """
    codes = EmbeddingStore.open(Path(asked.store))
    _check_origin(codes, store, config, asked)
    named = [str(name) for name in column_values(codes.obs, asked.by)]
    own = [str(name) for name in column_values(store.obs, asked.by)]
    wanted = [own[row] for row in rows]
    for names, path in ((named, codes.path), (wanted, store.path)):
        (name, often) = Counter(names).most_common(1)[0] if names else ("", 0)
        if often > 1:
            raise RecipeError(
                f"the column {asked.by!r} of {path} does not name each cell",
                f"{often:,} have {name!r}",
                "Set method.codes_by to a column that no two cells share",
            )
    place = {name: row for row, name in enumerate(named)}
    if missing := [name for name in wanted if name not in place]:
        raise DataError(
            f"{codes.path} has no code of {len(missing):,} of {len(wanted):,} cells that train",
            f"such as {asked.by} {missing[0]}",
            "Embed the whole store that is trained on: distgan embed",
        )
    return torch.from_numpy(codes.read(FEATURES)[np.asarray([place[name] for name in wanted], np.int64)])


def _check_origin(codes: EmbeddingStore, store: PatchStore, config: AnyRun, asked: StoredCodes) -> None:
    """That they are of the right samples, by the model that a network begins with, and of images as they train."""
    facts, again = codes.manifest.facts, f"Write them anew: distgan embed MODEL {store.path} --out {codes.path.name}"
    if facts.get("patch_store") != store.digest:
        raise RecipeError(
            f"{codes.path} has codes of another store's cells",
            f"its patch store is {str(facts.get('patch_store'))[:12]}..., and {store.path} is {store.digest[:12]}...",
            again,
        )
    init = config.init.get(asked.network)
    digest = (init.digest or read_manifest(Path(init.model), model.KIND).digest) if init else ""
    if facts.get("model") != digest:
        raise RecipeError(
            f"{codes.path} was written by another model than that of init.{asked.network}",
            f"it was {str(facts.get('model'))[:12]}..., and init.{asked.network} is {digest[:12] or 'not set'}...",
            f"Name that model in init.{asked.network}, or embed by the one named there",
        )
    if facts.get("method") != asked.method or codes.sizes.get(FEATURES) != asked.length:
        raise RecipeError(
            f"{codes.path} has no codes of {asked.length} numbers by {asked.method}",
            f"its {FEATURES} is of {codes.sizes.get(FEATURES, 0)} numbers by {facts.get('method')}",
            again,
        )
    if config.augment != Augment():
        raise RecipeError(
            "codes that are read are of images as they lie in the store",
            "[augment] changes images",
            "Leave [augment] out, or method.codes, so that they are computed along",
        )
