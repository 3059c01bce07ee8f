"""Run independent leaf tasks in parallel: each opens what it needs by path and writes one shard."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

import dask

from storage.datasets import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_tasks(task: Callable[[Item], Result], items: Sequence[Item], threads: int, progress: Progress) -> list[Result]:
    """`task(item)` for every item on Dask's threads, in the order of `items`.

    The first error ends the work and is raised, once no task is running any more.
    """
    lock = Lock()
    done = 0

    def counted(item: Item) -> Result:
        nonlocal done
        result = task(item)
        with lock:
            done += 1
            progress(done, len(items))
        return result

    graph = [dask.delayed(counted, pure=False)(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(dask.compute(*graph, scheduler="threads", pool=pool))
