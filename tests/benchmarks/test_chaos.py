"""Kills at random steps, the number of workers changed at restarts: `make bench`.

That the bits are those of an undisturbed run is asserted; how long a recovery takes is printed.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.home import Home
from distgan.monitoring.pulse import last_pulse

pytestmark = pytest.mark.benchmark
RUNS, KILLS_A_RUN = 5, 4  # every other kill is of a worker, the others are of the driver and so of all
IMAGES = 12_800


def start(patches: Path, name: str, workers: int, *arguments: str) -> "subprocess.Popen[str]":
    settings = {
        "run.name": name,
        "run.images": IMAGES,
        "run.batch_size": 64,
        "run.virtual_shards": 4,
        "run.workers": workers,
        "data.store": patches,
        "evaluate.every_images": 6400,
        "evaluate.samples": 200,
        "checkpoint.every_images": 640,
    }
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return subprocess.Popen(
        [sys.executable, "-m", "distgan.cli", "train", "demo", "--json", *options, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def finish(process: "subprocess.Popen[str]") -> dict[str, Any]:
    out, _ = process.communicate(timeout=1800)
    assert process.returncode == 0, out
    return json.loads(out.splitlines()[-1])


def wait_until(folder: Path, process: "subprocess.Popen[str]", images: int, but: int = 0) -> dict[str, Any]:
    """The pulse of the first worker once it has seen so many images, and is not the process `but`."""
    while process.poll() is None:
        told = last_pulse(folder, 0)
        if told.get("images_seen", 0) >= images and told["pid"] != but and psutil.pid_exists(told["pid"]):
            return told
        time.sleep(0.02)
    raise AssertionError(f"it ended by itself, with {process.returncode}")


@pytest.mark.timeout(7200)
def test_every_run_ends_with_the_same_bits(
    patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISTGAN_HOME", str(tmp_path / "home"))
    undisturbed = finish(start(patches, "undisturbed", 1))["state_sha256"]
    chance = random.Random(os.environ.get("DISTGAN_CHAOS", "0"))
    seconds, kills, same = [], 0, 0
    for run in range(RUNS):
        name = f"chaos-{run}"
        folder = Home.here().run(name)
        process = start(patches, name, chance.randint(1, 4))
        for at in sorted(chance.sample(range(640, IMAGES * 3 // 4), KILLS_A_RUN)):
            told = wait_until(folder, process, at)
            kills += 1
            if kills % 2:
                killed = time.monotonic()
                psutil.Process(told["pid"]).kill()
                resumed = wait_until(folder, process, 1, but=told["pid"])
                wait_until(folder, process, resumed["images_seen"] + 1, but=told["pid"])
                seconds.append(time.monotonic() - killed)
            else:
                below = psutil.Process(process.pid).children(recursive=True)
                process.kill()
                process.communicate()
                psutil.wait_procs(below, timeout=15)  # some of Ray's own linger
                process = start(patches, name, chance.randint(1, 4), "--resume")
        same += finish(process)["state_sha256"] == undisturbed
    with capsys.disabled():
        print(f"\n{kills} kills in {RUNS} runs; {same} of them end with the bits of an undisturbed run.")
        print(
            f"From kill -9 of a worker to training again: median {statistics.median(seconds):.1f} s"
            f" ({min(seconds):.1f} to {max(seconds):.1f})."
        )
    assert same == RUNS
