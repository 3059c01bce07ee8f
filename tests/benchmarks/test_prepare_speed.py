"""`prepare`, from an image store to a committed patch store: `make bench`. Printed, and asserted nowhere.

Timed is all that `prepare` does: reading the image store, the operations, cutting, hashing every patch, compressing
it, and writing it through to the disk. Not timed are the making of images, their ingest (unless a row says so), and
the compiling of kernels, which happens once on a machine.
"""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from storage.cuts import Cut
from storage.datasets import rosettes
from storage.executors import threads
from storage.ingest import ingest
from storage.layout import Layout
from storage.patches import PatchStore
from storage.preprocess import Preparation, prepare

pytestmark = pytest.mark.benchmark
MOVIES, FRAMES, STACK = 18, 8, (16, 512, 512)
"""1.1 GiB of 16 bits, 0.6 G voxels: more than a minute of work for one core."""
FILES, EDGE, PATCH = 11_250, 128, 32
LOW, HIGH = 30, 200
ROSETTES = Preparation(
    Cut("one_random", (PATCH, PATCH)),
    ({"name": "median", "size_zyx": (1, 2, 2)}, {"name": "display_range", "low": LOW, "high": HIGH}),
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Removed after the test, not some runs later."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def prepared(store: Path, how: Preparation, workers: int) -> None:
    """Prepare on so many threads, and leave nothing behind; removing takes milliseconds."""
    shutil.rmtree(prepare(store, store.with_name("timed.zarr"), how, executor=threads(workers)).path)


@pytest.fixture
def movies(folder: Path) -> Path:
    """An image store of movies of noisy stacks."""
    raw, stack = folder / "raw", np.random.default_rng(0).poisson(400, STACK).astype(np.uint16)
    raw.mkdir()
    for number in range(MOVIES):
        movie = np.stack([np.roll(stack, (number, frame), (1, 2)) for frame in range(FRAMES)])
        tifffile.imwrite(raw / f"{number}.ome.tif", movie, ome=True, metadata={"axes": "TZYX"})
    store = ingest(raw, folder / "images.zarr").store.path
    shutil.rmtree(raw)
    return store


def test_two_workers_against_one(movies: Path, bench: Any) -> None:
    operations = ({"name": "median", "size_zyx": (5, 5, 5)}, {"name": "percentile_range", "low": 1, "high": 99})
    how = Preparation(Cut("tiled", (64, 64)), operations)
    prepared(movies, Preparation(how.cut, how.operations, subset={"file": ["0.ome.tif"]}, times=(0, 0)), 1)  # compile
    what = (
        f"prepare of {MOVIES * FRAMES} stacks of 16 x 512 x 512 (5 x 5 x 5 median, percentiles, tiles), 2 workers / 1"
    )
    bench.race(what, 1.3, lambda: prepared(movies, how, 2), lambda: prepared(movies, how, 1), rounds=2)


@pytest.fixture
def embryos(folder: Path, request: pytest.FixtureRequest) -> Path:
    """A folder of 11,250 JPEG files of 128 x 128: the rosettes, or noise where they are not at hand."""
    try:
        return request.getfixturevalue("real_data") / "rosettes" / "unlabelled"
    except pytest.skip.Exception:
        random, noise = np.random.default_rng(0), folder / "noise"
    noise.mkdir()
    for number in range(FILES):
        image = ndimage.gaussian_filter(random.normal(100, 120, (EDGE, EDGE)), 1)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(noise / f"{number:05}.jpg")
    return noise


def plain(file: Path) -> NDArray[np.uint8]:
    """One whole image as a script would prepare it."""
    smooth = ndimage.median_filter(np.asarray(Image.open(file)), size=2)
    shown = (smooth.astype(np.float32) - LOW) * np.float32(255 / (HIGH - LOW))
    return np.rint(shown.clip(0, 255)).astype(np.uint8)


def plain_script(source: Path, target: Path) -> None:
    """A patch of each file, one after another."""
    random, patches = np.random.default_rng(0), []
    for file in sorted(source.iterdir()):
        image = plain(file)
        y, x = random.integers(0, EDGE - PATCH + 1, 2)
        patches.append(image[y : y + PATCH, x : x + PATCH])
    np.save(target, np.stack(patches))


def test_rosettes_against_a_plain_script(embryos: Path, folder: Path, bench: Any) -> None:
    """The script opens the JPEG files again for every recipe; we have decoded them when they were ingested.

    So there are two rows: a recipe that is changed and run again, and the first one with the ingest before it, in which
    every file's digest, range and duplicates are found as well.
    """
    before = time.perf_counter()
    store = ingest(embryos, folder / "images.zarr", Layout(rosettes.metadata)).store.path
    ingest_s = time.perf_counter() - before
    require_same(prepare(store, folder / "patches.zarr", ROSETTES), embryos)

    def script() -> None:
        plain_script(embryos, folder / "plain.npy")

    what = f"prepare of {FILES:,} images of 128 x 128 (2 x 2 median, display range, one random 32 x 32), 2 workers"
    ours, theirs = bench.race(f"{what} / a plain scipy script", 3, lambda: prepared(store, ROSETTES, 2), script)
    with_ingest = theirs.clock / (ingest_s + ours.clock)
    bench.row("the same with our ingest, once", [with_ingest], "none", f"{ingest_s:.3g} s of ingest")


def require_same(patches: PatchStore, source: Path) -> None:
    """The script makes the same of the same places."""
    rows = np.arange(100)
    places = (patches.obs.column(name).to_pylist()[:100] for name in ("file", "y", "x"))
    for ours, file, y, x in zip(patches.read(rows)[:, 0], *places, strict=True):
        assert np.array_equal(ours, plain(source / file)[y : y + PATCH, x : x + PATCH])
