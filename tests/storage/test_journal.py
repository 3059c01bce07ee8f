"""Work that is killed at whatever moment is not seen by readers, and goes on from what was finished."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage import journal
from storage.errors import DataError, DiskError, RecipeError, ServiceError
from storage.journal import resumable
from storage.manifest import Facts, check_digests, read_manifest

KIND = "patch store"
TASKS = 6


def fill(
    target: Path,
    key: str = "key",
    fails: BaseException | None = None,
    at: int = 3,
    told: Callable[[str], object] = lambda task: None,
) -> list[str]:
    """Six tasks of one file each; which of them were done by this call."""
    begun = []
    facts: Facts = {"begun with": key}
    with resumable(target, KIND, facts, key) as work:
        for task in map(str, range(TASKS)):
            if task in work.done:
                continue
            if fails and task == str(at):
                raise fails
            begun.append(task)
            told(task)
            write(work.path / "parts" / task, f"{key} {task}")
            work.finish(task, [f"parts/{task}"], {"value": int(task) / 7})
        facts["values"] = [work.done[str(task)]["value"] for task in range(TASKS)]
        write(work.path / "table", "last")
    return begun


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


@pytest.fixture
def undisturbed(tmp_path: Path) -> str:
    """Digest of what an undisturbed call makes."""
    fill(tmp_path / "undisturbed" / "store")
    return read_manifest(tmp_path / "undisturbed" / "store", KIND).digest


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where nothing stands."""
    return tmp_path / "stores" / "store"


@pytest.fixture
def partial(target: Path) -> Path:
    """What a call left that the disk ended before the task 3."""
    with pytest.raises(DiskError, match="No space left"):
        fill(target, fails=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert not target.exists()
    return target.with_name(".store.partial")


def assert_whole(target: Path, digest: str) -> None:
    manifest = read_manifest(target, KIND)
    assert manifest.digest == digest
    check_digests(target, manifest)
    assert {path.name for path in target.iterdir()} == {"parts", "table", "MANIFEST.json"}
    assert list(target.parent.iterdir()) == [target]


def test_what_is_filled_appears_whole(target: Path, undisturbed: str) -> None:
    assert fill(target) == list("012345")
    assert_whole(target, undisturbed)
    assert read_manifest(target, KIND).facts["values"] == [task / 7 for task in range(TASKS)]


def test_a_full_disk_keeps_what_is_finished(target: Path, partial: Path, undisturbed: str) -> None:
    assert fill(target) == list("345")
    assert_whole(target, undisturbed)


def test_an_error_of_the_system_keeps_what_is_finished(target: Path, undisturbed: str) -> None:
    with pytest.raises(TimeoutError):
        fill(target, fails=TimeoutError("a network drive"))
    with pytest.raises(ServiceError):
        fill(target, fails=ServiceError("a cluster", "was", "lost"), at=4)
    with pytest.raises(KeyboardInterrupt):
        fill(target, fails=KeyboardInterrupt(), at=5)
    assert fill(target) == list("5")
    assert_whole(target, undisturbed)


@pytest.mark.parametrize("error", [DataError("a", "b", "c"), RecipeError("a", "b", "c"), ArithmeticError()])
def test_what_the_input_is_to_blame_for_leaves_nothing(error: Exception, target: Path) -> None:
    with pytest.raises(type(error)):
        fill(target, fails=error)
    assert list(target.parent.iterdir()) == []


def test_another_key_begins_anew(target: Path, partial: Path) -> None:
    assert fill(target, "other") == list("012345")
    assert (target / "parts" / "0").read_text() == "other 0"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("damage", ["other bytes", "shorter", "gone", "folder"])
def test_a_finished_file_that_is_not_as_it_was_is_made_anew(
    damage: str, target: Path, partial: Path, undisturbed: str
) -> None:
    path = partial / "parts" / "1"
    text = path.read_text()
    path.unlink()
    if damage == "folder":
        path.mkdir()
        path = path / "inside"
    if damage != "gone":
        path.write_text({"other bytes": text.upper(), "shorter": text[:-1]}.get(damage, ""))
    if damage == "folder":
        path.unlink()
        path.parent.rmdir()
    assert fill(target) == list("1345")
    assert_whole(target, undisturbed)


def test_a_journal_remembers_what_was_made_anew(target: Path, partial: Path, undisturbed: str) -> None:
    (partial / "parts" / "1").write_text("damaged")
    with pytest.raises(TimeoutError):
        fill(target, fails=TimeoutError())
    assert fill(target) == list("345")
    assert_whole(target, undisturbed)


@pytest.mark.parametrize("cut", range(1, 200, 19))
def test_a_journal_that_ends_anywhere_is_gone_on_with(cut: int, target: Path, partial: Path, undisturbed: str) -> None:
    lines = partial.with_name(".store.JOURNAL.jsonl")
    kept = lines.read_bytes()[:-cut]
    lines.write_bytes(kept)
    finished = [json.loads(line)["task"] for line in kept.splitlines(keepends=True)[1:] if line.endswith(b"}\n")]
    assert set(fill(target)) in ({*"012345"} - set(finished), {*"012345"} - set(finished) - {str(len(finished))})
    assert_whole(target, undisturbed)


def test_a_half_line_does_not_spoil_the_next_one(target: Path, partial: Path, undisturbed: str) -> None:
    lines = partial.with_name(".store.JOURNAL.jsonl")
    lines.write_bytes(lines.read_bytes()[:-9] + b"\xff\x00")
    with pytest.raises(TimeoutError):
        fill(target, fails=TimeoutError())
    assert fill(target) == list("345")
    assert_whole(target, undisturbed)


def test_what_nobody_noted_is_removed(target: Path, partial: Path, undisturbed: str) -> None:
    write(partial / "parts" / "3", "half of it")
    write(partial / "stray" / "file", "x")
    assert fill(target) == list("345")
    assert not (target / "stray" / "file").exists()
    assert read_manifest(target, KIND).digest == undisturbed


def test_what_stands_at_the_target_is_never_touched(target: Path, partial: Path) -> None:
    target.write_text("mine")
    with pytest.raises(RecipeError, match="never changed"):
        fill(target)
    assert target.read_text() == "mine"
    assert (partial / "parts" / "0").exists(), "it may be wanted under another name"


def test_whoever_is_faster_keeps_the_target(target: Path) -> None:
    with pytest.raises(RecipeError, match="never changed"), resumable(target, KIND, {}, "key"):
        target.mkdir()
    assert list(target.parent.iterdir()) == [target]


# two processes, and their ends

WAITS = """
import sys
from pathlib import Path
from storage.journal import resumable

with resumable(Path(sys.argv[1]), "patch store", {}, "key") as work:
    (work.path / "mine").write_text("x")
    print("begun", flush=True)
    sys.stdin.readline()
"""
STEPS = ((os, "fsync"), (Path, "unlink"), (Path, "write_text"), (Path, "rename"), (journal, "sha256_file"))
"""What is done between one state of the disk and the next."""


def test_two_processes_do_not_write_one_store(target: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITS, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "begun\n"
        with pytest.raises(ServiceError, match="being written by another process"):
            fill(target)
        other.stdin.write("\n")
    assert other.returncode == 0
    assert (target / "mine").read_text() == "x"
    assert list(target.parent.iterdir()) == [target]


def test_a_lock_on_what_the_other_process_just_removed_is_none(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, given = target.with_name(".store.JOURNAL.jsonl"), []

    def late(file: Any, operation: int) -> None:
        if not given:
            path.unlink()  # the other process ends after we have opened the file, and before we lock it
        given.append(os.fstat(file.fileno()).st_ino == path.stat().st_ino if path.exists() else False)

    monkeypatch.setattr("fcntl.flock", late)
    assert fill(target) == list("012345")
    assert given == [False, True]


def test_what_is_finished_is_on_the_disk_before_its_line_and_the_line_before_the_next_task(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    whole = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        whole(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    with pytest.raises(TimeoutError):
        fill(target, fails=TimeoutError(), at=2)
    assert synced == [".store.JOURNAL.jsonl", "0", ".store.JOURNAL.jsonl", "1", ".store.JOURNAL.jsonl"]


def test_the_lock_is_held_until_the_store_stands(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealing may take long, and whoever comes then must not clear what is sealed away."""
    refused = []

    def late(directory: Path, kind: str, facts: Facts, known: dict[str, str]) -> None:
        with pytest.raises(ServiceError), resumable(target, KIND, {}, "key"):
            pytest.fail("two writers")
        refused.append(directory)

    with monkeypatch.context() as slow:
        slow.setattr("storage.journal.seal", late)
        fill(target)
    assert len(refused) == 1
    assert {path.name for path in (target / "parts").iterdir()} == set("012345")


def killed_at(step: int, target: Path, begun: Path) -> bool:
    """Fill in another process, which ends by SIGKILL at that step; whether it does."""
    if child := os.fork():
        status = os.waitpid(child, 0)[1]
        assert status in (0, signal.SIGKILL)
        return status == signal.SIGKILL
    steps = iter(range(1, step + 1))

    def counted(whole: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **named: Any) -> Any:
            if next(steps, None) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return whole(*given, **named)

        return run

    status = 1
    try:
        for owner, name in STEPS:
            setattr(owner, name, counted(getattr(owner, name)))
        fill(target, told=lambda task: os.write(os.open(begun, os.O_WRONLY | os.O_APPEND | os.O_CREAT), task.encode()))
        status = 0
    finally:
        os._exit(status)


def test_killed_at_every_step_it_ends_as_if_nothing_had_been(tmp_path: Path, undisturbed: str) -> None:
    """The first process is killed at its first step, each next one a step later, until one gets through."""
    target, begun = tmp_path / "stores" / "store", tmp_path / "begun"
    step = 1
    while killed_at(step, target, begun) and not target.exists():
        step += 1
    assert step > 10
    assert begun.read_text() == "".join(sorted(begun.read_text())), "what is finished is not done again"
    assert set(begun.read_text()) == set("012345")
    (target.parent / ".store.JOURNAL.jsonl").unlink(missing_ok=True)  # if it was killed after the last step
    assert_whole(target, undisturbed)


@pytest.mark.parametrize("step", [1, 2, 3, 5, 9, 14, 17, 20, 30, 40])
def test_one_kill_costs_no_more_than_the_task_it_was_in(step: int, target: Path, tmp_path: Path) -> None:
    if killed_at(step, target, tmp_path / "begun") and not target.exists():
        earlier = (tmp_path / "begun").read_text() if (tmp_path / "begun").exists() else ""
        assert "".join(fill(target)) in {"012345"[at:] for at in (len(earlier) - 1, len(earlier))}
    assert target.exists()
