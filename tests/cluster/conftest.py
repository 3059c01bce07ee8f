"""A recipe small enough to train on Ray in seconds, over a store with two groups; servers that refuse."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cluster.home import Home
from cluster.tracking import connect
from distgan.config.run_config import read_config
from distgan.engine.distributed import Group
from distgan.engine.running import run, write_recipe
from storage.cuts import Cut
from storage.ingest import ingest
from storage.layout import Layout
from storage.preprocess import Preparation, prepare


@pytest.fixture(autouse=True)
def with_token(one_token: None) -> None:
    """Ray asks for it."""


RECIPE = """
[run]
name = "tiny"
images = 960
batch_size = 16
workers = 2
virtual_shards = 2
log_every_images = 160

[data]
store = "{store}"
split = {{ by = "embryo", held_out = 0.3 }}

[method]
name = "wgan_gp"
preset = "small"
width = 4
critic_width = 4
critic_steps = 2

[evaluate]
every_images = 320
samples = 100

[checkpoint]
every_images = 160
"""


@pytest.fixture(scope="session")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 images of 4 embryos, cut into 384 patches of 32 x 32."""
    folder = tmp_path_factory.mktemp("patches")
    random = np.random.default_rng(0)
    for number in range(24):
        path = folder / "raw" / f"emb{number % 4}_{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        y, x = np.mgrid[:128, :128]
        wave = np.sin(y / random.uniform(3, 9)) * np.sin(x / random.uniform(3, 9))
        Image.fromarray((127 + 90 * wave + random.normal(0, 9, wave.shape)).clip(0, 255).astype(np.uint8)).save(path)
    ingest(folder / "raw", folder / "images.zarr", Layout(lambda file: {"embryo": file[:4]}))
    prepare(folder / "images.zarr", folder / "patches.zarr", Preparation(Cut("tiled", (32, 32))))
    return folder / "patches.zarr"


@pytest.fixture(scope="session")
def recipe(patches: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe file."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RECIPE.format(store=patches))
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty $DISTGAN_HOME, and no Ray or MLflow address from outside."""
    monkeypatch.setenv("DISTGAN_HOME", str(tmp_path / "home"))
    for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return Home.here()


@pytest.fixture(scope="session")
def finished(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one finished run that MLflow has not heard of; copy it."""
    home = Home(tmp_path_factory.mktemp("finished") / "home")
    config = read_config(recipe, ["run.workers=1", "run.images=48", "checkpoint.every_images=32"])
    folder = home.run("tiny")
    write_recipe(folder, config)
    run(config, folder, Group(), torch.device("cpu"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        connect(home).search_experiments()  # makes the database, once for all tests
    return home.path


@pytest.fixture
def server() -> Callable[[int, bytes], AbstractContextManager[str]]:
    """A server on loopback that says the same to everybody: `with server(401, b"text") as address`."""

    @contextlib.contextmanager
    def started(code: int, text: bytes) -> Iterator[str]:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(code)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.do_GET()

            def log_message(self, *said: object) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Answer) as listening:
            threading.Thread(target=listening.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{listening.server_port}"
            listening.shutdown()

    return started
