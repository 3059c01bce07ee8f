"""Ray as one of the places where `prepare` can run its leaf tasks (`storage.executors`)."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

from cluster.home import Home
from cluster.session import joined
from storage.errors import DistganError, ServiceError, error_from_dict
from storage.executors import Executor

ATTEMPTS = 4
"""How often a task is begun before a cluster that keeps losing it is given up."""


@contextlib.contextmanager
def ray_tasks(workers: int, address: str, home: Home) -> Iterator[Executor]:
    """Ray tasks of one CPU each, on the cluster at `address` or on so many CPUs of this machine.

    A task whose process dies is begun anew. Raises ServiceError: no cluster there, or it keeps losing tasks.
    """
    with joined(address, home, workers):
        import ray

        def run(
            task: Callable[[Any], Any],
            items: Sequence[Any],
            done: Callable[[int, Any], None] = lambda index, result: None,
        ) -> list[Any]:
            leaf = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(_told)
            shared = ray.put(task)
            waiting = iter(enumerate(items))
            running: dict[Any, int] = {}
            results: list[Any] = [None] * len(items)
            try:
                while True:
                    for index, item in islice(waiting, workers - len(running)):
                        running[leaf.remote(shared, item)] = index
                    if not running:
                        return results
                    (ready,), _ = ray.wait(list(running), num_returns=1)
                    index = running.pop(ready)
                    results[index] = _untold(ray.get(ready))
                    done(index, results[index])
            except (
                ray.exceptions.WorkerCrashedError,
                ray.exceptions.RayActorError,
                ray.exceptions.OwnerDiedError,
            ) as lost:
                raise ServiceError(
                    "the cluster lost a task again and again",
                    str(lost).splitlines()[0],
                    "Look whether its memory is full (workers x one shard), and run it again: what is finished is kept",
                ) from lost
            finally:
                for reference in running:
                    ray.cancel(reference)
                ray.wait(list(running), num_returns=len(running)) if running else None

        yield run


def _told(task: partial[Any], item: Any) -> tuple[Any, dict[str, str] | None]:
    """The result or the error a person can be told; Ray wraps what is raised."""
    try:
        return task(item), None
    except DistganError as error:
        return None, error.as_dict()


def _untold(answer: tuple[Any, dict[str, str] | None]) -> Any:
    result, error = answer
    if error is not None:
        raise error_from_dict(error)
    return result
