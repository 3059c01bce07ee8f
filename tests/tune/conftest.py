"""A store with embryos, dates and classes, and a recipe that sweeps over shares of it in seconds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from storage.cuts import Cut
from storage.ingest import ingest
from storage.layout import Layout
from storage.preprocess import Preparation, prepare

EMBRYOS, EACH = 12, 40


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """480 patches of 32 x 32: 12 embryos of 3 dates, every fourth patch a rosette."""
    folder = tmp_path_factory.mktemp("labelled")
    random = np.random.default_rng(0)
    for number in range(EMBRYOS * EACH):
        embryo, label = number // EACH, "rosette" if number % 4 == 0 else "other"
        path = folder / "raw" / f"date{embryo % 3}_emb{embryo:02d}_{label}_{number:03d}.png"
        path.parent.mkdir(exist_ok=True)
        y, x = np.mgrid[:32, :32]
        blob = np.exp(-np.hypot(y - 16, x - 16) / 4) if label == "rosette" else 0.0
        picture = 127 + 60 * np.sin(y / random.uniform(3, 9)) + 60 * blob + random.normal(0, 9, (32, 32))
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path)
    names = ("date", "embryo", "label")
    ingest(folder / "raw", folder / "images.zarr", Layout(lambda file: dict(zip(names, file.split("_"), strict=False))))
    prepare(folder / "images.zarr", folder / "patches.zarr", Preparation(Cut("tiled", (32, 32))))
    return folder / "patches.zarr"


@pytest.fixture
def sweep_tables(labelled: Path) -> dict[str, Any]:
    """A recipe with [fractions]: 2 shares, 2 repeats and 2 variants of 4 steps."""
    return {
        "run": {"name": "sweep", "images": 32, "batch_size": 8, "log_every_images": 8},
        "data": {
            "store": str(labelled),
            "split": {"by": "embryo", "held_out": 0.3, "stratify": "label"},
        },
        "method": {"name": "wgan_gp", "preset": "small", "width": 4, "critic_width": 4, "noise": 8},
        "evaluate": {"every_images": 1000, "samples": 100},
        "checkpoint": {"every_images": 8},
        "fractions": {
            "shares": [1.0, 0.5],
            "repeats": 2,
            "metric": "kid",
            "direction": "min",
            "by": "embryo",
            "variants": {"slow": {"optimizer.lr": 1e-5}, "fast": {"optimizer": {"lr": 1e-3}}},
        },
    }


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Little time for the features, and torch's settings as they were."""
    monkeypatch.setattr("distgan.evaluations.kid.TRAINING_STEPS", 5)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    yield
    torch.use_deterministic_algorithms(mode=False)
