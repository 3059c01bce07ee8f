"""z^r that is read is z^r that is computed along, cell by cell; codes of anything else are refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from distgan.config.run_config import AnyRun
from distgan.inference.embed import embed
from distgan.methods.conditional_autoencoder import SHAPE
from storage.embeddings import KIND, EmbeddingArrays, EmbeddingStore
from storage.errors import DataError, MissingError, RecipeError
from storage.manifest import committed
from storage.patches import PatchStore
from tests.distgan.cells.conftest import COUNT, trainer_of, write_cells

Configured = Callable[..., AnyRun]


@pytest.fixture
def codes(phase_1: Path, store: PatchStore, tmp_path: Path) -> EmbeddingStore:
    return embed(phase_1, store.path, tmp_path / "codes.zarr")


def rewritten(codes: EmbeddingStore, target: Path, rows: list[int], **facts: Any) -> Path:
    """The codes of these rows, in this order, with other facts."""
    arrays = EmbeddingArrays(len(rows), {"representation": 3}, len(rows))
    own = dict(codes.manifest.facts) | {"features": arrays.sizes, "rows": len(rows)} | facts
    with committed(target, KIND, own) as folder:
        arrays.create(folder)
        arrays.write(folder, 0, {"representation": codes.read("representation")[rows]})
        pq.write_table(codes.obs.take(pa.array(rows)), folder / "obs.parquet")
    return target


@pytest.fixture
def with_codes(configured: Configured, init: dict[str, Any]) -> Callable[..., AnyRun]:
    def make(path: Path, **tables: dict[str, Any]) -> AnyRun:
        method = {"codes": str(path)} | tables.pop("method", {})
        return configured("conditional_autoencoder", init=init, method=method, **tables)

    return make


def test_what_is_read_is_what_is_computed_along(
    configured: Configured, with_codes: Any, init: dict[str, Any], codes: EmbeddingStore, tmp_path: Path
) -> None:
    read = trainer_of(with_codes(codes.path), tmp_path)
    along = trainer_of(configured("conditional_autoencoder", init=init), tmp_path)
    method: Any = read.method
    batch, other = (one.feed.batch(8, 16) for one in (read, along))
    assert SHAPE not in other.columns
    assert torch.equal(batch.images, other.images)
    assert batch.columns[SHAPE].std() > 0
    torch.testing.assert_close(batch.columns[SHAPE], method.shape(other.images), rtol=1e-5, atol=1e-6)
    assert method.shape_of(batch) is batch.columns[SHAPE]
    for _ in range(3):
        found, wanted = read.step(), along.step()
    assert {name: value.item() for name, value in found.items()} == pytest.approx(
        {name: value.item() for name, value in wanted.items()}, rel=1e-4
    )


def test_codes_are_found_by_the_name_of_the_cell_and_not_by_their_row(
    with_codes: Any, codes: EmbeddingStore, tmp_path: Path
) -> None:
    turned = rewritten(codes, tmp_path / "turned.zarr", list(range(COUNT))[::-1])
    one, other = (trainer_of(with_codes(path), tmp_path).feed.batch(0, 36) for path in (codes.path, turned))
    assert torch.equal(one.columns[SHAPE], other.columns[SHAPE])


def test_a_cell_without_a_code_is_named(with_codes: Any, codes: EmbeddingStore, tmp_path: Path) -> None:
    few = rewritten(codes, tmp_path / "few.zarr", [row for row in range(COUNT) if row % 2])
    with pytest.raises(DataError, match=r"few\.zarr has no code of \d+ of 36 cells that train. Found: such as cell c"):
        trainer_of(with_codes(few), tmp_path)


def test_codes_of_another_model_are_refused(
    configured: Configured, with_codes: Any, codes: EmbeddingStore, store: PatchStore, tmp_path: Path
) -> None:
    other = rewritten(codes, tmp_path / "other.zarr", list(range(COUNT)), model="0" * 64)
    with pytest.raises(RecipeError, match=r"another model than that of init\.reference_encoder.*it was 000000000000"):
        trainer_of(with_codes(other), tmp_path)
    with pytest.raises(RecipeError, match="is not set"):
        trainer_of(configured("conditional_autoencoder", method={"codes": str(codes.path)}), tmp_path)


def test_codes_of_another_store_are_refused(with_codes: Any, phase_1: Path, tmp_path: Path) -> None:
    other = write_cells(tmp_path / "other_cells.zarr", seed=1)
    codes = embed(phase_1, other.path, tmp_path / "codes_of_other.zarr")
    with pytest.raises(RecipeError, match="codes of another store's cells"):
        trainer_of(with_codes(codes.path), tmp_path)


def test_codes_of_another_method_or_length_are_refused(with_codes: Any, codes: EmbeddingStore, tmp_path: Path) -> None:
    other = rewritten(codes, tmp_path / "other.zarr", list(range(COUNT)), method="vae")
    with pytest.raises(RecipeError, match=r"no codes of 3 numbers by cell_autoencoder.*by vae"):
        trainer_of(with_codes(other), tmp_path)


def test_a_column_must_name_each_cell(with_codes: Any, codes: EmbeddingStore, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"'structure' of .* does not name each cell. Found: 20 have 'golgi'"):
        trainer_of(with_codes(codes.path, method={"codes_by": "structure"}), tmp_path)
    with pytest.raises(RecipeError, match="no metadata column 'well'"):
        trainer_of(with_codes(codes.path, method={"codes_by": "well"}), tmp_path)


def test_images_that_are_augmented_have_other_codes(with_codes: Any, codes: EmbeddingStore, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"as they lie in the store. Found: \[augment\] changes images"):
        trainer_of(with_codes(codes.path, augment={"flip": True}), tmp_path)


def test_a_damaged_or_absent_store_is_refused(with_codes: Any, codes: EmbeddingStore, tmp_path: Path) -> None:
    shutil.rmtree(codes.path / "representation")
    with pytest.raises(DataError):
        trainer_of(with_codes(codes.path), tmp_path)
    with pytest.raises(MissingError):
        trainer_of(with_codes(tmp_path / "nowhere"), tmp_path)


def test_held_out_cells_need_no_codes(with_codes: Any, codes: EmbeddingStore, tmp_path: Path) -> None:
    trainer = trainer_of(with_codes(codes.path), tmp_path)
    names = np.asarray(trainer.feed.obs.column("cell").to_pylist())  # type: ignore[attr-defined]
    rows = [int(name[1:]) for name in names]
    few = rewritten(codes, tmp_path / "few.zarr", rows)
    assert len(rows) == 36
    assert trainer_of(with_codes(few), tmp_path).feed.batch(0, 4).columns[SHAPE].shape == (4, 3)
