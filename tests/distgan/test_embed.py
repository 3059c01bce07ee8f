"""Embedding stores: the same bytes from any number of workers and after any crash, and what is refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import zarr

from distgan.cli import main
from distgan.data.batches import to_unit_range
from distgan.inference import embed as embedding
from distgan.inference.embed import embed, intensity
from distgan.metrics.classical import classical, size
from distgan.model import load_model
from storage.cuts import Cut
from storage.embeddings import EmbeddingStore, export
from storage.errors import DataError, DiskError, MissingError, RecipeError
from storage.executors import threads
from storage.manifest import seal
from storage.patches import PatchStore
from storage.preprocess import Preparation, prepare


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Shards of 16 samples, read in blocks of 8, and batches of 5, so that there are many."""
    monkeypatch.setattr("distgan.inference.embed.TASK_BYTES", 16 * 32 * 32)
    monkeypatch.setattr("distgan.inference.embed.CHUNKS_PER_READ", 1)
    monkeypatch.setattr("distgan.inference.embed.BATCH", {"cpu": 5})
    monkeypatch.setattr("storage.patches.CHUNK_BYTES", 8 * 32 * 32)
    embedding._loaded.cache_clear()
    embedding._patches.cache_clear()
    yield
    embedding._patches.cache_clear()


@pytest.fixture
def store(images: Path, tmp_path: Path) -> PatchStore:
    """108 patches of 32 x 32 in chunks of 8."""
    return prepare(images, tmp_path / "patches", Preparation(Cut("tiled", (32, 32))))


def test_every_sample_has_its_features(finished: Path, store: PatchStore, tmp_path: Path) -> None:
    found = embed(finished / "model", store.path, tmp_path / "embedded")
    assert found.obs.equals(store.obs)
    assert len(list((found.path / "representation" / "c").iterdir())) == 7
    assert found.manifest.facts["patch_store"] == store.digest
    assert found.sizes["intensity"] == 5
    model = load_model(finished / "model")
    images = to_unit_range(store.read(np.arange(108)), model.value_range)
    np.testing.assert_allclose(found.read("representation"), model.method.representation(images), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.read("intensity"), intensity(images), rtol=1e-4, atol=1e-5)


def test_the_command_line_writes_anndata_beside_the_store(finished: Path, store: PatchStore, tmp_path: Path) -> None:
    out, beside = tmp_path / "embedded", tmp_path / "cells.zarr"
    command = ["embed", finished / "model", store.path, "--out", out, "--anndata", beside, "--json"]
    assert main([str(word) for word in command]) == 0
    values: Any = zarr.open_group(beside, mode="r")["X"]
    assert np.array_equal(values[:], EmbeddingStore.open(out).read("representation"))


def test_pooled_features_are_the_means_of_the_activation_maps(
    finished: Path, store: PatchStore, tmp_path: Path
) -> None:
    found = embed(finished / "model", store.path, tmp_path / "embedded")
    critic = load_model(finished / "model").method.network("critic")
    images = to_unit_range(store.read(np.arange(8)), (0, 255))
    means, maps = [], images
    with torch.no_grad():
        for layer in critic.convolutions:
            maps = layer(maps)
            if isinstance(layer, torch.nn.LeakyReLU):
                means.append(maps.mean((2, 3)))
    np.testing.assert_allclose(found.read("pooled")[:8], torch.cat(means, 1), rtol=1e-4, atol=1e-5)


def test_the_bytes_do_not_depend_on_the_workers(finished: Path, store: PatchStore, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    one, three = (
        embed(finished / "model", store.path, tmp_path / f"{count}", executor=threads(count)) for count in (1, 3)
    )
    assert one.digest == three.digest
    assert torch.get_num_threads() == before


def test_a_killed_attempt_is_gone_on_with(
    finished: Path, store: PatchStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = embed(finished / "model", store.path, tmp_path / "whole").digest
    plain, begun = embedding.write_shard, []

    def fails_at_the_fourth(job: embedding.Job, target: Path, task: tuple[int, int]) -> list[str]:
        begun.append(task[0])
        if len(begun) == 4:
            raise DiskError("the disk is full", "0 bytes", "Free some")
        return plain(job, target, task)

    monkeypatch.setattr(embedding, "write_shard", fails_at_the_fourth)
    with pytest.raises(DiskError):
        embed(finished / "model", store.path, tmp_path / "again", executor=threads(1))
    assert not (tmp_path / "again").exists()
    steps: list[tuple[int, int]] = []
    found = embed(
        finished / "model",
        store.path,
        tmp_path / "again",
        executor=threads(1),
        progress=lambda done, total: steps.append((done, total)),
    )
    assert found.digest == wanted
    assert sorted(begun[:3] + begun[4:]) == [0, 16, 32, 48, 64, 80, 96]  # the fourth is begun again, no other
    assert len(steps) == 4
    assert steps[-1] == (108, 108)


def test_images_of_another_kind_are_refused(finished: Path, images: Path, tmp_path: Path) -> None:
    other = prepare(images, tmp_path / "patches", Preparation(Cut("tiled", (16, 16))))
    with pytest.raises(RecipeError, match=r"not trained on samples such as.*\(1, 32, 32\).*\(1, 16, 16\)"):
        embed(finished / "model", other.path, tmp_path / "embedded")


def test_what_is_no_number_is_not_kept(
    finished: Path, store: PatchStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = type(load_model(finished / "model").method)
    monkeypatch.setattr(method, "representation", lambda self, images: images.flatten(1)[:, :3] / 0)
    with pytest.raises(DataError, match=r"the representation of 1[26] samples is not finite"):
        embed(finished / "model", store.path, tmp_path / "embedded", executor=threads(1))
    assert not list(tmp_path.glob(".embedded.partial"))


def test_something_that_stands_there_is_left_alone(finished: Path, store: PatchStore, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be written"):
        embed(finished / "model", store.path, store.path)


def test_five_numbers_of_a_channel() -> None:
    images = torch.tensor([[[[0.0, 0], [0, 1]], [[0.5, 0.5], [0.5, 0.5]]]])
    deviation = (3 / 16) ** 0.5
    bright = [0.25, deviation, (0.75**3 - 3 * 0.25**3) / 4 / deviation**3, (0.75**4 + 3 * 0.25**4) / 4 / deviation**4]
    np.testing.assert_allclose(intensity(images)[0], [*bright, 1, 0.5, 0, 0, 0, 0.5], atol=1e-6)


def test_a_table_has_everything(finished: Path, store: PatchStore, tmp_path: Path) -> None:
    found = embed(finished / "model", store.path, tmp_path / "embedded")
    export(found, tmp_path / "table.parquet")
    table = pq.read_table(tmp_path / "table.parquet")
    assert table.column_names[: len(store.obs.column_names)] == store.obs.column_names
    values = np.stack([table.column(f"representation_{one}") for one in range(found.sizes["representation"])], 1)
    np.testing.assert_array_equal(values, found.read("representation"))
    assert pq.ParquetFile(tmp_path / "table.parquet").num_row_groups == 7
    with pytest.raises(RecipeError, match="cannot be written"):
        export(found, tmp_path / "table.parquet")
    assert sorted(path.name for path in tmp_path.glob("*table*")) == ["table.parquet"]


def test_a_store_says_what_it_has(finished: Path, store: PatchStore, tmp_path: Path) -> None:
    found = embed(finished / "model", store.path, tmp_path / "embedded")
    with pytest.raises(RecipeError, match=r"no features 'latent'.*representation, pooled, intensity"):
        found.read("latent")
    with pytest.raises(MissingError, match="no embedding store"):
        EmbeddingStore.open(tmp_path / "none")
    damaged = found.path / "pooled" / "c" / "0" / "0"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match="damaged"):
        found.read("pooled")


def test_rows_and_metadata_must_agree(finished: Path, store: PatchStore, tmp_path: Path) -> None:
    found = embed(finished / "model", store.path, tmp_path / "embedded")
    pq.write_table(found.obs.slice(1), found.path / "obs.parquet")
    (found.path / "MANIFEST.json").unlink()
    seal(found.path, "embedding store", json.loads(json.dumps(found.manifest.facts)))
    with pytest.raises(DataError, match="107 rows of metadata"):
        EmbeddingStore.open(found.path)


def test_classical_features_are_written_if_asked_for(finished: Path, store: PatchStore, tmp_path: Path) -> None:
    found = embed(finished / "model", store.path, tmp_path / "embedded", classical=True)
    assert found.sizes["classical"] == size(1)
    np.testing.assert_array_equal(found.read("classical"), classical(store.read(np.arange(108)) / np.float32(255)))
