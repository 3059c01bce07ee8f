"""What a process that starts trainings does about its folder and its signals."""

import contextlib
import fcntl
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from distgan.monitoring.pulse import STOP
from storage.errors import RecipeError, ServiceError

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""What asks for checkpoints and the end; SLURM's is what --signal says."""
SAME_WISH_SECONDS = 1.0
"""Schedulers send one signal to a job and one to its processes, and mean one."""


@contextlib.contextmanager
def owned(folder: Path, what: str, *, begun: bool, resume: bool) -> Iterator[None]:
    """The folder of `what` (run, search, sweep), for this process alone; the lock ends with it, whatever ends it.

    Raises RecipeError: it was begun, and `resume` is false.  Raises ServiceError: another process holds it.
    """
    if begun and not resume:
        raise RecipeError(
            f"there is a {what} {folder.name} already",
            str(folder),
            "Go on with it by --resume, or begin another by --set run.name=NAME",
        )
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy = "being trained" if what == "run" else "running"
            raise ServiceError(
                f"the {what} {folder.name} is {busy}", "another process holds it", "Wait for it, or stop it first"
            ) from None
        (folder / STOP).unlink(missing_ok=True)
        yield


def is_owned(folder: Path) -> bool:
    """Whether a process is at work in the folder."""
    with contextlib.suppress(FileNotFoundError), (folder / "lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def stopping_at_signals(folder: Path, stop: Callable[[], None] = lambda: None) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGUSR1 ask for checkpoints and the end; a second one ends at once.

    stop: hands the wish on to trainings in other folders.
    """
    first: float | None = None

    def ask(number: int, frame: object) -> None:
        nonlocal first
        if first is not None and time.monotonic() - first > SAME_WISH_SECONDS:
            raise KeyboardInterrupt
        if first is not None:
            return
        first = time.monotonic()
        (folder / STOP).write_text(f"signal {number} at {time.time():.0f}\n", encoding="utf-8")
        stop()

    before = {number: signal.signal(number, ask) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
