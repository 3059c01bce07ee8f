"""What a process that starts many trainings does about its folder, its signals, and the room there is for them."""

import contextlib
import fcntl
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from distgan.config import AnyRun
from distgan.pulse import STOP
from storage.errors import RecipeError, ServiceError

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
SAME_WISH_SECONDS = 1.0
"""Who signals a process and its group sends two signals at once, and means one."""


@contextlib.contextmanager
def owned(folder: Path, what: str, *, begun: bool, resume: bool) -> Iterator[None]:
    """The folder, for this process alone; the lock goes with the process, however it ends.

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
            raise ServiceError(
                f"the {what} {folder.name} is running", "another process holds it", "Wait for it, or stop it first"
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
def stopping_at_signals(folder: Path, stop: Callable[[], None]) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGUSR1 ask for checkpoints and the end; a second one ends at once.

    stop: hands the wish on to the trainings.
    """
    asked: list[float] = []

    def ask(number: int, frame: object) -> None:
        if asked and time.monotonic() - asked[0] > SAME_WISH_SECONDS:
            raise KeyboardInterrupt
        asked.append(time.monotonic())
        (folder / STOP).touch()
        stop()

    before = {number: signal.signal(number, ask) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def watched(work: Callable[[], None], look: Callable[[], None]) -> None:
    """Do the work on a thread, and look at it about twice a second.  Raises what ended it."""
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # handed to the main thread
            errors.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    while thread.is_alive():
        look()
        thread.join(0.5)
    look()
    if errors:
        raise errors[0]


def room(config: AnyRun) -> int:
    """How many trainings of this recipe Ray has room for at a time.  Raises ServiceError: none."""
    import ray

    there, run = ray.cluster_resources(), config.run
    needs = {"CPU": run.least_workers * run.cpus_per_worker, "GPU": run.least_workers * run.gpus_per_worker}
    rooms = [int(there.get(kind, 0) / need) for kind, need in needs.items() if need]
    if min(rooms) < 1:
        raise ServiceError(
            "there is no room for a training",
            f"it wants {needs['CPU']:g} CPUs and {needs['GPU']:g} GPUs, "
            f"and Ray has {there.get('CPU', 0):g} and {there.get('GPU', 0):g}",
            "Lower the workers, run.cpus_per_worker or run.gpus_per_worker, or use a larger cluster",
        )
    return min(rooms)
