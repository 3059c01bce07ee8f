"""Twelve secrets are planted where secrets lie, a run is trained: none is in anything it leaves."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.home import Home
from cluster.registry import find
from cluster.tracking import shown
from distgan.config.run_config import read_config, read_tables
from storage.errors import MissingError, RecipeError

VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "RAY_AUTH_TOKEN",
    "HF_TOKEN",
    "MLFLOW_TRACKING_TOKEN",
    "PGPASSWORD",
)
FILES = {
    ".netrc": "machine example.org login me password {}\n",
    ".git-credentials": "https://me:{}@example.org\n",
    ".aws/credentials": "[default]\naws_secret_access_key = {}\n",
    "work/.git/config": '[core]\n\trepositoryformatversion = 0\n[remote "origin"]\n\turl = https://me:{}@example.org/x\n',
}
LENGTH = 32


class Planted:
    """A user's home with secrets, and the environment of a process of theirs."""

    def __init__(self, folder: Path, tracking: str) -> None:
        self.folder, self.work = folder, folder / "work"
        self.secrets: dict[str, str] = {}
        for name, text in FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text.format(self.plant(name)))
            (folder / name).chmod(0o600)
        # git wants these before it takes a folder for a repository
        (self.work / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
        for name in ("objects", "refs"):
            (self.work / ".git" / name).mkdir()
        own = {name: self.plant(name) for name in VARIABLES}
        address = tracking.replace("://", f"://me:{self.plant('the address of MLflow')}@")
        self.left = [folder / "home", folder / "ray", folder / "tmp"]
        self.environment = os.environ | own | {
            "MLFLOW_TRACKING_URI": address,
            "MLFLOW_TRACKING_USERNAME": "me",
            "HOME": str(folder),
            "DISTGAN_HOME": str(folder / "home"),
            "RAY_TMPDIR": str(folder / "ray"),
            "TMPDIR": str(folder / "tmp"),
        }  # fmt: skip
        for name in ("RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
            self.environment.pop(name, None)
        for path in self.left:
            path.mkdir()

    def plant(self, where: str) -> str:
        """A new secret."""
        self.secrets[where] = secrets.token_hex(LENGTH)
        return self.secrets[where]

    def train(self, *words: str) -> "subprocess.Popen[str]":
        """`distgan train`, of this user."""
        command = [sys.executable, "-m", "distgan.cli", "train", *words, "--json"]
        return subprocess.Popen(
            command,
            cwd=self.work,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def found_in(self, content: bytes) -> set[str]:
        """Which secrets there are in something."""
        return {where for where, secret in self.secrets.items() if secret.encode() in content}


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Ray's sockets want a short path."""
    folder = Path(tempfile.mkdtemp(prefix="dg-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.cluster
def test_no_secret_is_in_anything_that_a_run_leaves(
    recipe: Path, tracking_server: Callable[[], Any], short_folder: Path
) -> None:
    server = tracking_server()
    server.start()
    user = Planted(short_folder, server.address)
    assert len(user.secrets) == 12
    process = user.train(str(recipe), "--set", "run.images=160", "--set", "run.workers=1")
    command_lines = b""
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            below = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            command_lines += b"\n".join(" ".join(one.cmdline()).encode() for one in below)
        time.sleep(1)
    said = "".join(process.communicate())
    assert process.returncode == 0, said
    server.kill()

    looked = [path for folder in (*user.left, server.folder) for path in folder.rglob("*") if path.is_file()]
    names = {path.name for path in looked}
    wanted = {"recipe.json", "provenance.json", "metrics.jsonl", "model.json", "mlflow.db", "server.log", "raylet.out"}
    assert wanted <= names
    assert any("checkpoints" in path.parts for path in looked)
    assert any("model" in path.parts and path.is_relative_to(server.folder) for path in looked)
    leaks = {str(path): found for path in looked if (found := user.found_in(path.read_bytes()))}
    assert leaks == {}
    assert user.found_in(said.encode()) == set()
    assert b"raylet" in command_lines
    assert user.found_in(command_lines) == set(), "everybody on the machine sees command lines"
    assert user.found_in(json.dumps({"a": user.secrets[".netrc"]}).encode()) == {".netrc"}, "and one would be found"


ADDRESSES = (
    "cluster.address=ray://me:canary@head:10001",
    "data.store=s3://AKIA:canary@bucket/patches.zarr",
    'init.critic={model="https://me:x@canary@host/model"}',
    "register.intended_use=see https://me:canary@host",
)


@pytest.mark.parametrize("override", ADDRESSES, ids=range(len(ADDRESSES)))
def test_an_address_with_a_password_is_refused_by_its_key(recipe: Path, override: str) -> None:
    with pytest.raises(RecipeError, match="a name or a password in it") as refused:
        read_config(recipe, [override])
    assert refused.value.found.startswith(override.partition("=")[0])
    assert "canary" not in str(refused.value)


def test_an_address_without_one_is_taken(recipe: Path) -> None:
    found = read_tables(recipe, ['register.intended_use="see https://host/page, or me@host"'])
    assert found["register"]["intended_use"].endswith("me@host")


def test_no_message_has_the_password_of_an_address(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown("at https://me:se@cret@host:5000/x@1, not http://b") == "at https://host:5000/x@1, not http://b"
    secret = f"sqlite://me:canary@/{home.path / 'mlflow.db'}"
    monkeypatch.setattr(Home, "tracking_uri", property(lambda self: secret))
    monkeypatch.setattr("cluster.registry.list_versions", lambda home: [])
    with pytest.raises(MissingError) as missing:
        find(home, "models:/tiny/1")
    assert "canary" not in str(missing.value)
