"""`distgan prepare`, killed in the middle and called again, makes what it would have made."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from distgan.cli import main
from storage.ingest import ingest
from storage.manifest import check_digests
from storage.patches import PatchStore

RECIPE = """
[prepare]
workers = 1
operations = [{ name = "median", size_zyx = [1, 5, 5] }]

[prepare.patch]
size = 128
cut = "random"
count = 8
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image store of 32 images of 160 x 160; 256 patches of it are 8 shards."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "raw").mkdir()
    for number in range(32):
        pixels = np.random.default_rng(number).integers(0, 4096, (160, 160), np.uint16)
        tifffile.imwrite(folder / "raw" / f"{number}.tif", pixels)
    return ingest(folder / "raw", folder / "store").store.path


def prepared(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["prepare", *map(str, arguments), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "only_prepare.toml"
    recipe.write_text(RECIPE)
    whole = prepared(capsys, recipe, source, tmp_path / "whole")
    assert whole["shape"] == [256, 1, 128, 128]
    target = tmp_path / "stores" / "patches"
    journal = target.parent / ".patches.JOURNAL.jsonl"
    finished: list[str] = []
    for wanted in (1, 3):
        command = [sys.executable, "-m", "distgan.cli", "prepare", str(recipe), str(source), str(target)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and tasks(journal) < wanted:
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert not target.exists()
        lines = journal.read_text().splitlines()
        assert lines[: len(finished)] == finished, "what is finished stays finished"
        finished = [line for line in lines if line.endswith("}")]
    again = prepared(capsys, recipe, source, target)
    assert again["digest"] == whole["digest"]
    store = PatchStore.open(target)
    check_digests(target, store.manifest)
    assert list(target.parent.iterdir()) == [target]


def tasks(journal: Path) -> int:
    """Finished ones."""
    return journal.read_bytes().count(b"\n") - 1 if journal.exists() else 0


@pytest.mark.parametrize("executor", ["threads", "distributed"])
def test_a_recipe_for_stores_alone_needs_no_other_table(
    executor: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "only_prepare.toml"
    recipe.write_text(f'data.store = "{tmp_path / "patches"}"\n' + RECIPE)
    settings = ["--set", f"prepare.source={source}", "--set", f"prepare.executor={executor}"]
    found = prepared(capsys, recipe, *settings, "--set", "prepare.times=[0,0]", "--set", "prepare.patch.count=1")
    assert found["store"] == str(tmp_path / "patches")
    assert found["shape"] == [32, 1, 128, 128]


def test_stores_that_are_not_named_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "only_prepare.toml"
    recipe.write_text(RECIPE)
    assert main(["prepare", str(recipe)]) == 2
    assert "a store is not named" in capsys.readouterr().err


def test_a_mistake_is_told_in_three_parts(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "only_prepare.toml"
    recipe.write_text(RECIPE)
    assert main(["prepare", str(recipe), str(source), str(tmp_path / "p"), "--set", "prepare.patch.size=500"]) == 2
    told = capsys.readouterr().err
    assert "error: the patch is larger than the images" in told
    assert "found: 500 x 500 pixels, and the images are 160 x 160" in told
    assert "do:    Set prepare.patch.size to [160, 160] or less" in told
