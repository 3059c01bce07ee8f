"""A store of 60 cells on the disk, a model of phase 1, and one of phase 2 that has taken its encoder over."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from distgan.config.run_config import AnyRun, config_from_tables
from distgan.engine.distributed import Group
from distgan.engine.initialisation import initialise
from distgan.engine.task import Task
from distgan.engine.trainer import Trainer
from distgan.method import build
from distgan.methods import load_method
from distgan.model import save_model
from storage.manifest import committed
from storage.patches import KIND, PatchStore
from storage.store import create_array, write_shard

CLASSES = ("golgi", "lamin", "nucleoli")
CHANNELS = ("membrane", "structure", "DNA")
COUNT, EDGE = 60, 8


def write_cells(target: Path, seed: int = 0, names: list[str] | None = None) -> PatchStore:
    """Cells of three structures; a cell's membrane is as bright as its structure, and its DNA says nothing."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 40, (COUNT, 3, EDGE, EDGE))
    for row in range(COUNT):
        images[row, :2, row % 3 : row % 3 + 2] += random.integers(40, 200)
    facts: dict[str, Any] = {
        "channels": list(CHANNELS),
        "labels": [],
        "value_range": [0, 255],
        "pixel_um": [None, None],
        "source": "none",
    }
    shape = (COUNT, 3, EDGE, EDGE)
    with committed(target, KIND, facts) as folder:
        create_array(folder / "images", shape, "uint8", (20, *shape[1:]), shape, ("sample", "c", "y", "x"))
        write_shard(folder / "images", 0, images.astype(np.uint8))
        columns = {
            "cell": names or [f"c{row:02d}" for row in range(COUNT)],
            "structure": [CLASSES[row % 3] for row in range(COUNT)],
        }
        pq.write_table(pa.table(columns), folder / "obs.parquet")
    return PatchStore.open(target)


@pytest.fixture
def store(tmp_path: Path) -> PatchStore:
    return write_cells(tmp_path / "cells.zarr")


@pytest.fixture
def configured(store: PatchStore) -> Callable[..., AnyRun]:
    """configured(name of a method, **tables): a recipe for the store; tables come on top, key by key."""

    def make(name: str, /, **tables: dict[str, Any]) -> AnyRun:
        critics = {} if name == "conditional_beta_vae" else {"critic_width": 2, "critic_depth": 2, "code_width": 4}
        channels = {"reference": ["membrane", "DNA"]}
        if name != "cell_autoencoder":
            channels["structure"] = ["structure"]
        recipe: dict[str, Any] = {
            "run": {"name": "tiny", "images": 64, "batch_size": 4},
            "data": {"store": str(store.path), "split": {"by": "cell", "held_out": 0.4, "stratify": "structure"}},
            "method": {"name": name, "width": 2, "depth": 2, "latent": 3, **critics, **channels},
            "optimizer": {"lr": 1e-3},
            "evaluate": {"metrics": ["cells"], "every_images": 100},
            "checkpoint": {"every_images": 100},
        }
        for key, table in tables.items():
            recipe[key] = recipe.get(key, {}) | table
        return config_from_tables(recipe, "the test")

    return make


def trainer_of(config: AnyRun, folder: Path) -> Trainer:
    """As a worker builds it."""
    task = Task.of(config, folder)
    feed = task.feed(Group(), torch.device("cpu"))
    method = build(load_method(config.method.name), config.method, task.sample, config.run.seed)
    initialise(method, config.init)
    return Trainer(config, method, feed, Group())


def model_of(config: AnyRun, folder: Path, store: PatchStore, steps: int = 2) -> Path:
    """The folder of a model after some steps."""
    trainer = trainer_of(config, folder)
    for _ in range(steps):
        trainer.step()
    save_model(folder, trainer, store, {}, "none")
    return folder


@pytest.fixture
def phase_1(configured: Callable[..., AnyRun], store: PatchStore, tmp_path: Path) -> Path:
    return model_of(configured("cell_autoencoder"), tmp_path / "phase_1", store)


@pytest.fixture
def init(phase_1: Path) -> dict[str, Any]:
    """`[init]` of phase 2."""
    return {"reference_encoder": {"model": str(phase_1), "network": "encoder"}}


@pytest.fixture
def phase_2(configured: Callable[..., AnyRun], init: dict[str, Any], store: PatchStore, tmp_path: Path) -> Path:
    return model_of(configured("conditional_autoencoder", init=init), tmp_path / "phase_2", store)
