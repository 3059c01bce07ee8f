"""What tracking costs a run of 10,000 steps, and how soon MLflow has it: `make bench`. Only counts are asserted."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cluster.home import Home
from cluster.runs import flush
from cluster.tracking import RUN_FILE, SHIPPED, connect
from distgan.config.run_config import read_config
from distgan.engine.distributed import Group
from distgan.engine.running import run, write_recipe
from distgan.monitoring.tracking import JsonlTracker, read_lines

pytestmark = pytest.mark.benchmark
STEPS, BATCH, LOG_EVERY = 10_000, 16, 10
DRIVER = """
import sys, time
from pathlib import Path
from cluster.home import Home
from cluster.tracking import Delivery
home = Home(Path(sys.argv[1]))
delivery = Delivery(home, home.run("bench"), "bench")
while delivery.cursor < int(sys.argv[2]):
    delivery.try_deliver()
    time.sleep(0.5)
"""
"""As the driver of a run does, in a process of its own."""


def timed(patch: pytest.MonkeyPatch, name: str) -> list[float]:
    """The seconds of every call of a method of the tracker from now on."""
    found: list[float] = []
    real: Callable[..., None] = getattr(JsonlTracker, name)

    def call(*given: Any) -> None:
        began = time.perf_counter()
        real(*given)
        found.append(time.perf_counter() - began)

    patch.setattr(JsonlTracker, name, call)
    return found


def numbers(home: Home) -> tuple[int, int]:
    """How many numbers the run has noted, and how many MLflow has."""
    folder = home.run("bench")
    noted = {(key, line["images_seen"]) for line in read_lines(folder) for key in line.get("metrics", {})}
    client, run_id = connect(home), (folder / RUN_FILE).read_text().strip()
    keys = client.get_run(run_id).data.metrics
    return len(noted), sum(len(client.get_metric_history(run_id, key)) for key in keys)


@pytest.mark.timeout(3600)
def test_what_tracking_costs_and_how_soon_all_is_there(
    patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracking_server: Callable[[], Any], bench: Any
) -> None:
    server = tracking_server()
    server.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    home = Home(tmp_path / "home")
    images = STEPS * BATCH
    settings = {
        "run.name": "bench",
        "run.images": images,
        "run.batch_size": BATCH,
        "run.workers": 1,
        "run.virtual_shards": 1,
        "run.log_every_images": LOG_EVERY * BATCH,
        "data.store": patches,
        "method.width": 4,
        "method.critic_width": 4,
        "evaluate.every_images": images,
        "evaluate.samples": 100,
        "checkpoint.every_images": images // 10,
    }
    config = read_config(Path("demo"), [f"{key}={value}" for key, value in settings.items()])
    write_recipe(home.run("bench"), config)
    notes, flushes = timed(monkeypatch, "metrics"), timed(monkeypatch, "flush")
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, home.path, str(images)])
    began = time.perf_counter()
    run(config, home.run("bench"), Group(), torch.device("cpu"))
    seconds, ended = time.perf_counter() - began, time.perf_counter()
    run_id = (home.run("bench") / RUN_FILE).read_text().strip()
    client = connect(home)
    while int(client.get_run(run_id).data.tags.get(SHIPPED, -1)) < images:
        assert driver.poll() in (None, 0)
        time.sleep(0.1)
    late = time.perf_counter() - ended
    assert driver.wait(60) == 0
    noted, there = numbers(home)
    assert noted == there

    each = f"{len(notes)} lines of {STEPS:,} steps of {1000 * seconds / STEPS:.1f} ms, {noted:,} numbers"
    bench.row("time in the tracker / time of the run", [sum(notes) / seconds], "at most 0.01", each)
    median = f"median {1000 * statistics.median(notes):.2f} ms; {len(flushes)} flushes, the longest "
    row = f"{median}{1000 * max(flushes):.0f} ms"
    bench.row("milliseconds of the longest line", [1000 * max(notes)], "at most 50", row)
    bench.row("seconds from the end until MLflow has all", [late], "at most 5", "a server over loopback")

    again = Home(tmp_path / "again")
    home.path.rename(again.path)
    (again.run("bench") / RUN_FILE).unlink()
    began = time.perf_counter()
    list(flush(again))
    took = time.perf_counter() - began
    noted, there = numbers(again)
    assert noted == there
    bench.row("seconds to deliver the whole run at once", [took], "none", "as if the server had been dead all along")
