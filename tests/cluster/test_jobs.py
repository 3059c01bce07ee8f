"""Jobs: what is handed on, what is refused, and the life of one on a real cluster."""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.home import Home
from cluster.jobs import CHECKED, Job, Jobs, _ending, handed_on
from cluster.preflight import check, where_submitted
from cluster.session import check_version
from distgan.cli import main
from storage.errors import InterruptedRun, MissingError, RecipeError, ServiceError

ENDED = Job("train-1", "FAILED", "distgan train demo", 0.0, 1.0, 1, "")


@pytest.fixture(autouse=True)
def no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


# what is handed on


def test_a_job_gets_addresses_and_no_secret() -> None:
    environment = {
        "DISTGAN_HOME": "home",
        "MLFLOW_TRACKING_URI": "https://mlflow:5000",
        "MLFLOW_TRACKING_PASSWORD": "canary",
        "RAY_AUTH_TOKEN": "canary",
        "AWS_SECRET_ACCESS_KEY": "canary",
    }
    given = handed_on(environment)
    assert given["DISTGAN_HOME"] == str(Path("home").absolute())
    assert given["MLFLOW_TRACKING_URI"] == "https://mlflow:5000"
    assert "canary" not in str(given)


def test_a_password_in_an_address_is_refused() -> None:
    with pytest.raises(RecipeError, match="has a password in it") as refused:
        handed_on({"MLFLOW_TRACKING_URI": "https://me:canary@mlflow:5000"})
    assert "canary" not in str(refused.value)


# how a job ended


def test_the_error_of_the_command_is_that_of_whoever_follows() -> None:
    error = InterruptedRun("the run was asked to stop", "a checkpoint at 32 images", "Run it with --resume")
    said = f"some text\n{json.dumps({'error': error.as_dict()})}\nlast words of Ray\n"
    found = _ending(ENDED, said)
    assert isinstance(found, InterruptedRun)
    assert (found.exit_code, str(found)) == (75, str(error))


def test_a_job_that_died_without_a_word_is_told_by_its_last_lines() -> None:
    found = _ending(ENDED, "one\ntwo\nKilled\n")
    assert isinstance(found, ServiceError)
    assert "exit code 1" in found.found
    assert "Killed" in found.found


# what is refused


@pytest.mark.parametrize(
    ("command", "do"),
    [
        ([], "distgan submit -- train"),
        (["--"], "distgan submit -- train"),
        (["--", "submit", "--", "train", "demo"], "distgan submit -- train"),
        (["--", "trian", "demo"], "--help"),
        (["--", "train", "nowhere"], "Check the path"),
        (["--", "train", "demo", "--set", "run.nothing=1"], ""),
    ],
    ids=range(6),
)
def test_a_mistake_is_told_before_any_cluster_is_asked(
    command: list[str], do: str, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", "--json", *command]) in (2, 66)
    error = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert do in error["do"]


def test_nobody_at_the_address_is_said(home: Home) -> None:
    with pytest.raises(ServiceError, match="no Ray cluster takes jobs at") as refused:
        Jobs(home, f"http://127.0.0.1:{free_port()}")
    assert "RAY_ADDRESS" in refused.value.do


def test_a_wrong_token_is_said(home: Home, server: Any) -> None:
    with server(401, b"Unauthorized") as address, pytest.raises(ServiceError, match="refuses our token") as refused:
        Jobs(home, address)
    assert "RAY_AUTH_TOKEN_PATH" in refused.value.do


@pytest.mark.parametrize("version", ["2.8.0", "2.51.2", "2.59.9", "3.0.0"])
def test_a_ray_that_is_too_old_or_unknown_is_refused_by_name(home: Home, server: Any, version: str) -> None:
    with pytest.raises(ServiceError, match="a Ray that is refused"):
        check_version(version, "this machine")
    text = json.dumps({"version": "4", "ray_version": version, "ray_commit": "x", "session_name": "s"})
    with server(200, text.encode()) as address, pytest.raises(ServiceError, match="a Ray that is refused") as refused:
        Jobs(home, address)
    assert f"Ray {version}" in refused.value.found


@pytest.mark.parametrize("name", ["../../api/version", "a/b", "x\ny", "", "%2e%2e"])
def test_the_id_of_a_job_is_no_path(home: Home, server: Any, name: str) -> None:
    text = json.dumps({"version": "4", "ray_version": "2.60.0", "ray_commit": "x", "session_name": "s"})
    with server(200, text.encode()) as address, pytest.raises(RecipeError, match="cannot be used as a name"):
        Jobs(home, address).job(name)


# the look around


def test_the_look_around_names_what_is_not_there(home: Home, tmp_path: Path) -> None:
    home.path.parent.mkdir(exist_ok=True)
    with pytest.raises(MissingError, match="the head of the cluster has no") as missing:
        check(home, [tmp_path, tmp_path / "patches.zarr"], None)
    assert "all machines of the cluster share" in missing.value.do
    check(home, [tmp_path], None)


def test_a_home_that_would_be_deleted_with_the_job_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISTGAN_HOME", raising=False)
    monkeypatch.setenv("DISTGAN_SUBMITTED_FROM", str(tmp_path / "a laptop's folder"))
    monkeypatch.chdir(tmp_path)
    with where_submitted(), pytest.raises(RecipeError, match="would be lost"):
        check(Home.here(), [], None)
    monkeypatch.setenv("DISTGAN_SUBMITTED_FROM", str(tmp_path))
    with where_submitted():
        check(Home.here(), [], None)


def test_an_mlflow_that_is_silent_or_wants_a_password_stops_the_job(
    home: Home, monkeypatch: pytest.MonkeyPatch, server: Any
) -> None:
    home.path.parent.mkdir(exist_ok=True)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ServiceError, match="MLflow does not answer"):
        check(home, [], None)
    with server(401, b"You are not authenticated") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(ServiceError, match="demands a name and a password"):
            check(home, [], None)


# on a real cluster


@pytest.fixture(scope="module")
def cluster(one_token: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard's address of a head that was started for these tests, on loopback and with a token."""
    if importlib.util.find_spec("opencensus") is None:
        pytest.skip("Ray has no dashboard: pip install ray[default]")
    folder = Path("/tmp") / f"ray-{os.getpid()}"  # sockets want a short path
    ports = {name: free_port() for name in ("port", "dashboard-port", "ray-client-server-port")}
    agents = ("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "metrics-export-port")
    ports |= {name: free_port() for name in agents}
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=1"]
    command += ["--dashboard-host=127.0.0.1", "--object-store-memory=100000000", f"--temp-dir={folder}"]
    bin_folder = str(Path(sys.executable).parent)
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
    }
    log = tmp_path_factory.mktemp("head") / "log"
    with log.open("w") as file:
        head = subprocess.Popen(
            [*command, *(f"--{name}={port}" for name, port in ports.items())],
            stdout=file, stderr=file, env=environment, start_new_session=True,
        )  # fmt: skip
    address = f"http://127.0.0.1:{ports['dashboard-port']}"
    try:
        home = Home(tmp_path_factory.mktemp("home"))
        for _ in range(300):
            assert head.poll() is None, log.read_text()
            try:
                Jobs(home, address).jobs()
                break
            except ServiceError:
                time.sleep(0.5)
        yield address
    finally:
        below = psutil.Process(head.pid).children(recursive=True)
        head.send_signal(signal.SIGTERM)
        head.wait(60)
        for one in psutil.wait_procs(below, timeout=10)[1]:
            one.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.cluster
def test_a_job_is_submitted_stopped_with_a_checkpoint_and_goes_on(
    cluster: str, recipe: Path, home: Home, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    monkeypatch.chdir(recipe.parent)
    home.path.parent.mkdir(exist_ok=True)
    ours = ["train", recipe.name, "--set", "run.workers=1", "--set", "run.images=480"]

    def told(*arguments: str) -> tuple[int, dict[str, Any]]:
        code = main([arguments[0], *(["--json"] if arguments[0] == "submit" else []), *arguments[1:]])
        found = capfd.readouterr()
        lines = [line for line in found.out.splitlines() if line.startswith("{")]
        return code, json.loads(lines[-1]) if lines else {}

    code, submitted = told("submit", "--", *ours)
    assert (code, submitted["status"]) == (0, "RUNNING")
    name = submitted["job"]
    while not list(home.run("tiny").glob("checkpoints/images-*")):
        time.sleep(0.2)
    assert told("jobs", "stop", name)[0] == 0
    code, error = told("jobs", "logs", name, "--follow", "--json")
    assert (code, error["error"]["code"]) == (75, "interrupted"), error

    code, finished = told("submit", "--follow", "--", *ours, "--resume")
    assert code == 0
    assert finished["result"]["images_seen"] == 480
    assert finished["result"]["model"] == "models:/tiny/1"
    code, listed = told("jobs", "list", "--json")
    assert [job["status"] for job in listed["jobs"]] == ["SUCCEEDED", "STOPPED"]
    assert told("jobs", "show", "no-such-job", "--json")[1]["error"]["code"] == "missing"

    # what the cluster has not is said, and no job is left
    for wanted, code in ((["run.gpus_per_worker=8"], 69), (["data.store=/no/such/store.zarr"], 66)):
        refused, error = told("submit", "--", *ours, "--set", "run.name=other", "--set", *wanted)
        assert refused == code, error
    assert len(told("jobs", "list", "--json")[1]["jobs"]) == 2
    log = Jobs(home).log(name)
    assert CHECKED in log.splitlines()
    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"]).read_text()
    assert token not in log
