"""Ray as a place where `prepare` runs its tasks: the same store as from threads, and the same words on failure."""

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cluster.executors import ray_tasks
from cluster.home import Home
from storage.cuts import Cut
from storage.errors import DataError, ServiceError
from storage.executors import Executor, threads
from storage.ingest import ingest
from storage.preprocess import Preparation, prepare

pytestmark = pytest.mark.cluster
HOW = Preparation(Cut("random", (128, 128), count=8), ({"name": "illumination", "smoothing_px": 5},))
"""8 shards of 1 MiB."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image store of 32 images of 160 x 160."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "raw").mkdir()
    for number in range(32):
        pixels = np.random.default_rng(number).integers(0, 4096, (160, 160), np.uint16)
        tifffile.imwrite(folder / "raw" / f"{number}.tif", pixels)
    return ingest(folder / "raw", folder / "store").store.path


@pytest.fixture(scope="module")
def two_cpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    """Ray on two CPUs of this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTGAN_HOME", str(tmp_path_factory.mktemp("home")))
        with ray_tasks(2, "", Home.here()) as run:
            yield run


def squared(item: int) -> int:
    time.sleep(0.002 * (item % 3))
    return item**2


def fails(folder: Path, item: int) -> None:
    (folder / f"begun {item}").touch()
    if item == 3:
        raise DataError("the image is damaged", "item 3", "Leave it out")
    time.sleep(0.2)


def dies_once(folder: Path, item: int) -> int:
    if item == 2 and not (folder / "died").exists():
        (folder / "died").touch()
        os._exit(1)
    return item


def dies(item: int) -> None:
    os._exit(1)


@pytest.mark.parametrize("count", [0, 1, 20])
def test_results_keep_the_order_and_each_is_told_once(two_cpus: Executor, count: int) -> None:
    told: dict[int, int] = {}
    assert two_cpus(squared, range(count), lambda index, result: told.update({index: result})) == [
        item**2 for item in range(count)
    ]
    assert told == {item: item**2 for item in range(count)}


def test_the_first_error_ends_the_work_and_travels_whole(two_cpus: Executor, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"damaged\. Found: item 3\. Leave it out"):
        two_cpus(partial(fails, tmp_path), range(40))
    begun = {path.name for path in tmp_path.glob("begun *")}
    assert len(begun) < 10
    time.sleep(0.5)
    assert {path.name for path in tmp_path.glob("begun *")} == begun


def test_a_process_that_dies_is_replaced(two_cpus: Executor, tmp_path: Path) -> None:
    assert two_cpus(partial(dies_once, tmp_path), range(6)) == list(range(6))
    assert (tmp_path / "died").exists()


def test_processes_that_keep_dying_are_a_cluster_that_fails(
    two_cpus: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.executors.ATTEMPTS", 2)
    with pytest.raises(ServiceError, match="the cluster lost a task again and again"):
        two_cpus(dies, [0])


def test_ray_makes_the_store_that_threads_make(
    two_cpus: Executor, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = prepare(images, tmp_path / "threads", HOW, executor=threads(1))
    assert len(list((wanted.path / "images" / "c").iterdir())) == 8
    monkeypatch.chdir(tmp_path)
    assert prepare(images, Path("ray"), HOW, executor=two_cpus).digest == wanted.digest
