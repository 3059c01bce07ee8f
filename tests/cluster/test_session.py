"""What is refused before a worker starts, and the secret that Ray is given."""

import os
import re
import socket
import stat
from pathlib import Path

import pytest

from cluster.home import Home
from cluster.session import own_token, package_folders, set_environment
from cluster.train import train
from distgan.config import read_config
from storage.errors import RecipeError, ServiceError


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_token_is_its_owners_alone_under_any_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        path = own_token(tmp_path / "tokens" / "ray")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(path.read_text()) == 64
    assert own_token(path).read_text() == path.read_text(), "an existing token is kept"


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = own_token(tmp_path / "ray")
    path.chmod(0o644)
    with pytest.raises(RecipeError, match="chmod 600"):
        own_token(path)


def test_ray_is_always_told_to_ask_for_the_token(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    set_environment(home)
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(home.token)


def test_nobody_at_the_address_is_said_in_seconds(recipe: Path, home: Home) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = read_config(recipe, [f"cluster.address={address}"])
    for _ in range(2):  # what could not begin is not in the way of the next attempt
        with pytest.raises(ServiceError, match=f"no Ray cluster answers at {address}"):
            train(config, home, resume=False, watch=lambda seen, metrics: None)


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("overrides", "wrong", "found"),
    [
        (["run.gpus_per_worker=64"], "more GPUs than there are", r"2 worker\(s\) with 64 each, and Ray has"),
        (["run.cpus_per_worker=512"], "more CPUs than there are", r"2 worker\(s\) with 512 each, and Ray has \d+"),
    ],
)
def test_more_than_there_is_gets_refused_before_anything_is_written(
    recipe: Path, home: Home, overrides: list[str], wrong: str, found: str
) -> None:
    config = read_config(recipe, overrides)
    with pytest.raises(ServiceError, match=wrong) as refused:
        train(config, home, resume=False, watch=lambda seen, metrics: None)
    assert re.match(found, refused.value.found)
    assert not home.run("tiny").exists()
    assert not list(home.path.glob("mlflow*"))


def test_a_store_that_is_not_there_is_said_before_ray_starts(recipe: Path, home: Home) -> None:
    config = read_config(recipe, ["data.store=nowhere.zarr"])
    with pytest.raises(FileNotFoundError, match=r"nowhere\.zarr"):
        train(config, home, resume=False, watch=lambda seen, metrics: None)
    assert not home.run("tiny").exists(), "a run that could not begin is not in the way of the next"


def test_all_four_packages_come_from_one_folder() -> None:
    assert len({Path(folder).parent for folder in package_folders()}) == 1
