"""What was made in memory, as a store: samples as a patch store, features as an embedding store."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storage import embeddings, patches
from storage.codecs import DEFAULT
from storage.embeddings import EmbeddingArrays, EmbeddingStore, Features
from storage.manifest import Facts, committed
from storage.patches import PatchArrays, Patches, PatchStore


def write_patches(target: Path, images: Patches, obs: pa.Table, facts: Facts) -> PatchStore:
    """Write samples N C H W or N C D H W, and a row of metadata for each, as a new patch store.

    facts: "channels", "value_range" and "pixel_um" as `PatchStore` has them, "source" (a digest of what they were made
    of), "recipe" (how), and whatever else is to be remembered.
    Raises RecipeError: something stands at `target`.
    """
    arrays = PatchArrays(images.shape, images.dtype.name, {}, {"name": DEFAULT.name})
    with committed(target, patches.KIND, {"labels": []} | facts) as partial:
        arrays.create(partial)
        for start, stop in arrays.shards:
            arrays.write(partial, start, images[start:stop], {})
        pq.write_table(obs, partial / "obs.parquet")
    return PatchStore.open(target)


def write_embeddings(target: Path, features: Mapping[str, Features], obs: pa.Table, facts: Facts) -> EmbeddingStore:
    """Write features N D of each name, and a row of metadata for each of the N, as a new embedding store.

    facts: whatever is to be remembered.
    Raises RecipeError: something stands at `target`.
    """
    sizes = {name: values.shape[1] for name, values in features.items()}
    arrays = EmbeddingArrays(obs.num_rows, sizes, obs.num_rows)
    with committed(target, embeddings.KIND, {"features": sizes, "rows": arrays.rows} | facts) as partial:
        arrays.create(partial)
        arrays.write(partial, 0, features)
        pq.write_table(obs, partial / "obs.parquet")
    return EmbeddingStore.open(target)
