"""What a worker warns of is seen by the driver, each warning once."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.home import Home
from cluster.messages import WARNINGS, NewWarnings, warnings_kept

LOGGER = logging.getLogger("distgan.anything")


def test_warnings_of_the_block_are_read_once_and_others_not(tmp_path: Path) -> None:
    new = NewWarnings(tmp_path)
    assert new.read() == []
    with warnings_kept(tmp_path):
        LOGGER.warning("threads %d -> %d", 1, 2)
        LOGGER.info("all is well")
        logging.getLogger("somebody.else").warning("not ours")
        assert new.read() == ["threads 1 -> 2"]
        LOGGER.warning("a µ")
    LOGGER.warning("too late")
    assert new.read() == ["a µ"]
    assert new.read() == []


def test_what_was_told_before_is_not_told_again(tmp_path: Path) -> None:
    for text in ("before", "now"):
        new = NewWarnings(tmp_path)
        with warnings_kept(tmp_path):
            LOGGER.warning(text)
        assert new.read() == [text]


def test_what_several_workers_warn_of_is_told_once_and_what_one_does_with_its_rank(tmp_path: Path) -> None:
    new = NewWarnings(tmp_path, 3)
    for _ in range(2):  # attempts
        for rank in range(3):
            with warnings_kept(tmp_path, rank):
                LOGGER.warning("the checkpoint is damaged")
                if rank == 2:
                    LOGGER.warning("CPU capability AVX512 -> AVX2")
    assert (tmp_path / WARNINGS).exists()
    assert new.read() == ["the checkpoint is damaged", "worker 2: CPU capability AVX512 -> AVX2"]
    assert new.read() == []


def test_nothing_is_written_where_there_is_no_warning(tmp_path: Path) -> None:
    with warnings_kept(tmp_path):
        LOGGER.info("all is well")
    assert list(tmp_path.iterdir()) == []


def distgan_train(recipe: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "distgan.cli", "train", str(recipe), "--json", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=400)


@pytest.mark.cluster
def test_a_damaged_checkpoint_is_told_at_the_driver_and_other_numerics_are_refused_where_asked(
    recipe: Path, home: Home
) -> None:
    first = distgan_train(recipe, "--set", "run.images=320", "--set", "run.workers=1")
    assert first.returncode == 0, first.stderr
    newest = home.run("tiny") / "checkpoints" / "images-000000000320" / "state.safetensors"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    (home.run("tiny") / "model").rename(home.path / "the early model")
    changes = ("run.threads_per_worker=2", "run.workers=1", "run.images=640")
    refused = distgan_train(recipe, "--resume", "--strict", *(word for one in changes for word in ("--set", one)))
    assert refused.returncode == 65, refused.stderr
    assert "threads 1 -> 2" in json.loads(refused.stdout.splitlines()[-1])["error"]["found"]
    assert "damaged checkpoint is passed over: images-000000000320: state.safetensors has SHA-256" in refused.stderr
    assert refused.stderr.count("going on from images-000000000160") == 1
