"""Operations against what one would write with numpy and scipy: `make bench`. Asserted is that both give the same."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from storage.operations import Stack
from storage.operations.filters import box_median
from storage.operations.intensity import percentile_range, subtract_mode
from storage.operations.neighbours import nearest

pytestmark = pytest.mark.benchmark
Result = NDArray[np.generic]


def race(bench: Any, what: str, goal: float | None, plain: Callable[[], Result], ours: Callable[[], Result]) -> None:
    """By CPU seconds, after both gave the same."""
    assert np.array_equal(plain(), ours())
    bench.race(what, goal, ours, plain, rounds=5, by="cpu")


@pytest.fixture(scope="module")
def cells() -> NDArray[np.uint8]:
    """4096 images of 48 x 48, each of its own brightness, N Y X."""
    random = np.random.default_rng(0)
    images = random.normal(random.uniform(40, 120, (4096, 1, 1)), 20, (4096, 48, 48))
    return np.clip(images, 0, 255).astype(np.uint8)


def at_once(images: Result, operation: Callable[..., Stack], **keys: float) -> Result:
    """The images as the channels of one stack."""
    return operation(Stack(images[:, None], ("dna",) * len(images)), **keys).image[:, 0]


def one_by_one(images: Result, operation: Callable[..., Stack], **keys: float) -> Result:
    """A stack per image, as `prepare` calls it after the cut: Python's share is seen, too."""
    return np.stack([operation(Stack(image[None, None], ("dna",)), **keys).image[0, 0] for image in images])


@pytest.mark.parametrize(
    ("edge", "dtype"), [(3, np.uint16), (3, np.uint8), (3, np.float32), (2, np.uint16), (5, np.uint16)]
)
def test_median(edge: int, dtype: type, bench: Any) -> None:
    """Of noise without any smoothness, 0..4095 (0..255 in 8 bits)."""
    size = (edge, edge, edge)
    image = np.random.default_rng(0).integers(0, 256 if dtype is np.uint8 else 4096, (16, 256, 256)).astype(dtype)
    what = f"median of {' x '.join(map(str, size))} {np.dtype(dtype).name} / scipy"
    race(bench, what, 7, lambda: ndimage.median_filter(image, size=size), lambda: box_median(image, size))


def test_percentile_range(cells: NDArray[np.uint8], bench: Any) -> None:
    def plain() -> Result:
        found = np.empty_like(cells)
        for one, cell in zip(found, cells, strict=True):
            low, high = map(float, np.percentile(cell, (1, 99), method="inverted_cdf"))
            scaled = (cell.astype(np.float32) - low) * (255 / (high - low))
            one[:] = np.clip(np.rint(scaled), 0, 255)
        return found

    keys = {"low": 1.0, "high": 99.0}
    what = "percentile range of 4096 images of 48 x 48"
    race(bench, f"{what}, in one call / a numpy loop", 10, plain, lambda: at_once(cells, percentile_range, **keys))
    race(bench, f"{what}, a call each / the same", None, plain, lambda: one_by_one(cells, percentile_range, **keys))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_subtract_mode(cells: NDArray[np.uint8], dtype: type, bench: Any) -> None:
    """8 bits, and 16 bits of which 12 are used."""
    images = cells.astype(dtype) * (1 if dtype is np.uint8 else 13)

    def plain() -> Result:
        found = np.empty_like(images)
        for one, cell in zip(found, images, strict=True):
            mode = np.bincount(cell.ravel()).argmax()
            one[:] = np.clip(cell.astype(np.int64) - mode, 0, None)
        return found

    what = f"subtract mode of 4096 images of 48 x 48 {np.dtype(dtype).name}"
    race(bench, f"{what}, in one call / a bincount loop", 10, plain, lambda: at_once(images, subtract_mode))
    race(bench, f"{what}, a call each / the same", None, plain, lambda: one_by_one(images, subtract_mode))


def test_nearest(bench: Any) -> None:
    """5 of 2000 for each of 100, 3840 features: Osokin's red channel."""
    random = np.random.default_rng(0)
    queries, candidates = (random.integers(0, 256, (n, 3840), np.uint8) for n in (100, 2000))

    def plain() -> Result:
        others = candidates.astype(np.float32)
        return np.stack([np.square(others - one).sum(axis=1).argsort(kind="stable")[:5] for one in queries])

    what = "5 nearest of 2000 for each of 100 / a numpy loop"
    race(bench, what, None, plain, lambda: nearest(queries, candidates, 5))
