"""The whole pipeline on three machines that are network namespaces of this one: `make bench-cluster`, as root.

Everything is submitted from outside, as a user does.  Asserted: both workers take part in each step, a training that
loses a machine ends with the bits of one that does not, and the promoted model comes back out of the object store.
Seconds are printed.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distgan.monitoring.pulse import last_pulse
from tests.benchmarks.cluster.nodes import ADDRESSES, BINARIES, Machine, network, refused, until
from tests.benchmarks.cluster.services import start_services, stored

HERE = Path(__file__).parent
WORKERS = ("distgan-a", "distgan-b")
KILLED_AFTER = 2_000  # images, of 6,400

PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "RAY_health_check_timeout_ms": "60000",
    "RAY_worker_register_timeout_seconds": "600",
}
"""Three machines share the cores of one, and what is quick on each takes minutes where others compute too."""


class Bench:
    """The machines, who uses them from outside, and what took how long."""

    def __init__(self, folder: Path, machines: dict[str, Machine]) -> None:
        self.folder, self.machines = folder, machines
        self.head = machines["distgan-head"]
        self.rows: list[tuple[str, float, str]] = []
        self.environment: dict[str, str] = {}

    def up(self) -> None:
        """Ray, and the services."""
        with self.timed("Ray: a head and two workers"):
            self.head.lead()
            for name in WORKERS:
                self.machines[name].join(self.head)
        with self.timed("PostgreSQL, S3 and MLflow"):
            address = start_services(self.head, self.folder)
        self.environment = {
            "RAY_ADDRESS": f"http://{self.head.address}:8265",
            "MLFLOW_TRACKING_URI": address,
            "DISTGAN_HOME": str(self.folder / "home"),
            "DISTGAN_DATA": str(self.folder / "data"),
        }
        os.environ |= self.environment

    @contextmanager
    def timed(self, what: str) -> Iterator[list[str]]:
        """A row of the table; what is added to the list stands beside the seconds."""
        notes: list[str] = []
        print(f"... {what}", flush=True)
        began = time.monotonic()
        yield notes
        self.rows.append((what, time.monotonic() - began, "; ".join(notes)))

    def distgan(self, *words: str | Path, **more: str) -> dict[str, Any]:
        """A command of distgan from outside, and its result.  more: of its environment."""
        done = subprocess.run(
            [BINARIES / "distgan", *map(str, words), "--json"],
            cwd=self.folder,
            env={**os.environ, **more},
            capture_output=True,
            text=True,
        )
        with (self.folder / "outside.log").open("a") as log:
            log.write(f"$ distgan {' '.join(map(str, words))}\n{done.stderr}{done.stdout}\n")
        if done.returncode:
            raise RuntimeError(f"distgan {' '.join(map(str, words))}: {done.stdout.strip()[-2000:]}")
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def submitted(self, *words: str | Path) -> dict[str, Any]:
        """The same, as a job on the cluster."""
        return dict(self.distgan("submit", "--follow", "--json", "--", *words)["result"])

    def step(self, what: str, *words: str | Path, task: str = "") -> dict[str, Any]:
        """A job, in the table.  task: of which Ray must have run some on both workers."""
        before = set(self.tasks())
        with self.timed(what) as notes:
            result = self.submitted(*words)
        if task:
            notes.append(self.check_spread(task, before))
        return result

    def tasks(self) -> dict[str, tuple[str, str]]:
        """Of every task that Ray remembers, by its number: its name, and the machine."""
        from ray.util.state import list_nodes, list_tasks

        address = self.environment["RAY_ADDRESS"]
        nodes = {one.node_id: one.node_ip for one in list_nodes(address)}
        names = {number: name for name, number in ADDRESSES.items()}
        found = list_tasks(address, limit=10_000, raise_on_missing_output=False)
        return {one.task_id: (one.name, names.get(nodes.get(one.node_id, ""), "")) for one in found}

    def check_spread(self, task: str, before: set[str]) -> str:
        """How many of the new tasks of this name each machine has run."""
        new = [found for number, found in self.tasks().items() if number not in before]
        where = Counter(machine for name, machine in new if task in name)
        assert set(WORKERS) <= set(where), f"tasks {task}: {dict(where)}; there were {Counter(new)}"
        return f"tasks of Ray: {', '.join(f'{where[name]} on {name}' for name in WORKERS)}"

    def table(self) -> str:
        """All steps in Markdown."""
        rows = [f"| {what} | {seconds:.0f} s | {notes} |" for what, seconds, notes in self.rows]
        return "\n".join(["| step | wall clock | |", "|---|---|---|", *rows])


def everything(bench: Bench) -> None:
    """All steps, in order."""
    bench.up()
    with bench.timed("fetch (made here, outside)"):
        bench.distgan("data", "fetch", "synthetic_rosettes")
    raw, images = bench.folder / "data" / "synthetic_rosettes", "rosettes.ome.zarr"
    bench.step("ingest", "ingest", raw, images, "--dataset", "synthetic_rosettes")
    bench.step("prepare, unlabelled", "prepare", "gan.toml", task="_told")
    bench.step("prepare, labelled", "prepare", "fractions.toml", task="_told")
    calm = bench.step("GAN, undisturbed", "train", "gan.toml", task="RayTrainWorker")
    losing_a_machine(bench, calm)
    bench.step("autoencoder", "train", "autoencoder.toml", task="RayTrainWorker")
    bench.step("search, 4 trials", "tune", "search.toml", task="train")
    bench.step("sweep, 8 trainings", "tune", "fractions.toml", task="train")
    with_promotion(bench)


def losing_a_machine(bench: Bench, calm: dict[str, Any]) -> None:
    """Train again, cut the power of a machine on the way, and switch it on again when all is done."""
    lost, run = bench.machines["distgan-b"], bench.folder / "home" / "runs" / "gan-hit"
    notes: list[str] = []

    def cut() -> None:
        until(lambda: min(_seen(run, rank) for rank in (0, 1)) >= KILLED_AFTER, "two workers that train", 1800)
        lost.kill()
        killed, pulse = time.monotonic(), run / "pulses" / "0.json"
        at = time.time() + 1  # by then whoever is left has noticed
        until(lambda: pulse.exists() and pulse.stat().st_mtime > at and _seen(run, 0), "training elsewhere", 1800)
        notes.append(f"from the cut to training again {time.monotonic() - killed:.0f} s")

    watcher = threading.Thread(target=cut, daemon=True)
    with bench.timed("GAN, one machine lost on the way") as row:
        watcher.start()
        result = bench.submitted("train", "gan.toml", "--set", "run.name=gan-hit")
        watcher.join(5)
        row += notes
    assert notes, "no machine was lost"
    same = result["state_sha256"] == calm["state_sha256"]
    assert same, f"other bits: {result['state_sha256']} and {calm['state_sha256']}"
    with bench.timed("the machine joins again"):
        lost.join(bench.head)


def _seen(run: Path, rank: int) -> int:
    """How many images a worker of a run last said that it has seen."""
    return int(last_pulse(run, rank).get("images_seen", 0))


def with_promotion(bench: Bench) -> None:
    """The model gets its alias, and is read back where there is nothing but the address of MLflow."""
    with bench.timed("promote"):
        bench.distgan("models", "promote", "rosettes", "--to", "champion")
    with bench.timed("sample models:/rosettes@champion") as notes:
        out = bench.folder / "samples.npy"
        bench.distgan("sample", "models:/rosettes@champion", "--out", out, DISTGAN_HOME=str(bench.folder / "empty"))
        there = stored(bench.head)
        models = [key for key in there if key.endswith("/model/weights.safetensors")]
        assert models, there
        assert out.exists()
        notes.append(f"{len(there)} objects in S3, {len(models)} of them models, {sum(there.values()) / 1e6:.1f} MB")


def main() -> None:
    """Refuses where it cannot run; leaves the logs where it failed."""
    if reason := refused():
        sys.exit(reason)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit("ended from outside"))
    folder = Path(tempfile.mkdtemp(prefix="dg-"))
    folder.chmod(0o711)  # PostgreSQL's owner passes through to its own
    for recipe in HERE.glob("*.toml"):
        shutil.copy(recipe, folder)
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    settings = {
        "PATH": f"{BINARIES}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        **PATIENCE,
    }
    for name in ("RAY_AUTH_TOKEN", "RAY_API_SERVER_ADDRESS"):
        os.environ.pop(name, None)
    os.environ |= settings
    with network(folder, settings) as machines:
        bench = Bench(folder, machines)
        try:
            everything(bench)
        except BaseException:
            print(f"The logs are in {folder}", flush=True)
            raise
        finally:
            print(bench.table(), flush=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
