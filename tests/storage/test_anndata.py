"""An export as the specification of AnnData has it; read by the library itself where that is installed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from storage.anndata import MAPPINGS, export_anndata
from storage.embeddings import KIND, EmbeddingArrays, EmbeddingStore
from storage.errors import RecipeError
from storage.manifest import committed

OBS = {
    "plate": ["b", "a", None, "a", "ü"] * 5,
    "dose": [0.5, None, 2.0, 3.0, 4.0] * 5,
    "count": list(range(25)),
    "maybe": [1, None, 2, 3, 4] * 5,
    "ok": [True, False, True, True, False] * 5,
    "perhaps": [True, None, False, True, True] * 5,
    "nothing": pa.nulls(25, pa.string()),
    "a/b": ["x"] * 25,
}


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    """25 samples in shards of 10."""
    arrays = EmbeddingArrays(25, {"representation": 4, "intensity": 3}, 10)
    values = np.random.default_rng(0).normal(size=(25, 4)).astype(np.float32)
    with committed(tmp_path / "cells.emb", KIND, {"features": arrays.sizes, "rows": 10}) as partial:
        arrays.create(partial)
        for start, stop in arrays.shards:
            block = values[start:stop]
            arrays.write(partial, start, {"representation": block, "intensity": 2 * block[:, :3]})
        pq.write_table(pa.table(OBS), partial / "obs.parquet")
    return EmbeddingStore.open(tmp_path / "cells.emb")


def kinds(root: zarr.Group) -> dict[str, tuple[Any, Any]]:
    """The encoding of every member, by its path."""
    found = {name: member.attrs for name, member in root.members(max_depth=None)}
    return {name: (of.get("encoding-type"), of.get("encoding-version")) for name, of in found.items()}


def test_every_element_says_what_it_is(store: EmbeddingStore, tmp_path: Path) -> None:
    export_anndata(store, tmp_path / "cells.zarr")
    root = zarr.open_group(tmp_path / "cells.zarr", mode="r")
    assert root.metadata.zarr_format == 2
    assert (root.attrs["encoding-type"], root.attrs["encoding-version"]) == ("anndata", "0.1.0")
    found = kinds(root)
    assert {found[name] for name in MAPPINGS} == {("dict", "0.1.0")}
    assert found["X"] == found["obsm/intensity"] == found["obs/count"] == ("array", "0.2.0")
    assert found["obs"] == found["var"] == ("dataframe", "0.2.0")
    assert found["obs/plate"] == found["obs/nothing"] == ("categorical", "0.2.0")
    assert found["obs/_index"] == found["obs/plate/categories"] == ("string-array", "0.2.0")
    assert found["obs/maybe"] == ("nullable-integer", "0.1.0")
    assert found["obs/perhaps"] == ("nullable-boolean", "0.1.0")
    assert None not in {kind for kind, _ in found.values()}
    assert root["obs"].attrs["column-order"] == [name.replace("/", "_") for name in OBS]
    assert set(root["obs"].keys()) == {"_index", *root["obs"].attrs["column-order"]}


def test_the_values_are_those_of_the_store(store: EmbeddingStore, tmp_path: Path) -> None:
    export_anndata(store, tmp_path / "cells.zarr")
    root: Any = zarr.open_group(tmp_path / "cells.zarr", mode="r")
    assert np.array_equal(root["X"][:], store.read("representation"))
    assert np.array_equal(root["obsm/intensity"][:], store.read("intensity"))
    assert root["obs/_index"][:].tolist() == [str(row) for row in range(25)]
    assert root["var/_index"][:].tolist() == [f"representation_{number}" for number in range(4)]
    plate = root["obs/plate"]
    names = plate["categories"][:].tolist()
    assert names == ["a", "b", "ü"]
    assert [None if code < 0 else names[code] for code in plate["codes"][:]] == OBS["plate"]
    assert root["obs/maybe/values"][:5].tolist() == [1, 0, 2, 3, 4]
    assert root["obs/maybe/mask"][:5].tolist() == [False, True, False, False, False]
    assert np.isnan(root["obs/dose"][1])
    assert root["obs/nothing/codes"][:].tolist() == [-1] * 25
    listed = json.loads((tmp_path / "cells.zarr" / ".zmetadata").read_text())["metadata"]
    assert "obs/plate/codes/.zarray" in listed


def test_what_stands_there_is_not_written_over(store: EmbeddingStore, tmp_path: Path) -> None:
    (tmp_path / "cells.zarr").mkdir()
    with pytest.raises(RecipeError, match="something stands there"):
        export_anndata(store, tmp_path / "cells.zarr")


def test_the_library_reads_it(store: EmbeddingStore, tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata")
    export_anndata(store, tmp_path / "cells.zarr")
    found = anndata.read_zarr(tmp_path / "cells.zarr")
    assert np.array_equal(found.X, store.read("representation"))
    assert found.obs["plate"].isna().sum() == 5
    assert found.obs["maybe"].dtype.name == "Int64"
