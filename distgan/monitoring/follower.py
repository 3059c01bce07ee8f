"""The lines of a file that grows, each of them once."""

import contextlib
import os
from pathlib import Path


class Follower:
    """Reads what was appended since the last time, and all of the file again after it was replaced or cut.

    old: whether the lines that are there already are read too.
    """

    def __init__(self, path: Path, *, old: bool = True) -> None:
        self.path = path
        self.file: tuple[int, int] | None = None
        self.offset = 0
        if not old:
            self.read()

    def read(self) -> tuple[bool, list[str]]:
        """Whether the file begins anew, and its new lines; one still being written is left for the next time."""
        anew, new = False, b""
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as file:
            status = os.fstat(file.fileno())
            if self.file != (status.st_ino, status.st_dev) or status.st_size < self.offset:
                anew, self.offset = True, 0
                self.file = (status.st_ino, status.st_dev)
            file.seek(self.offset)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self.offset += len(whole)
        return anew, whole.decode("utf-8").split("\n")[:-1]
