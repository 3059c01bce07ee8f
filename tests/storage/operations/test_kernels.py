"""Kernels are compiled with or without a place to keep them."""

import threading
from typing import Any

import numba
import numpy as np
import pytest

from storage.operations.filters import box_median
from storage.operations.kernels import kernel


def test_a_kernel_compiles_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = numba.njit

    def njit(*loop: Any, **options: Any) -> Any:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return compiled(*loop, **options)

    monkeypatch.setattr(numba, "njit", njit)

    @kernel
    def doubled(number: int) -> int:
        return 2 * number

    assert doubled(21) == 42
    assert doubled.nopython_signatures  # type: ignore[attr-defined]


def test_threads_share_a_kernel() -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 4096, (8, 4, 40, 300), np.uint16)
    alone = [box_median(image, (3, 3, 3)) for image in images]
    together: list[Any] = [None] * len(images)

    def work(one: int) -> None:
        together[one] = box_median(images[one], (3, 3, 3))

    threads = [threading.Thread(target=work, args=(one,)) for one in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(together, alone)
