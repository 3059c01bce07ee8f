"""The Slurm script, on nodes that are processes of this machine."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "slurm.sh"
JOB = 7
NODES = 2

SRUN = """
import os, signal, subprocess, sys
command = [one for one in sys.argv[1:] if not one.startswith("--cpus-per-task=")]
nodes = range(int(os.environ["SLURM_JOB_NUM_NODES"]))
tasks = [subprocess.Popen(command, env=os.environ | {"SLURM_PROCID": str(n)}, start_new_session=True) for n in nodes]
def forward(number, frame):  # to every process of every task, as Slurm does
    for task in tasks:
        os.killpg(task.pid, number)
for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, forward)
sys.exit(max(task.wait() != 0 for task in tasks))
"""
SCONTROL = """
import os, sys
note("scontrol " + " ".join(sys.argv[1:]))
if sys.argv[1] == "show":
    print(f"JobId={sys.argv[3]} JobState={os.environ['STATE']} Reason=None")
"""
RAY = """
import os, signal, socket, stat, sys
note("ray " + " ".join(sys.argv[1:]))
note("token " + oct(stat.S_IMODE(os.stat(os.environ["RAY_AUTH_TOKEN_PATH"]).st_mode)))
assert signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, [])
if os.environ.get("DIES"):
    sys.exit("ray cannot start")
if "--head" in sys.argv:
    (port,) = [one.split("=")[1] for one in sys.argv if one.startswith("--port=")]
    listening = socket.create_server(("127.0.0.1", int(port)))
note("up")
while True:
    signal.pause()
"""
DISTGAN = """
import os, signal, sys
token = open(os.environ["RAY_AUTH_TOKEN_PATH"]).read()
note(f"distgan {' '.join(sys.argv[1:])} at {os.environ['RAY_ADDRESS']} with {len(token)}")
signal.signal(signal.SIGUSR1, lambda number, frame: sys.exit(75))
note("began")
if os.environ["CODE"] == "waits":
    while True:
        signal.pause()
sys.exit(int(os.environ["CODE"]))
"""


class Cluster:
    """Slurm as a script sees it: commands in a folder of their own, which note how they were called."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.home = folder / "home"
        self.noted = folder / "noted"
        self.said = folder / "said"
        self.bin.mkdir()
        self.noted.touch()
        for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("ray", RAY), ("distgan", DISTGAN)):
            self.command(name, text)
        # What asks Ray how many nodes there are: it is Ray's to answer.
        self.command("python", f"import sys\nsys.exit(open({str(self.noted)!r}).read().count('up\\n') < {NODES})")

    def command(self, name: str, text: str, flags: str = "-ES") -> None:
        """Put a command in the place of another."""
        note = f"def note(text):\n    with open({str(self.noted)!r}, 'a') as file:\n        file.write(text + '\\n')\n"
        path = self.bin / name
        path.write_text(f"#!{sys.executable} {flags}\n{note}{text}")
        path.chmod(0o755)

    def submit(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        """Run the script as `sbatch` would on the first node."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "DISTGAN_"))}
        given = {
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "DISTGAN_HOME": str(self.home),
            "DISTGAN_HEAD_ADDRESS": "127.0.0.1",
            "SLURM_JOB_ID": str(JOB),
            "SLURM_JOB_NUM_NODES": str(NODES),
            "SLURM_CPUS_PER_TASK": "1",
            "STATE": "RUNNING",
        }
        with self.said.open("w") as said:
            return subprocess.Popen(["bash", SCRIPT, *words], env=kept | given | environment, stderr=said)

    def lines(self, name: str) -> list[str]:
        """What was noted of a command."""
        return [line.removeprefix(f"{name} ") for line in self.noted.read_text().splitlines() if line.startswith(name)]

    def wait_for(self, line: str, job: subprocess.Popen[bytes]) -> None:
        """Until it is noted."""
        while line not in self.noted.read_text():
            assert job.poll() is None, self.said.read_text()
            time.sleep(0.05)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_a_training_runs_on_all_nodes_and_the_job_ends_with_it(cluster: Cluster) -> None:
    assert cluster.submit("train", "recipe.toml", CODE="0").wait() == 0
    head, worker = sorted(cluster.lines("ray"), key=lambda line: "--head" not in line)
    port = 20000 + JOB * 2
    assert f"--head --node-ip-address=127.0.0.1 --port={port}" in head
    assert f"--address=127.0.0.1:{port}" in worker
    assert cluster.lines("distgan") == [f"train recipe.toml --resume at 127.0.0.1:{port} with 64"]
    assert cluster.lines("scontrol") == []


def test_the_token_is_the_owners_alone_and_goes_with_the_job(cluster: Cluster) -> None:
    assert cluster.submit("train", "recipe.toml", CODE="0").wait() == 0
    assert cluster.lines("token") == ["0o600"] * NODES
    assert not list((cluster.home / "tokens").iterdir())
    assert stat.S_IMODE((cluster.home / "tokens").stat().st_mode) == 0o700


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_before_its_time_is_up_it_commits_and_is_requeued(cluster: Cluster, number: int) -> None:
    job = cluster.submit("train", "recipe.toml", CODE="waits")
    cluster.wait_for("began", job)
    job.send_signal(number)
    assert job.wait() == 75
    assert cluster.lines("scontrol") == [f"show job {JOB}", f"requeue {JOB}"]


@pytest.mark.parametrize("state", ["CANCELLED", "PREEMPTED"])
def test_what_was_cancelled_stays_so(cluster: Cluster, state: str) -> None:
    job = cluster.submit("train", "recipe.toml", CODE="waits", STATE=state)
    cluster.wait_for("began", job)
    job.send_signal(signal.SIGTERM)
    assert job.wait() == 75
    assert cluster.lines("scontrol") == [f"show job {JOB}"]


def test_a_failure_is_not_tried_again(cluster: Cluster) -> None:
    assert cluster.submit("train", "recipe.toml", CODE="2").wait() == 2
    assert cluster.lines("scontrol") == []


def test_a_verb_that_cannot_resume_is_not_told_to(cluster: Cluster) -> None:
    assert cluster.submit("prepare", "recipe.toml", CODE="0").wait() == 0
    assert cluster.lines("distgan")[0].startswith("prepare recipe.toml at ")


def test_without_ray_it_ends_with_what_ray_said(cluster: Cluster) -> None:
    cluster.command("sleep", "")  # the second node looks two minutes for the first
    assert cluster.submit("train", "recipe.toml", DIES="yes", CODE="0").wait() == 69
    assert "ray cannot start" in cluster.said.read_text()
    assert "Ray did not start on the nodes" in cluster.said.read_text()
    assert cluster.lines("distgan") == []


def test_it_wants_a_home(cluster: Cluster) -> None:
    assert cluster.submit("train", "recipe.toml", DISTGAN_HOME="", CODE="0").wait() != 0
    assert "export DISTGAN_HOME" in cluster.said.read_text()


@pytest.mark.cluster
def test_with_ray_itself_the_driver_finds_every_node(cluster: Cluster) -> None:
    for name in ("ray", "python"):
        (cluster.bin / name).unlink()
    cluster.command(
        "distgan",
        """
import os, ray, signal
ray.init(os.environ["RAY_ADDRESS"], logging_level="error", log_to_driver=False)
signal.signal(signal.SIGUSR1, lambda *_: None)
os.kill(os.getppid(), signal.SIGTERM)  # Ray outlives what ends the job, and the driver is told by USR1
note(f"nodes {len(ray.nodes())} CPUs {ray.cluster_resources()['CPU']:g}")
print(ray.get(ray.remote(lambda: 1).remote()))
""",
        flags="-E",
    )
    path = f"{cluster.bin}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    cluster.submit("train", "recipe.toml", PATH=path).wait()
    assert cluster.lines("nodes") == [f"{NODES} CPUs {NODES}"], cluster.said.read_text()
