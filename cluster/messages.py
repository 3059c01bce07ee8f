"""How a warning of a worker reaches the person at the driver: by a file in the run's folder.

Ray sends the output of workers nowhere; whoever runs a worker for hours in another place would never see it.
"""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from distgan.monitoring.follower import Follower

WARNINGS = "warnings.log"
OTHERS_WARNINGS = "warnings-{}.log"
"""Of each rank but the first; two nodes cannot safely append to one file."""


@contextlib.contextmanager
def warnings_kept(folder: Path, rank: int = 0) -> Iterator[None]:
    """Append what `distgan` warns of in the block to the file of a rank, which is made by the first warning."""
    name = WARNINGS if rank == 0 else OTHERS_WARNINGS.format(rank)
    handler = logging.FileHandler(folder / name, encoding="utf-8", delay=True)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("distgan")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


class NewWarnings:
    """The warnings of a run's folder from now on, in the words of the rank that comes first with them."""

    def __init__(self, folder: Path, ranks: int = 1) -> None:
        self.followers = {
            rank: Follower(folder / (OTHERS_WARNINGS.format(rank) if rank else WARNINGS), old=False)
            for rank in range(ranks)
        }
        self.said: set[str] = set()

    def read(self) -> list[str]:
        """What is new since the last call. What several workers say, or one again after a restart, is told once."""
        new = []
        for rank, follower in self.followers.items():
            for line in follower.read()[1]:
                if line not in self.said:
                    self.said.add(line)
                    new.append(f"worker {rank}: {line}" if rank else line)
        return new
