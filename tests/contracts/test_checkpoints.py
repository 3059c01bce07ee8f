"""What is committed can be read back to the last bit, and what is damaged is never used."""

import errno
import json
import os
import re
import shutil
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from distgan.engine import checkpoint
from distgan.engine.checkpoint import Checkpoints
from distgan.engine.state import State, digest
from storage.durable import staged
from storage.errors import DataError, DiskError
from storage.manifest import NAME, NewerFormat, seal

KINDS = [kind for kind in vars(checkpoint).values() if hasattr(kind, "save") and hasattr(kind, "latest")]
STATE = "state.safetensors"


@pytest.fixture(params=KINDS)
def checkpoints(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoints:
    """Three were saved, two are kept."""
    made: Checkpoints = request.param(tmp_path / "checkpoints", 2)
    for number in (1, 2, 3):
        made.save(state(number), facts(number))
    return made


def state(number: int) -> State:
    random = torch.Generator().manual_seed(number)
    return {
        "weight": torch.randn(20, 20, generator=random),
        "half": torch.randn(3, generator=random).bfloat16(),
        "count": torch.tensor(number),
        "none": torch.empty(0, 4),
        "bits": torch.tensor([float("-0.0"), 1e-45, 3.4e38]),
    }


def facts(number: int) -> dict[str, Any]:
    return {"images_seen": 100 * number, "steps": number, "recipe": {"run": {"name": "tiny"}}}


def is_saved(found: checkpoint.Snapshot | None, number: int) -> bool:
    return found is not None and digest(found.state, {}) == digest(state(number), {}) and found.facts == facts(number)


def latest(checkpoints: Checkpoints) -> checkpoint.Snapshot | None:
    """The latest, where no warning is expected."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint.LOGGER, "warning", lambda *told: pytest.fail(str(told)))
        return checkpoints.latest()


def test_what_was_saved_last_is_found_to_the_last_bit(checkpoints: Checkpoints) -> None:
    assert is_saved(latest(checkpoints), 3)
    assert checkpoints.committed_images() == 300


def test_the_newest_are_kept_and_the_others_deleted(checkpoints: Checkpoints) -> None:
    assert sorted(path.name[-4:] for path in checkpoints.folder.iterdir()) == ["0200", "0300"]


def test_where_there_is_none_there_is_none(tmp_path: Path) -> None:
    empty = Checkpoints(tmp_path / "nowhere", 2)
    assert latest(empty) is None
    assert empty.committed_images() == 0
    assert not (tmp_path / "nowhere").exists()


def test_one_that_was_not_committed_is_no_checkpoint(checkpoints: Checkpoints) -> None:
    newest = checkpoints.folder / "images-000000000300"
    shutil.copytree(newest, newest.with_name(f".images-000000000400.partial-{os.uname().nodename}-1-abc"))
    assert is_saved(latest(checkpoints), 3)


# damage


def truncate(share: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = (path / STATE).read_bytes()
        (path / STATE).write_bytes(content[: int(share * len(content))])

    return damage


def flip(name: str, share: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray((path / name).read_bytes())
        content[int(share * len(content))] ^= 4
        (path / name).write_bytes(content)

    return damage


def swap(path: Path) -> None:
    older = path.with_name("images-000000000200")
    (path / STATE).write_bytes((older / STATE).read_bytes())


def replace_by_another_kind(path: Path) -> None:
    (path / NAME).unlink()
    seal(path, "model", facts(3))


DAMAGE: dict[str, Callable[[Path], None]] = {
    **{f"truncated to {share:.0%}": truncate(share) for share in (0, 0.1, 0.5, 0.99)},
    **{
        f"bit of the tensors at {share:.0%}": flip(STATE, share) for share in (0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.9999)
    },
    **{f"bit of the manifest at {share:.0%}": flip(NAME, share) for share in (0, 0.1, 0.3, 0.5, 0.7, 0.9)},
    "tensors missing": lambda path: (path / STATE).unlink(),
    "manifest missing": lambda path: (path / NAME).unlink(),
    "empty": lambda path: [file.unlink() for file in path.iterdir()] and None,
    "tensors of another one": swap,
    "another kind of thing": replace_by_another_kind,
}
damages = pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())


@damages
def test_a_damaged_one_is_passed_over_with_one_warning(
    checkpoints: Checkpoints, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    damage(checkpoints.folder / "images-000000000300")
    assert is_saved(checkpoints.latest(), 2)
    (warning,) = caplog.messages
    assert "images-000000000300" in warning
    assert "going on from images-000000000200" in warning


def test_the_warning_names_the_file_and_both_digests(
    checkpoints: Checkpoints, caplog: pytest.LogCaptureFixture
) -> None:
    flip(STATE, 0.5)(checkpoints.folder / "images-000000000300")
    checkpoints.latest()
    assert re.search(rf"{STATE} has SHA-256 [0-9a-f]{{16}}\.\.\. instead of [0-9a-f]{{16}}\.\.\.", caplog.text)


def test_where_all_are_damaged_that_is_said_and_nothing_is_deleted(checkpoints: Checkpoints) -> None:
    flip(STATE, 0.5)(checkpoints.folder / "images-000000000300")
    truncate(0.5)(checkpoints.folder / "images-000000000200")
    before = sorted(checkpoints.folder.rglob("*"))
    with pytest.raises(DataError) as caught:
        checkpoints.latest()
    assert "images-000000000300" in caught.value.found
    assert "images-000000000200" in caught.value.found
    assert sorted(checkpoints.folder.rglob("*")) == before


def test_a_damaged_one_is_replaced_when_training_comes_there_again(checkpoints: Checkpoints) -> None:
    flip(STATE, 0.5)(checkpoints.folder / "images-000000000300")
    checkpoints.save(state(3), facts(3))
    assert is_saved(latest(checkpoints), 3)


def test_a_damaged_one_that_training_does_not_come_to_again_does_not_count_as_kept(checkpoints: Checkpoints) -> None:
    """The run goes on from 200 and commits in other places than before."""
    flip(STATE, 0.5)(checkpoints.folder / "images-000000000300")
    between = facts(3) | {"images_seen": 250}
    checkpoints.save(state(3), between)
    assert sorted(path.name[-4:] for path in checkpoints.folder.iterdir()) == ["0200", "0250"]
    assert checkpoints.committed_images() == 250
    found = latest(checkpoints)
    assert found is not None
    assert found.facts == between


def test_one_of_a_newer_version_is_named_and_not_passed_over(checkpoints: Checkpoints) -> None:
    """To go on from an older one would throw away what the newer program has trained."""
    manifest = checkpoints.folder / "images-000000000300" / NAME
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"format": content["format"] + 1}))
    with pytest.raises(NewerFormat, match="newer than this program") as caught:
        checkpoints.latest()
    assert "images-000000000300" in caught.value.wrong


def test_what_somebody_else_put_there_is_no_checkpoint_and_stays(checkpoints: Checkpoints) -> None:
    for name in ("images-of-mice", "notes", "images-1"):
        (checkpoints.folder / name).mkdir()
    assert is_saved(latest(checkpoints), 3)
    checkpoints.save(state(4), facts(4))
    assert checkpoints.committed_images() == 400
    assert {"images-of-mice", "notes", "images-1"} < {path.name for path in checkpoints.folder.iterdir()}


# the best


@pytest.mark.parametrize(
    ("best_at", "kept"),
    [
        ([0, 0, 0, 0, 0], [400, 500]),
        ([100, 100, 100, 100, 100], [100, 400, 500]),
        ([0, 150, 150, 150, 150], [200, 400, 500]),
        ([100, 100, 250, 250, 250], [300, 400, 500]),
        ([100, 100, 100, 100, 500], [400, 500]),
        ([100, 100, 100, 400, 400], [400, 500]),
    ],
    ids=["none", "the first", "nearest after it", "a better one comes", "the newest is it", "one of the newest is it"],
)
def test_the_first_at_or_after_the_best_evaluation_is_kept_besides_the_newest(
    tmp_path: Path, best_at: list[int], kept: list[int]
) -> None:
    made = Checkpoints(tmp_path, 2)
    for number, images in enumerate(best_at, 1):
        best = {"metric": "kid", "value": 1 / images, "images_seen": images} if images else None
        made.save(state(number), facts(number) | {"best": best})
    assert [int(path.name.removeprefix("images-")) for path in sorted(tmp_path.iterdir())] == kept


# full disks


@contextmanager
def no_space_left(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tensors go to a device that is always full: the real error of a real write."""

    @contextmanager
    def on_a_full_disk(target: Path) -> Iterator[Path]:
        with staged(target) as partial:
            (partial / STATE).symlink_to("/dev/full")
            yield partial

    with patch.context() as inner:
        inner.setattr(checkpoint, "staged", on_a_full_disk)
        yield


@contextmanager
def little_space(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """The disk says beforehand that it has too little."""
    usage = namedtuple("usage", "total used free")
    with patch.context() as inner:
        inner.setattr(shutil, "disk_usage", lambda path: usage(1 << 40, 1 << 40, 1000))
        yield


@pytest.mark.parametrize("full", [no_space_left, little_space])
def test_a_full_disk_is_told_and_the_checkpoints_before_are_whole(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch, full: Callable[..., Any]
) -> None:
    before = sorted(checkpoints.folder.rglob("*"))
    with full(monkeypatch), pytest.raises(DiskError) as caught:
        checkpoints.save(state(4), facts(4))
    assert caught.value.exit_code == 74
    assert "space" in str(caught.value)
    assert sorted(checkpoints.folder.rglob("*")) == before
    assert is_saved(latest(checkpoints), 3)
    checkpoints.save(state(4), facts(4))  # once there is space again
    assert is_saved(latest(checkpoints), 4)


def test_whichever_write_to_the_disk_fails_one_whole_checkpoint_is_the_newest(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first, the second, ... synchronisation fails, until none does."""
    real, failures = os.fsync, 0
    for failing in range(1, 50):
        calls = 0

        def fsync(descriptor: int, failing: int = failing) -> None:
            nonlocal calls
            calls += 1
            if calls == failing:
                raise OSError(errno.EIO, "input/output error")
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        try:
            checkpoints.save(state(4), facts(4))
        except DiskError:
            failures += 1
            assert is_saved(latest(checkpoints), 3) or is_saved(latest(checkpoints), 4)
        else:
            break
    assert failures >= 3
    assert is_saved(latest(checkpoints), 4)
