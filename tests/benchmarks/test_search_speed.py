"""What a search costs beside its trials, and what a kill costs it: `make bench`. Only the result is asserted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.benchmark
TRIALS, SLOTS, IMAGES = 8, 2, 20_000
"""A trial takes most of a minute, with two at a time on two cores."""


def start(patches: Path, home: Path, *arguments: str) -> "subprocess.Popen[str]":
    settings = {
        "run.name": "search",
        "run.images": IMAGES,
        "run.workers": 1,
        "run.virtual_shards": 1,
        "data.store": patches,
        "evaluate.every_images": IMAGES // 4,
        "evaluate.samples": 200,
        "checkpoint.every_images": 2400,
        "tune.trials": TRIALS,
        "tune.searcher": "random",
        "tune.scheduler": "none",
        "tune.concurrency": SLOTS,
    }
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    space = ["--set", 'tune.space={"optimizer.lr" = { loguniform = [3e-5, 3e-3] }}']
    return subprocess.Popen(
        [sys.executable, "-m", "distgan.cli", "tune", "demo", "--json", *options, *space, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"DISTGAN_HOME": str(home)},
    )


def finish(process: "subprocess.Popen[str]") -> dict[str, Any]:
    out, _ = process.communicate(timeout=1800)
    assert process.returncode == 0, out
    return json.loads(out.splitlines()[-1])


def spans(home: Path) -> list[tuple[float, float]]:
    """When each trial's training began and when it had a result."""
    found = []
    for trial in sorted((home / "searches" / "search" / "trials").iterdir()):
        recipe, result = trial / "recipe.json", trial / "result.json"
        found.append((recipe.stat().st_mtime, result.stat().st_mtime))
    return found


@pytest.mark.timeout(3600)
def test_what_a_search_and_a_kill_cost(patches: Path, tmp_path: Path, bench: Any) -> None:
    began = time.time()
    whole = finish(start(patches, tmp_path / "whole"))
    clock = time.time() - began
    trials = spans(tmp_path / "whole")
    share = sum(end - begin for begin, end in trials) / SLOTS
    searching = max(end for _, end in trials) - min(begin for begin, _ in trials)
    each = f"{TRIALS} trials of {share * SLOTS / TRIALS:.0f} s, {SLOTS} at a time"
    bench.row("first trial to last / trials' time over slots", [searching / share], "at most 1.15", each)
    bench.row("whole command / trials' time over slots", [clock / share], "at most 1.15", f"{clock:.0f} s")

    began = time.time()
    killed = start(patches, tmp_path / "killed")
    folder = tmp_path / "killed" / "searches" / "search" / "trials"
    while len(list(folder.glob("*/result.json"))) < TRIALS // 2 - 1:
        assert killed.poll() is None, "it ended by itself"
        time.sleep(0.1)
    time.sleep(5)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    again = finish(start(patches, tmp_path / "killed", "--resume"))
    more = time.time() - began - clock
    assert again["best"] == whole["best"]
    bench.row("seconds a kill and --resume cost", [more], "at most 30", "everything killed with two trials under way")
