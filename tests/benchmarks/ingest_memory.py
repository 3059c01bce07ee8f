"""What ingesting a folder takes of memory, in a process of its own.

python ingest_memory.py WARM FOLDER TARGET    prints MiB at the peak above those before, and CPU seconds

Only anonymous memory counts: pages of mapped files belong to the page cache, which gives them back. The folder WARM is
ingested first, so that what is imported and started once counts as having been there before.
"""

import sys
import threading
import time
from pathlib import Path

from storage.ingest import ingest

EVERY_S = 0.002


def anonymous_mib() -> float:
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("RssAnon")]
    return int(line.split()[1]) / 1024


class Watch(threading.Thread):
    """Samples the memory until it is told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0.0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(EVERY_S):
            self.peak = max(self.peak, anonymous_mib())


def main(warm: Path, folder: Path, target: Path) -> None:
    ingest(warm, target / "warm.zarr")
    before, cpu, watch = anonymous_mib(), time.process_time(), Watch()
    watch.start()
    ingested = ingest(folder, target / "timed.zarr")
    watch.over.set()
    watch.join()
    assert not ingested.quarantined
    print(watch.peak - before, time.process_time() - cpu)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
