"""A process killed before every single operation on the disk: what it acknowledged is there, and whole.

The operations are counted in a forked child, which ends itself before the k-th; k = 1, 2, ... until it gets through.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from distgan.engine import checkpoint
from distgan.engine.checkpoint import Checkpoints
from distgan.engine.state import digest

KILLED = 137
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate")
STATES = {
    number: {
        "weight": torch.randn(50, 50, generator=torch.Generator().manual_seed(number)),
        "step": torch.tensor(number),
    }
    for number in range(1, 8)
}
Observe = Callable[[str, str], None]
"""Called before an operation, with its name and path."""


def facts(number: int) -> dict[str, Any]:
    best = {"metric": "kid", "value": 0.5, "images_seen": 100}
    return {"images_seen": 100 * number, "best": best}


def watch(folder: Path, observe: Observe) -> None:
    """For the rest of this process: tell of every operation that changes the folder or waits for the disk."""

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        path = str(arguments[0]) if arguments else ""
        is_write = event == "open" and path.startswith(str(folder)) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or is_write:
            observe(event, path)

    real = os.fsync

    def fsync(descriptor: int) -> None:
        observe("fsync", str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    os.fsync = fsync
    sys.addaudithook(audit)


def in_a_child(work: Callable[[Callable[[object], None]], None]) -> tuple[int, list[Any]]:
    """The exit code, and what the child said before it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work(lambda said: os.write(writing, f"{json.dumps(said)}\n".encode()) and None)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = [json.loads(line) for line in pipe]
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def begin(folder: Path, *, damaged: bool) -> None:
    """Three checkpoints; of these the first is the best."""
    made = Checkpoints(folder, 2)
    for number in (1, 2, 3):
        made.save(STATES[number], facts(number))
    if damaged:
        (folder / "images-000000000300" / checkpoint.TENSORS).write_bytes(b"")


def found(folder: Path) -> int:
    """Which checkpoint is the newest; it must be one of those that were saved, to the last bit."""
    snapshot = Checkpoints(folder, 2).latest()
    assert snapshot is not None
    number = int(snapshot.facts["images_seen"]) // 100
    assert digest(snapshot.state, {}) == digest(STATES[number], {})
    return number


def killed_before(operation: int, folder: Path, numbers: list[int]) -> tuple[int, list[int]]:
    """Commit these in the background, one after the other, until the k-th operation."""

    def work(acknowledge: Callable[[object], None]) -> None:
        left = operation

        def observe(event: str, path: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os._exit(KILLED)

        made = Checkpoints(folder, 2)
        watch(folder, observe)
        for number in numbers:
            made.later(lambda number=number: made.save(STATES[number], facts(number)))  # type: ignore[misc]
            made.wait()
            acknowledge(number)

    return in_a_child(work)


@pytest.fixture(params=[False, True], ids=["whole", "the newest was damaged"])
def damaged(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_killed_before_any_operation_nothing_acknowledged_is_lost(tmp_path: Path, damaged: bool) -> None:
    numbers = [3, 4] if damaged else [4]
    ends = set()
    for operation in range(1, 500):
        folder = tmp_path / str(operation)
        begin(folder, damaged=damaged)
        code, acknowledged = killed_before(operation, folder, numbers)
        assert code in (0, KILLED)
        last = max([2 if damaged else 3, *acknowledged])
        newest = found(folder)
        assert last <= newest <= 4
        assert (folder / "images-000000000100").is_dir(), "the best is kept"
        ends.add(newest)
        Checkpoints(folder, 2).save(STATES[6], facts(6))  # and it goes on
        assert found(folder) == 6
        assert {path.name[:7] for path in folder.iterdir()} == {"images-"}, "nothing is left of the killed one"
        if code == 0:
            break
    else:
        pytest.fail("it never got through")
    assert operation > 12
    assert ends == {2, *numbers} if damaged else ends == {3, *numbers}


def test_everything_is_on_the_disk_before_it_has_its_name_and_its_name_before_it_is_acknowledged(
    tmp_path: Path,
) -> None:
    """A kill leaves what was written; a power cut only what was waited for."""
    folder = tmp_path.resolve() / "checkpoints"
    begin(folder, damaged=False)

    def work(tell: Callable[[object], None]) -> None:
        made = Checkpoints(folder, 2)
        watch(folder, lambda event, path: tell([event, path]))
        made.save(STATES[4], facts(4))
        tell(["acknowledged", ""])

    code, operations = in_a_child(work)
    assert code == 0
    at = next(k for k, (event, path) in enumerate(operations) if event == "os.rename" and "partial" in path)
    partial = operations[at][1]
    written = {path for event, path in operations[:at] if event == "open" and path.startswith(partial)}
    assert {Path(path).name for path in written} == {checkpoint.TENSORS, "MANIFEST.json"}
    opened = max(k for k, (event, _) in enumerate(operations[:at]) if event == "open")
    synced = {path for event, path in operations[opened:at] if event == "fsync"}
    assert {*written, partial} <= synced
    removed = min(
        k for k, (event, path) in enumerate(operations) if event == "os.rename" and "images-" in path and k > at
    )
    assert ["fsync", str(folder)] in operations[at:removed], "the older ones go only when the new one stays"
    assert operations[-1] == ["acknowledged", ""]
