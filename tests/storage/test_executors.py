"""Tasks in parallel, wherever they run: results in order, all of them told, none at work when an error is."""

import errno
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from storage.errors import DataError, DiskError, ServiceError
from storage.executors import Executor, distributed, threads


def listening() -> set[tuple[str, int]]:
    """Addresses and ports at which this process and its children listen."""
    ours = [psutil.Process(), *psutil.Process().children(recursive=True)]
    found = (one for process in ours for one in process.net_connections() if one.status == "LISTEN")
    return {(one.laddr.ip, one.laddr.port) for one in found}


@pytest.fixture(scope="module")
def listening_before() -> set[tuple[str, int]]:
    return listening()


@pytest.fixture(scope="module")
def two_processes(listening_before: set[tuple[str, int]]) -> Iterator[Executor]:
    """A Dask cluster on this machine."""
    with distributed(2) as run:
        yield run


@pytest.fixture(params=["one thread", "three threads", "two processes"])
def run(request: pytest.FixtureRequest) -> Executor:
    """Each of the executors."""
    if request.param == "two processes":
        executor: Executor = request.getfixturevalue("two_processes")
        return executor
    return threads(1 if request.param == "one thread" else 3)


def squared(item: int) -> int:
    time.sleep(0.002 * (item % 3))
    return item**2


def told(folder: Path, item: int) -> None:
    """Leaves a file when it begins, and one when it ends; three of four fail, so that one does soon in any order."""
    (folder / f"begun {item}").touch()
    if item % 4:
        raise DataError("the image is damaged", "item", "Leave it out")
    time.sleep(0.2)
    (folder / f"ended {item}").touch()


def dies_once(folder: Path, item: int) -> int:
    if item == 2 and not (folder / "died").exists():
        (folder / "died").touch()
        os._exit(1)
    return item


def dies(item: int) -> None:
    os._exit(1)


def fills_the_disk(item: int) -> None:
    raise DiskError("there is no space", os.strerror(errno.ENOSPC), "Free some")


@pytest.mark.parametrize("count", [0, 1, 20])
def test_results_keep_the_order_and_each_is_told_once(run: Executor, count: int) -> None:
    steps: dict[int, int] = {}
    assert run(squared, range(count), lambda index, result: steps.update({index: result})) == [
        item**2 for item in range(count)
    ]
    assert steps == {item: item**2 for item in range(count)}


def test_an_error_ends_the_work_and_no_task_outlives_it(run: Executor, tmp_path: Path) -> None:
    """Whoever cleans up after the error must not race with a task that still writes."""
    with pytest.raises(DataError, match=r"damaged\. Found: item\. Leave it out"):
        run(partial(told, tmp_path), range(100))
    begun, ended = numbers(tmp_path, "begun"), numbers(tmp_path, "ended")
    assert {item for item in begun if item % 4 == 0} == ended
    assert len(begun) < 20
    time.sleep(0.3)
    assert numbers(tmp_path, "begun") == begun


def numbers(folder: Path, what: str) -> set[int]:
    return {int(path.name.split()[1]) for path in folder.glob(f"{what} *")}


def test_errors_travel_whole(run: Executor) -> None:
    with pytest.raises(DiskError) as caught:
        run(fills_the_disk, range(3))
    assert caught.value.as_dict() == DiskError("there is no space", os.strerror(errno.ENOSPC), "Free some").as_dict()


def test_an_error_of_whoever_is_told_ends_the_work(run: Executor) -> None:
    def full(index: int, result: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left"):
        run(squared, range(20), full)
    assert run(squared, range(3)) == [0, 1, 4]


def test_nobody_is_told_of_two_results_at_once(run: Executor) -> None:
    inside: list[int] = []

    def slow(index: int, result: int) -> None:
        inside.append(index)
        time.sleep(0.01)
        assert inside == [index]
        inside.clear()

    run(squared, range(12), slow)


# a cluster


def test_a_process_that_dies_is_replaced(two_processes: Executor, tmp_path: Path) -> None:
    assert two_processes(partial(dies_once, tmp_path), range(6)) == list(range(6))
    assert (tmp_path / "died").exists()


def test_processes_that_keep_dying_are_a_cluster_that_fails(two_processes: Executor) -> None:
    with pytest.raises(ServiceError, match="the cluster lost a task again and again"):
        two_processes(dies, [0])


def test_a_cluster_of_our_own_is_not_open_to_the_network(
    two_processes: Executor, listening_before: set[tuple[str, int]]
) -> None:
    assert {address for address, _ in listening() - listening_before} == {"127.0.0.1"}


def test_nobody_at_the_address_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.executors.CONNECT_SECONDS", 0.3)
    told = r"no Dask cluster answers at tcp://127\.0\.0\.1:9"
    with pytest.raises(ServiceError, match=told), distributed(2, "tcp://127.0.0.1:9"):
        pytest.fail("there is none")
