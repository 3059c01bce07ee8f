"""Whether an ingest takes more memory for a larger file: `make bench`. Printed, and asserted nowhere."""

import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells how much memory is anonymous"),
]
PLANE = (1024, 1024)
PLANES = {"warm": 2, "small": 128, "large": 512}
"""Of 2 MiB each."""
ROUNDS = 2


@pytest.fixture(params=["none", "deflate"])
def folders(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """One TIFF file of 256 MiB and one of 1 GiB, decoded, of noise, each in a folder of its own."""
    pool = np.random.default_rng(0).poisson(250, (8, *PLANE)).astype(np.uint16)
    keys: dict[str, Any] = {"compression": "deflate", "compressionargs": {"level": 1}}
    for name, planes in PLANES.items():
        (tmp_path / name).mkdir()
        tifffile.imwrite(
            tmp_path / name / "stack.ome.tif",
            (np.roll(pool[plane % 8], plane, 0) for plane in range(planes)),
            shape=(planes, *PLANE),
            dtype=np.uint16,
            ome=True,
            metadata={"axes": "ZYX"},
            **(keys if request.param == "deflate" else {}),
        )
    (tmp_path / "compression").write_text(request.param)
    yield tmp_path
    shutil.rmtree(tmp_path)


def measured(folders: Path, which: str) -> tuple[float, float]:
    """MiB at the peak above those before, and CPU seconds."""
    target = folders / "stores"
    command = [Path(__file__).with_name("ingest_memory.py"), folders / "warm", folders / which, target]
    found = subprocess.run([sys.executable, *map(str, command)], check=True, capture_output=True, text=True).stdout
    shutil.rmtree(target)
    peak, cpu = map(float, found.split())
    return peak, cpu


def test_large_file_against_small(folders: Path, bench: Any) -> None:
    pairs = [(measured(folders, "large"), measured(folders, "small")) for _ in range(ROUNDS)]
    large, small = (
        f"{statistics.median(mib for mib, _ in side):.0f} MiB, CPU {statistics.median(cpu for _, cpu in side):.3g} s"
        for side in zip(*pairs, strict=True)
    )
    compression = (folders / "compression").read_text()
    what = f"peak memory of the ingest of one TIFF file, compression {compression}: 1 GiB / 256 MiB"
    bench.row(what, [a[0] / b[0] for a, b in pairs], "1.20 or less", f"{large} / {small}")
