"""Untrained models of cells and a store of 70 cells, both in memory."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from distgan.config.run_config import config_from_tables
from distgan.engine.trainer import Trainer
from distgan.method import Sample, build
from distgan.methods import load_method
from distgan.model import Model

CLASSES = ("golgi", "lamin", "nucleoli")
CHANNELS = ("membrane", "DNA", "structure")
COUNT = 70
SMALL = {"critic_width": 4, "critic_depth": 2, "code_width": 4}


@pytest.fixture
def model_of() -> Callable[..., Model]:
    """model_of(method, edges=(16, 16)): codes of five numbers."""
    return _model_of


@pytest.fixture
def tissue_of(make_tissue: Callable[..., Trainer]) -> Callable[..., Model]:
    """tissue_of(method, **keys): of labelled tissue, with weights that make more than grey."""

    def make(name: str, **keys: Any) -> Model:
        trainer = make_tissue(name, **keys)
        random = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for weight in trainer.method.parameters():
                if weight.ndim > 1:
                    weight.copy_(torch.randn(weight.shape, generator=random) * (2 / weight[0].numel()) ** 0.5)
        card = {"channels": ["electrons"], "dtype": "uint8", "value_range": [0, 255], "pixel_um": [0.01, 0.01]}
        return Model(trainer.method.eval(), trainer.config, card, "")

    return make


@pytest.fixture
def store_of() -> Callable[..., Any]:
    """store_of(edges=(16, 16)): channels membrane, DNA, structure; three structures in turn."""
    return _store_of


def _model_of(name: str, edges: tuple[int, ...] = (16, 16)) -> Model:
    keys = {} if name == "conditional_beta_vae" else SMALL
    tables = {
        "run": {"name": "tiny", "images": 100, "batch_size": 4},
        "data": {"store": "none"},
        "method": {"name": name, "width": 4, "depth": 2, "latent": 5, **keys},
        "evaluate": {"every_images": 96},
        "checkpoint": {"every_images": 96},
    }
    config = config_from_tables(tables, "the test")
    classes = dict.fromkeys(config.method.columns, CLASSES)
    method = build(load_method(name), config.method, Sample((3, *edges), CHANNELS, classes), 0)
    method.eval().requires_grad_(False)
    card = {"image_shape": [3, *edges], "channels": list(CHANNELS), "dtype": "uint8", "value_range": [0, 255]}
    return Model(method, config, card, "")


def _store_of(edges: tuple[int, ...] = (16, 16)) -> Any:
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 3, *edges), np.uint8)
    obs = pa.table(
        {
            "structure": [CLASSES[row % 3] for row in range(COUNT)],
            "brightness": images[:, 0].reshape(COUNT, -1).mean(1),
            "batch": [1] * COUNT,
        }
    )
    return SimpleNamespace(
        path="cells.zarr", shape=images.shape, channels=CHANNELS, dtype="uint8", obs=obs, read=lambda rows: images[rows]
    )
