"""Parallel tasks: results in order, and none is at work any more when an error is told."""

from threading import Event

import pytest

from storage.tasks import run_tasks


@pytest.mark.parametrize("threads", [1, 3])
def test_results_keep_the_order_and_every_task_counts(threads: int) -> None:
    steps: list[tuple[int, int]] = []
    assert run_tasks(lambda item: item**2, range(9), threads, lambda *step: steps.append(step)) == [
        number**2 for number in range(9)
    ]
    assert steps == [(done, 9) for done in range(1, 10)]


def test_no_task_outlives_an_error() -> None:
    """Whoever cleans up after the error must not race with a task that still writes."""
    failed, ended = Event(), Event()

    def task(item: str) -> None:
        if item == "fails":
            failed.set()
            raise OSError("disk full")
        assert failed.wait(60)
        Event().wait(0.2)  # the error travels to the caller meanwhile
        ended.set()

    with pytest.raises(OSError, match="disk full"):
        run_tasks(task, ["fails", "writes"], 2, lambda done, total: None)
    assert ended.is_set()
