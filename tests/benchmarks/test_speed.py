"""The trainer against a loop written by hand: `make bench`. Printed, and asserted nowhere."""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from distgan.monitoring.tracking import read_lines

pytestmark = pytest.mark.benchmark
IMAGES = 10_000
BATCH_SIZE = 64
ROUNDS = 2


def hand_loop(patches: Path) -> float:
    """Images per second of the hand-written loop."""
    script = Path(__file__).with_name("hand_loop.py")
    command = [sys.executable, str(script), str(patches), str(BATCH_SIZE), str(IMAGES)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def distgan_train(patches: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[float, float]:
    """Images per second between the first and the last log line, checkpoints included; seconds to the first step."""
    monkeypatch.setenv("DISTGAN_HOME", str(home))
    settings = {
        "run.name": "bench",
        "run.workers": 1,
        "run.batch_size": BATCH_SIZE,
        "run.images": IMAGES,
        "run.log_every_images": BATCH_SIZE * 20,
        "data.store": patches,
        "method.critic_steps": 5,
        "method.critic_width": 32,
        "optimizer.lr": 3e-4,
        "evaluate.every_images": 10 * IMAGES,
        "checkpoint.every_images": IMAGES // 4,
    }
    overrides = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    started = time.time()
    subprocess.run([sys.executable, "-m", "distgan.cli", "train", "demo", *overrides], check=True, capture_output=True)
    lines = [line for line in read_lines(home / "runs" / "bench") if "metrics" in line]
    logged = [line for line in lines if "images_per_second" in line["metrics"]]
    seen = logged[-1]["images_seen"] - logged[0]["images_seen"]
    return seen / (logged[-1]["time"] - logged[0]["time"]), lines[0]["time"] - started


def test_trainer_against_a_hand_written_loop(
    patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bench: Any
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    ours, hands, starts = [], [], []
    for turn in range(ROUNDS):
        hands.append(hand_loop(patches))
        speed, start = distgan_train(patches, tmp_path / str(turn), monkeypatch)
        ours.append(speed)
        starts.append(start)
    told = f"{statistics.median(ours):.0f} / {statistics.median(hands):.0f} images/s"
    told += f"; {statistics.median(starts):.0f} s from the command to the first step"
    what = "trainer (Ray Train, 1 worker, MLflow, checkpoints) / hand-written loop"
    bench.row(what, [a / b for a, b in zip(ours, hands, strict=True)], "0.9 or more", told)
