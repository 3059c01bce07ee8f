"""How a warning of a worker reaches the person at the driver: by a file in the run's folder.

Ray sends the output of workers nowhere; whoever runs a worker for hours in another place would never see it.
"""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

WARNINGS = "warnings.log"


@contextlib.contextmanager
def warnings_kept(folder: Path) -> Iterator[None]:
    """Append what `distgan` warns of in the block to the file, which is made by the first warning."""
    handler = logging.FileHandler(folder / WARNINGS, encoding="utf-8", delay=True)
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
    """The warnings of a run's folder from now on, each once."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / WARNINGS
        self.offset = self.path.stat().st_size if self.path.exists() else 0

    def read(self) -> list[str]:
        """The lines since the last call; one that is still being written is left for the next."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self.offset)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self.offset += len(whole)
        return whole.decode("utf-8").splitlines()
