"""A store, a recipe and a finished run, each as small as it can be."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from distgan.config.run_config import AnyRun, config_from_tables
from distgan.data.batches import Feed, Known
from distgan.engine.distributed import Group
from distgan.engine.running import run
from distgan.engine.trainer import Trainer
from distgan.method import Method, Sample, build
from distgan.methods import load_method
from storage.cuts import Cut
from storage.ingest import ingest
from storage.preprocess import Preparation, prepare

CPU = torch.device("cpu")
SMALLEST = {
    "generator": {"width": 4, "depth": 3},
    "label_generator": {"width": 4, "depth": 3},
    "label_critic": {"width": 4},
    "critic": {"width": 4},
    "pair_critic": {"width": 4},
    "translator": {"width": 4, "depth": 3, "unet_depth": 3},
    "reader": {"width": 4, "depth": 3},
}


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 pictures of 96 x 96."""
    folder = tmp_path_factory.mktemp("raw")
    random = np.random.default_rng(0)
    for number in range(12):
        y, x = np.mgrid[:96, :96]
        wave = np.sin(y / random.uniform(3, 9)) * np.sin(x / random.uniform(3, 9))
        picture = (127 + 90 * wave + random.normal(0, 9, wave.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"p{number:02d}.png")
    return folder


@pytest.fixture(scope="session")
def images(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures as an image store."""
    target = tmp_path_factory.mktemp("images") / "images.zarr"
    ingest(raw, target)
    return target


@pytest.fixture(scope="session")
def patches(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image store as 108 patches of 32 x 32, nine of each picture."""
    target = tmp_path_factory.mktemp("patches") / "patches.zarr"
    prepare(images, target, Preparation(Cut("tiled", (32, 32))))
    return target


@pytest.fixture
def tables(patches: Path) -> dict[str, Any]:
    """A recipe of 16 steps, to be changed at will."""
    return _tables(patches)


@pytest.fixture
def make_trainer() -> Callable[..., Trainer]:
    """trainer(tables, method=None, channels=1): in this process, on random pictures."""
    return _trainer


@pytest.fixture
def make_tissue() -> Callable[..., Trainer]:
    """tissue(method, **keys): with label images, as narrow as it can be; keys of tables come on top."""
    return _tissue


@pytest.fixture(scope="session")
def train() -> Callable[[AnyRun, Path], None]:
    """Train in this process, with little time for the features, and leave torch's settings as they were."""

    def train_here(config: AnyRun, folder: Path, *, strict: bool = False) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("distgan.evaluations.kid.TRAINING_STEPS", 5)
            patch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            try:
                run(config, folder, Group(), CPU, strict=strict)
            finally:
                torch.use_deterministic_algorithms(mode=False)

    return train_here


@pytest.fixture(scope="session")
def finished(
    patches: Path, train: Callable[[AnyRun, Path], None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The folder of a run that nothing disturbed; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    train(config_from_tables(_tables(patches), "the test"), folder)
    before = sorted(folder.rglob("*"))
    yield folder
    assert sorted(folder.rglob("*")) == before


def _tables(patches: Path) -> dict[str, Any]:
    return {
        "run": {"name": "tiny", "images": 128, "batch_size": 8, "virtual_shards": 2, "log_every_images": 16},
        "data": {"store": str(patches), "split": {"by": "file", "held_out": 0.25}},
        "method": {"name": "wgan_gp", "width": 4, "critic_width": 4, "noise": 8, "critic_steps": 2},
        "ema": {"half_life_images": 20},
        "evaluate": {"every_images": 64, "samples": 100},
        "checkpoint": {"every_images": 32},
    }


def _trainer(tables: dict[str, Any], channels: int = 1, method: Method | None = None) -> Trainer:
    config = config_from_tables(copy.deepcopy(tables), "the test")
    if method is None:
        method = build(load_method(config.method.name), config.method, Sample((channels, 32, 32)), config.run.seed)
    return Trainer(config, method, _feed(channels, config.run.seed), Group())


def _feed(channels: int, seed: int) -> Feed:
    pictures = np.random.default_rng(0).integers(0, 256, (40, channels, 32, 32), np.uint8)
    store: Any = SimpleNamespace(read=lambda rows: pictures[rows], value_range=(0.0, 255.0))
    return Feed(store, np.arange(len(pictures)), seed, CPU)


def _tissue(name: str, **keys: Any) -> Trainer:
    fields = load_method(name).Config.model_fields
    small = {key: value | keys.pop(key, {}) for key, value in SMALLEST.items() if key in fields}
    tables = {
        "run": {"name": "tiny", "images": 1000, "batch_size": 8, "virtual_shards": 2},
        "data": {"store": "none"},
        "method": {"name": name, **small, **keys},
        "evaluate": {"every_images": 8},
        "checkpoint": {"every_images": 8},
    }
    config = config_from_tables(tables, "the test")
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (40, 1, 32, 32), np.uint8)
    labels = {label: random.integers(0, 2, (40, 32, 32), np.uint8) for label in config.method.labels}
    store: Any = SimpleNamespace(read=lambda rows: pictures[rows], value_range=(0.0, 255.0))
    feed = Feed(store, np.arange(40), 0, CPU, known=Known({}, labels))
    sample = Sample((1, 32, 32), ("electrons",), labels=config.method.labels)
    return Trainer(config, build(load_method(name), config.method, sample, 0), feed, Group())
