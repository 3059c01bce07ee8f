"""What is refused before a worker starts, and the secret that Ray is given."""

import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.home import Home
from cluster.session import check_resources, joined, own_token, package_folders, set_environment
from cluster.train import train
from distgan.config.run_config import AnyRun, read_config
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


def test_to_join_a_cluster_rays_own_token_is_taken_if_only_its_owner_can_read_it(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    rays = own_token(tmp_path / ".ray" / "auth_token")
    rays.chmod(0o644)  # as Ray makes it
    with pytest.raises(RecipeError, match="can be read by others"):
        set_environment(home, joining=True)
    rays.chmod(0o600)
    set_environment(home, joining=True)
    assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(rays)


def test_the_address_of_a_dashboard_is_told_from_that_of_a_head(recipe: Path, home: Home) -> None:
    config = read_config(recipe, ["cluster.address=http://127.0.0.1:8265"])
    with pytest.raises(ServiceError, match="no address to join") as refused:
        train(config, home, resume=False, watch=lambda seen, metrics, chore: None)
    assert "distgan submit" in refused.value.do


def test_nobody_at_the_address_is_said_in_seconds(recipe: Path, home: Home) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = read_config(recipe, [f"cluster.address={address}"])
    for _ in range(2):  # what could not begin is not in the way of the next attempt
        with pytest.raises(ServiceError, match=f"no Ray cluster answers at {address}"):
            train(config, home, resume=False, watch=lambda seen, metrics, chore: None)


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
        train(config, home, resume=False, watch=lambda seen, metrics, chore: None)
    assert re.match(found, refused.value.found)
    assert not home.run("tiny").exists()
    assert not list(home.path.glob("mlflow*"))


def test_a_store_that_is_not_there_is_said_before_ray_starts(recipe: Path, home: Home) -> None:
    config = read_config(recipe, ["data.store=nowhere.zarr"])
    with pytest.raises(FileNotFoundError, match=r"nowhere\.zarr"):
        train(config, home, resume=False, watch=lambda seen, metrics, chore: None)
    assert not home.run("tiny").exists(), "a run that could not begin is not in the way of the next"


def test_all_four_packages_come_from_one_folder() -> None:
    assert len({Path(folder).parent for folder in package_folders()}) == 1


# clusters that start machines when asked


def test_more_than_there_is_now_is_waited_for_where_the_cluster_can_grow(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def config(*more: str) -> AnyRun:
        return read_config(recipe, ["run.gpus_per_worker=1", "run.workers=4", "run.virtual_shards=4", *more])

    monkeypatch.setattr("ray._private.state.state.get_max_resources_from_cluster_config", lambda: None)
    head = {"CPU": 4.0}
    with pytest.raises(ServiceError, match="more GPUs than there are") as refused:
        check_resources(config(), head)
    assert "--set cluster.grows_to.GPU=NUMBER" in refused.value.do
    check_resources(config("cluster.grows_to.GPU=4"), head)
    with pytest.raises(ServiceError, match="more GPUs than there are") as refused:
        check_resources(config("cluster.grows_to.GPU=3"), head)
    assert refused.value.found == "4 worker(s) with 1 each, and Ray has 3"
    with pytest.raises(ServiceError, match="more CPUs than there are"):
        check_resources(config("cluster.grows_to.GPU=8"), {"CPU": 2.0})
    check_resources(config(), {"CPU": 4.0, "GPU": 4.0})
    with pytest.raises(RecipeError, match="not a recipe"):
        config("cluster.grows_to.TPU=4")


GROWING = """
import sys
from pathlib import Path
from cluster.home import Home
from cluster.session import joined, largest
from distgan.config.run_config import AnyRun, read_config
with joined("", Home(Path(sys.argv[1])), 1):
    import ray
    from ray._private.state import state
    from ray.core.generated.autoscaler_pb2 import ClusterConfig
    config = read_config(Path(sys.argv[2]))
    before = largest(config, ray.cluster_resources())
    told = ClusterConfig()
    group = told.node_group_configs.add(name="gpus", min_count=0, max_count=3)
    group.resources["GPU"] = 2
    ray._raylet.GcsClient(address=ray.get_runtime_context().gcs_address).report_cluster_config(told.SerializeToString())
    print(before["GPU"], largest(config, ray.cluster_resources())["GPU"])
"""


@pytest.mark.cluster
def test_what_a_cluster_tells_of_its_limits_is_taken(recipe: Path, home: Home) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GROWING, home.path, recipe], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [float(word) for word in done.stdout.split()] == [0, 6]


def test_a_machine_that_is_too_busy_for_ray_is_said(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(**options: object) -> None:
        raise Exception("The current node timed out during startup. This could happen because ...")

    monkeypatch.setattr("ray.init", late)
    with pytest.raises(ServiceError, match="did not come up") as busy, joined("", home, 1):
        pass
    assert "--resume" in busy.value.do
