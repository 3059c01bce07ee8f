"""Fixtures that the tests of several packages share. What they return is read only: damage a copy."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray
from PIL import Image

from storage.cuts import Cut
from storage.ingest import ingest
from storage.layout import Layout
from storage.patches import PatchStore
from storage.preprocess import Preparation, prepare
from storage.store import ImageStore

settings.register_profile("distgan", deadline=None, derandomize=True, database=None)
settings.load_profile("distgan")

REPOSITORY = Path(__file__).parents[1]


def describe(file: str) -> dict[str, str | int]:
    """`a_t1.png` shows embryo a at time 1."""
    embryo, time = file.removesuffix(".png").split("_t")
    return {"embryo": embryo, "time": int(time)}


@pytest.fixture(scope="session")
def one_token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Ray reads its token once in the life of a process; so the tests that start it share one."""
    from cluster.session import own_token

    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(own_token(tmp_path_factory.mktemp("tokens") / "ray")))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real microscopy images, or a skip."""
    folder = Path(os.environ.get("DISTGAN_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real images: DISTGAN_DATA is not set, or there is no folder {folder}")
    return folder


@pytest.fixture(scope="session")
def pixels() -> NDArray[np.uint8]:
    """Six images of 24 x 32, N Y X: embryos a, b and c at the times 1 and 2."""
    return np.random.default_rng(0).integers(0, 256, (6, 24, 32), np.uint8)


@pytest.fixture(scope="session")
def image_folder(pixels: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`pixels` as PNG files a_t1.png .. c_t2.png."""
    folder = tmp_path_factory.mktemp("images")
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{'abc'[number // 2]}_t{number % 2 + 1}.png")
    return folder


@pytest.fixture(scope="session")
def image_store(image_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    """`image_folder`, ingested; the metadata columns are embryo and time."""
    return ingest(image_folder, tmp_path_factory.mktemp("stores") / "images.zarr", Layout(describe)).store


@pytest.fixture(scope="session")
def patch_store(image_store: ImageStore, tmp_path_factory: pytest.TempPathFactory) -> PatchStore:
    """`image_store`, cut into 72 tiles of 8 x 8."""
    target = tmp_path_factory.mktemp("stores") / "patches.zarr"
    return prepare(image_store.path, target, Preparation(Cut("tiled", (8, 8))))
