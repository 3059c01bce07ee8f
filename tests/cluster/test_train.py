"""A run on Ray: killed workers, killed drivers, stopped runs; the end is that of the undisturbed run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from cluster.home import Home
from cluster.ownership import stopping_at_signals
from cluster.registry import list_versions, resolve
from cluster.tracking import connect
from cluster.train import train
from distgan.config.run_config import read_config
from distgan.engine.checkpoint import Checkpoints
from distgan.engine.distributed import Group
from distgan.engine.running import run
from distgan.model import load_model
from distgan.monitoring.pulse import STOP
from storage.errors import RecipeError

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def golden(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The state digest of the same recipe in one process, without Ray, undisturbed."""
    folder = tmp_path_factory.mktemp("golden")
    run(read_config(recipe, ["run.workers=1"]), folder, Group(), torch.device("cpu"))
    snapshot = Checkpoints(folder / "checkpoints", 2).latest()
    assert snapshot is not None
    return str(snapshot.facts["state_sha256"])


def start(recipe: Path, *arguments: str) -> "subprocess.Popen[str]":
    """`distgan train` as a user would start it."""
    command = [sys.executable, "-m", "distgan.cli", "train", str(recipe), "--json", *arguments]
    # In a group of its own, as a terminal or SLURM would start it, and signal all of it.
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(process: "subprocess.Popen[str]") -> dict[str, Any]:
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def wait_for(happened: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    for _ in range(4000):
        if happened():
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    pytest.fail("it never happened")


def ray_workers(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The training workers below a driver."""
    found = psutil.Process(process.pid).children(recursive=True)
    return [one for one in found if "RayTrainWorker" in " ".join(one.cmdline())]


def listening(process: "subprocess.Popen[str]") -> set[str]:
    """The addresses at which a driver or anything below it listens."""
    driver = psutil.Process(process.pid)
    found = [one for child in [driver, *driver.children(recursive=True)] for one in child.net_connections()]
    return {one.laddr.ip.removeprefix("::ffff:") for one in found if one.status == psutil.CONN_LISTEN}


def committed(home: Home) -> int:
    return Checkpoints(home.run("tiny") / "checkpoints", 2).committed_images()


def points(home: Home, run_id: str, key: str) -> list[int]:
    """At which images seen MLflow has this metric, in the order it came."""
    return [metric.step for metric in connect(home).get_metric_history(run_id, key)]


def test_a_killed_worker_is_replaced_and_the_end_is_the_same(recipe: Path, home: Home, golden: str) -> None:
    process = start(recipe)
    wait_for(lambda: committed(home) >= 320, process)
    assert {"127.0.0.1"} <= listening(process) <= {"127.0.0.1", "::1"}, "nobody else on the network is to reach it"
    victim = ray_workers(process)[0]
    victim.kill()
    result = finish(process)
    assert result["state_sha256"] == golden
    assert result["images_seen"] == 960
    assert result["virtual_shards"] == 2
    assert points(home, result["run_id"], "kid") == [0, 320, 640, 960]
    assert points(home, result["run_id"], "loss/penalty") == [160, 320, 480, 640, 800, 960]
    assert points(home, result["run_id"], "kid_floor") == [0]
    params = connect(home).get_run(result["run_id"]).data.params
    assert params["method.penalty"] == "10.0"
    assert len(params["features_sha256"]) == 64

    (version,) = list_versions(home)
    assert (version.name, version.version, version.aliases) == ("tiny", 1, ("candidate",))
    model = load_model(resolve(home, "models:/tiny@candidate"))
    assert model.card["state_sha256"] == golden
    assert model.digest == version.digest
    pictures = [one.path for one in connect(home).list_artifacts(result["run_id"], "figures")]
    assert "figures/samples-000000000960.png" in pictures

    again = finish(start(recipe, "--resume"))
    assert again["model"] == "models:/tiny/1", "a finished run is not registered twice"
    assert points(home, result["run_id"], "kid") == [0, 320, 640, 960]


def test_a_killed_driver_leaves_a_run_that_resumes_to_the_same_end(recipe: Path, home: Home, golden: str) -> None:
    process = start(recipe)
    wait_for(lambda: committed(home) >= 320, process)
    below = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    psutil.wait_procs(below, timeout=60)

    refused = start(recipe)
    out, _ = refused.communicate()
    assert refused.returncode == 2
    assert "--resume" in json.loads(out.splitlines()[-1])["error"]["do"]

    result = finish(start(recipe, "--resume", "--set", "run.workers=1"))
    assert result["state_sha256"] == golden, "with another number of workers, too"
    assert result["virtual_shards"] == 2
    assert points(home, result["run_id"], "kid") == [0, 320, 640, 960]


@pytest.mark.slow
def test_a_signal_to_all_processes_of_a_run_commits_a_checkpoint(recipe: Path, home: Home, golden: str) -> None:
    before = 0
    for number in (signal.SIGTERM, signal.SIGUSR1):
        process = start(recipe, *(["--resume"] if before else []))
        wait_for(lambda: committed(home) >= before + 160, process)  # noqa: B023
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=200)
        assert process.returncode == 75, err
        error = json.loads(out.splitlines()[-1])["error"]
        assert error["code"] == "interrupted"
        assert f"a checkpoint at {committed(home):,} images was committed first" in error["found"]
        assert "--resume" in error["do"]
        before = committed(home)
        assert before < 960
        assert connect(home).get_run((home.run("tiny") / "mlflow_run").read_text().strip()).info.status == "KILLED"
    assert finish(start(recipe, "--resume"))["state_sha256"] == golden


def test_a_signal_asks_to_stop_and_only_one_that_comes_later_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, before = [100.0], signal.getsignal(signal.SIGUSR1)
    monkeypatch.setattr("cluster.ownership.time.monotonic", lambda: now[0])
    with stopping_at_signals(tmp_path):
        for number in (signal.SIGUSR1, signal.SIGTERM):  # as a scheduler sends them to a job and to its processes
            signal.raise_signal(number)
            assert (tmp_path / STOP).read_text().startswith(f"signal {signal.SIGUSR1.value} at ")
        now[0] += 5
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGUSR1) is before


@pytest.mark.slow
def test_a_paused_worker_is_waited_for_and_a_hung_one_is_named_and_replaced(
    recipe: Path, home: Home, golden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S", "8")
    process = start(recipe)
    lost = home.run("tiny") / "lost.jsonl"
    wait_for(lambda: committed(home) >= 160, process)
    paused = ray_workers(process)[0]
    paused.suspend()
    time.sleep(3)
    paused.resume()
    before = committed(home)
    wait_for(lambda: committed(home) > before, process)
    assert not lost.exists()

    hung = ray_workers(process)[1]
    hung.suspend()
    wait_for(lost.exists, process)
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["state_sha256"] == golden
    (line,) = lost.read_text().splitlines()
    assert json.loads(line)["pid"] == hung.pid
    assert f"(process {hung.pid}) gave no sign of life and was given up after" in err
    assert not hung.is_running(), "it keeps no memory of a GPU"


@pytest.mark.slow
def test_a_worker_whose_training_hangs_is_named_with_the_place_and_replaced(
    recipe: Path, home: Home, golden: str, tmp_path: Path
) -> None:
    program = [sys.executable, str(Path(__file__).with_name("hanging_worker.py")), "400", str(tmp_path / "hung"), "8"]
    process = subprocess.run([*program, "train", str(recipe), "--json"], capture_output=True, text=True, timeout=400)
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout.splitlines()[-1])["state_sha256"] == golden
    (line,) = (home.run("tiny") / "lost.jsonl").read_text().splitlines()
    assert json.loads(line)["rank"] == 1
    assert "dead_locked (hanging_worker.py:" in json.loads(line)["how"]
    assert f"(process {json.loads(line)['pid']}) hung in " in process.stderr


@pytest.mark.parametrize("cpus", [1, os.cpu_count()])
def test_as_many_workers_as_there_is_room_for(recipe: Path, home: Home, golden: str, cpus: int) -> None:
    process = start(recipe, "--set", "run.workers=[1, 2]", "--set", f"run.cpus_per_worker={cpus}")
    wait_for(lambda: committed(home) >= 160, process)
    assert len(ray_workers(process)) == min(2, (os.cpu_count() or 1) // cpus)
    assert finish(process)["state_sha256"] == golden


@pytest.mark.slow
def test_kills_with_other_numbers_of_workers_in_between_leave_the_end_the_same(recipe: Path, home: Home) -> None:
    shards = ("--set", "run.virtual_shards=4")
    folder = home.run("golden")
    run(read_config(recipe, ["run.virtual_shards=4", "run.workers=1"]), folder, Group(), torch.device("cpu"))
    undisturbed = Checkpoints(folder / "checkpoints", 2).latest()
    assert undisturbed is not None
    resume: tuple[str, ...] = ()
    for workers, at in ((3, 160), (1, 480), (4, 640)):
        process = start(recipe, *shards, "--set", f"run.workers={workers}", *resume)
        wait_for(lambda: committed(home) >= at, process)  # noqa: B023
        below = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.communicate()
        psutil.wait_procs(below, timeout=60)
        resume = ("--resume",)
    result = finish(start(recipe, *shards, "--set", "run.workers=2", *resume))
    assert result["state_sha256"] == undisturbed.facts["state_sha256"]


def test_an_error_that_would_happen_again_ends_the_run_with_its_own_message(recipe: Path, home: Home) -> None:
    process = start(recipe, "--set", "optimizer.lr=1e30")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 76, err
    assert json.loads(out.splitlines()[-1])["error"]["code"] == "diverged"


def test_a_folder_with_files_of_somebody_else_is_named_and_left_alone(recipe: Path, home: Home) -> None:
    theirs = home.run("tiny") / "thesis.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("ten years")
    with pytest.raises(RecipeError, match="no folder of a run"):
        train(read_config(recipe, []), home, resume=False, watch=lambda *_: None)
    assert [path.name for path in theirs.parent.iterdir()] == ["thesis.txt"]
    assert theirs.read_text() == "ten years"
