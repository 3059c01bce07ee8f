"""Fixtures that the tests of several packages share. What they return is read only: damage a copy."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that of two processes none ends with one while the other has none left."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


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


class TrackingServer:
    """MLflow's server on loopback, with a folder of its own; killed, it can be started again with what it had."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "AWS_"))}
        words = ["server", "--workers=1", "--host=127.0.0.1", f"--port={self.port}", "--serve-artifacts"]
        words += [f"--backend-store-uri=sqlite:///{self.folder / 'mlflow.db'}"]
        words += [f"--artifacts-destination={self.folder / 'artifacts'}"]
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", *words],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env=kept | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
                start_new_session=True,
            )
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            time.sleep(0.1)

    def answers(self) -> bool:
        """Whether somebody listens there."""
        with closing(socket.socket()) as asking:
            return asking.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """End it as a lost machine ends."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def tracking_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], TrackingServer]]:
    """Makes servers, which are not started yet."""
    made: list[TrackingServer] = []

    def make() -> TrackingServer:
        made.append(TrackingServer(tmp_path_factory.mktemp("server")))
        return made[-1]

    yield make
    for one in made:
        one.kill()
