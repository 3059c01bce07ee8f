"""What a process that starts many trainings does with them: looks at them as they go, and counts the room there is."""

import threading
from collections.abc import Callable

from distgan.config.run_config import AnyRun
from storage.errors import ServiceError


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
