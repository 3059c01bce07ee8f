"""Ratios measured side by side in one run: `make bench`. They are printed, and asserted nowhere."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from distgan.data import Feed
from distgan.tracking import read_lines
from storage.datasets import synthetic_embryos
from storage.ingest import ingest
from storage.manifest import committed
from storage.patches import KIND, PatchStore
from storage.preprocess import Preparation, prepare
from storage.store import create_array, write_shard

pytestmark = pytest.mark.benchmark
IMAGES = 16_000
BATCH_SIZE = 64
ROUNDS = 2


@pytest.fixture(scope="session")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's images, cut into 7,680 patches."""
    folder = tmp_path_factory.mktemp("bench")
    raw = synthetic_embryos.fetch(folder, lambda done, total: None)
    ingest(raw, folder / "images.zarr", synthetic_embryos.metadata)
    operations = ({"name": "display_range", "low": 2500, "high": 4200},)
    prepare(folder / "images.zarr", folder / "patches.zarr", Preparation(32, "tiled", operations))
    return folder / "patches.zarr"


@pytest.fixture(scope="session")
def many_patches(patches: Path) -> Path:
    """Those 16 times over, 122,880 in the layout that `prepare` gives so many: 2 shards of 1 MiB chunks."""
    store = PatchStore.open(patches)
    images = np.tile(store.read(np.arange(store.shape[0])), (16, 1, 1, 1))
    target = patches.with_name("many.zarr")
    shape, rows, shard = images.shape, 1024, 64 * 1024
    with committed(target, KIND, dict(store.manifest.facts)) as folder:
        path = folder / "images"
        create_array(path, shape, "uint8", (rows, *shape[1:]), (shard, *shape[1:]), ("sample", "c", "y", "x"))
        for start in range(0, len(images), shard):
            write_shard(path, start, images[start : start + shard])
        pq.write_table(pa.table({"row": np.arange(len(images))}), folder / "obs.parquet")
    return target


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


def test_trainer_against_a_hand_written_loop(patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    ours, hands, starts = [], [hand_loop(patches)], []
    for turn in range(ROUNDS):
        speed, start = distgan_train(patches, tmp_path / str(turn), monkeypatch)
        ours.append(speed)
        starts.append(start)
        hands.append(hand_loop(patches))
    ratio = statistics.median(ours) / statistics.median(hands)
    report(
        "trainer (Ray Train, 1 worker, MLflow) / hand-written loop",
        goal=0.9,
        ratio=ratio,
        ours_images_per_s=ours,
        hand_images_per_s=hands,
        seconds_to_first_step=starts,
    )


@pytest.mark.parametrize("epochs", [1, 3])
def test_shuffled_feed_against_reading_in_order(many_patches: Path, epochs: int) -> None:
    """Both from a cold start in this process; the feed's time includes reading the store once."""
    store = PatchStore.open(many_patches)
    ordered, shuffled = [], []
    for _ in range(7):
        started = time.monotonic()
        count = sum(len(block) for _, block in store.blocks(chunks=1))
        ordered.append(count / (time.monotonic() - started))
        started = time.monotonic()
        feed = Feed(store, np.arange(count), 0, torch.device("cpu"))
        for position in range(0, epochs * count, 256):
            feed.images[feed.sampler.take(position, 256)]
        shuffled.append(epochs * count / (time.monotonic() - started))
    ratio = statistics.median(shuffled) / statistics.median(ordered)
    report(
        f"shuffled feed, {epochs} epoch(s) / the store in order, one inner chunk at a time",
        goal=0.8,
        ratio=ratio,
        feed_samples_per_s=shuffled,
        ordered_samples_per_s=ordered,
    )


def report(what: str, *, goal: float, ratio: float, **details: list[float]) -> None:
    rounded = {key: [round(value, 1) for value in values] for key, values in details.items()}
    print(f"\n{what}: {ratio:.2f} (goal: {goal} or more)\n  {json.dumps(rounded)}")
