"""Run independent leaf tasks in parallel: each opens what it needs by path and writes one shard.

The same leaf runs on threads of this process, on a Dask cluster, and on Ray (`cluster.executors`).
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from itertools import islice
from threading import Lock
from typing import Any, Protocol

import dask

from storage.errors import ServiceError

CONNECT_SECONDS = 10.0


class Executor(Protocol):
    """Runs `task(item)` for every item and returns the results in the order of `items`.

    `done(index, result)` is called in this process as each one ends, never by two threads at once. The
    first error ends the work and is raised, once no task is running any more. `task`, items and results
    travel between processes.
    """

    def __call__(
        self,
        task: Callable[[Any], Any],
        items: Sequence[Any],
        done: Callable[[int, Any], None] = lambda index, result: None,
    ) -> list[Any]:
        """Run the tasks."""
        ...


def threads(workers: int) -> Executor:
    """Dask on so many threads of this process."""

    def run(
        task: Callable[[Any], Any],
        items: Sequence[Any],
        done: Callable[[int, Any], None] = lambda index, result: None,
    ) -> list[Any]:
        lock = Lock()

        def told(index: int, item: Any) -> Any:
            result = task(item)
            with lock:
                done(index, result)
            return result

        graph = [dask.delayed(partial(told, index, item), pure=False)() for index, item in enumerate(items)]
        with ThreadPoolExecutor(workers) as pool:
            return list(dask.compute(*graph, scheduler="threads", pool=pool))

    return run


@contextlib.contextmanager
def distributed(workers: int, address: str = "") -> Iterator[Executor]:
    """A Dask cluster: the one at `address`, or one of so many processes on this machine, loopback only.

    A task whose process dies is begun anew. Raises ServiceError: no cluster there, or it keeps losing tasks.
    """
    from dask.distributed import Future, wait
    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker

    with _client(workers, address) as client:

        def run(
            task: Callable[[Any], Any],
            items: Sequence[Any],
            done: Callable[[int, Any], None] = lambda index, result: None,
        ) -> list[Any]:
            waiting = iter(enumerate(items))
            running: dict[Future, int] = {}
            results: list[Any] = [None] * len(items)
            try:
                shared = client.scatter(task, broadcast=True, hash=False)
                while True:
                    for index, item in islice(waiting, workers - len(running)):
                        running[client.submit(_call, shared, item, pure=False)] = index
                    if not running:
                        return results
                    for future in ended(running, "FIRST_COMPLETED"):
                        index = running.pop(future)
                        results[index] = future.result()
                        done(index, results[index])
            except (KilledWorker, CancelledError, CommClosedError, TimeoutError) as lost:
                raise ServiceError(
                    "the cluster lost a task again and again",
                    str(lost).splitlines()[0] if str(lost) else type(lost).__name__,
                    "Look whether its memory is full (workers x one shard), and run it again: what is finished is kept",
                ) from lost
            finally:
                with contextlib.suppress(CancelledError):
                    ended(running, "ALL_COMPLETED")

        def ended(running: Iterable[Future], which: str) -> set[Future]:
            with client.as_current():
                return wait(list(running), return_when=which).done

        yield run


@contextlib.contextmanager
def _client(workers: int, address: str) -> Iterator[Any]:
    from dask.distributed import Client

    local = {
        "n_workers": workers,
        "threads_per_worker": 1,
        "host": "127.0.0.1",
        "security": True,  # keys of its own: whoever may connect may run what they like
        "dashboard_address": None,
        "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"},  # without a dashboard; dask would take port 8787
    }
    try:
        client = (
            Client(address, set_as_default=False, timeout=CONNECT_SECONDS)
            if address
            else Client(set_as_default=False, **local)
        )
    except OSError as error:
        raise ServiceError(
            f"no Dask cluster answers at {address or 'this machine'}",
            str(error).splitlines()[0],
            "Check prepare.address, or leave it out to use processes of this machine",
        ) from error
    with client:
        yield client


def _call(task: Callable[[Any], Any], item: Any) -> Any:
    return task(item)
