"""`distgan train`, where the training thread of the second worker hangs once; test_train.py starts it.

    python hanging_worker.py IMAGES MARK SECONDS ARGUMENTS...

IMAGES: seen before it hangs.  MARK: a file, made then.  SECONDS: after which a worker hangs.
"""

import sys
import threading
from pathlib import Path
from typing import Any

from cluster import attempts
from distgan.cli import main

IMAGES: int
MARK: Path
SECONDS: float


def worker(settings: dict[str, Any]) -> None:
    """Sent to the workers by value, since it is of `__main__`."""
    import ray.train

    from cluster import attempts, hangs
    from distgan.data.batches import Batches

    batch, second = Batches.batch, ray.train.get_context().get_world_rank() == 1

    def dead_locked(self: Batches, position: int, count: int) -> Any:
        if second and position > IMAGES and not MARK.exists():
            MARK.touch()
            threading.Event().wait()
        return batch(self, position, count)

    Batches.batch = dead_locked  # type: ignore[method-assign]
    hangs.HANGS_SECONDS = SECONDS
    attempts.worker(settings)


if __name__ == "__main__":
    IMAGES, MARK, SECONDS = int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    attempts.worker = worker
    sys.exit(main(sys.argv[4:]))
