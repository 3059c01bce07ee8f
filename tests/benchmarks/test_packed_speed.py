"""Many small trainings: in one process, against a process for each. Printed, and only equality is asserted."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from distgan.config.run_config import config_from_tables
from storage.cuts import Cut
from storage.ingest import ingest
from storage.layout import Layout
from storage.preprocess import Preparation, prepare
from tune.members import members_of
from tune.packed import PLAN

pytestmark = pytest.mark.benchmark
MEMBERS, STEPS, BATCH = 6, 300, 32
PACKED = """import sys; from pathlib import Path; from tune.packed import train_pack
train_pack(Path(sys.argv[1]), sys.argv[2:])"""
ROOT = Path(__file__).parents[2]


def store(folder: Path) -> Path:
    """320 patches of 32 x 32 of 10 embryos, every fourth with a blob in its middle."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    for number in range(320):
        label = "rosette" if number % 4 == 0 else "other"
        blob = 60 * np.exp(-np.hypot(y - 16, x - 16) / 4) if label == "rosette" else 0.0
        picture = 127 + 60 * np.sin(y / random.uniform(3, 9)) + blob + random.normal(0, 9, (32, 32))
        path = folder / "raw" / f"emb{number // 32}_{label}_{number:03d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path)
    ingest(
        folder / "raw",
        folder / "images.zarr",
        Layout(lambda file: dict(zip(("embryo", "label"), file.split("_"), strict=False))),
    )
    prepare(folder / "images.zarr", folder / "patches.zarr", Preparation(Cut("tiled", (32, 32))))
    return folder / "patches.zarr"


def planned(folder: Path, patches: Path) -> list[str]:
    """The folder of a sweep of as many trainings; returns their names."""
    tables: dict[str, Any] = {
        "run": {"name": "sweep", "images": STEPS * BATCH, "batch_size": BATCH, "log_every_images": 3200},
        "data": {"store": str(patches), "split": {"by": "embryo", "held_out": 0.3, "stratify": "label"}},
        "method": {"name": "transfer_classifier", "preset": "small", "positive": "rosette", "width": 8},
        "evaluate": {"metrics": ["classification"], "every_images": 4800},
        "checkpoint": {"every_images": 4800},
        "fractions": {"shares": [1.0, 0.2], "repeats": MEMBERS // 2, "metric": "auc"},
    }
    config = config_from_tables(tables, "the benchmark")
    assert config.fractions is not None
    members = [member.facts() for member in members_of(tables, config, config.fractions)]
    folder.mkdir()
    (folder / PLAN).write_text(json.dumps({"recipe": config.dump(), "members": members}))
    return [one["name"] for one in members]


def cost(*commands: list[str]) -> tuple[float, float]:
    """Seconds of these processes, one after the other: by the clock, and of CPU."""
    clock, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    for command in commands:
        subprocess.run([sys.executable, "-c", *command], cwd=ROOT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_packed_against_one_process_each(bench: Any, tmp_path: Path) -> None:
    patches = store(tmp_path)
    ratios, told = [], []
    for number in range(2):  # each about 65 CPU seconds
        names = planned(together := tmp_path / f"together{number}", patches)
        planned(alone := tmp_path / f"alone{number}", patches)
        ours = cost([PACKED, str(together), *names])
        theirs = cost(*([PACKED, str(alone), name] for name in names))
        for name in names:
            digests = {
                json.loads((folder / "results" / f"{name}.json").read_text())["state_sha256"]
                for folder in (together, alone)
            }
            assert len(digests) == 1
        ratios.append(theirs[1] / ours[1])
        told.append(f"CPU {ours[1]:.1f} / {theirs[1]:.1f} s, by the clock {ours[0]:.1f} / {theirs[0]:.1f} s")
    what = f"{MEMBERS} trainings of {STEPS} steps: packed / a process each, CPU seconds"
    bench.row(what, ratios, "1.5 or more", "; ".join(told))
