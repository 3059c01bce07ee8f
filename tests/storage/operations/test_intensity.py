"""Brightness against plain numpy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.operations import Stack
from storage.operations.intensity import (
    display_range,
    fitted,
    percentile_range,
    percentiles,
    rescale_max,
    subtract_mode,
    to_bytes,
)

DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "float32", "float64"]


def noise(dtype: str, seed: int, shape: tuple[int, ...] = (3, 2, 5, 7)) -> np.ndarray:
    """Values around 0 where there is a sign, often equal ones."""
    lowest = 0 if dtype.startswith("u") else -60
    return np.random.default_rng(seed).integers(lowest, 100, shape).astype(dtype)


def stack_of(image: np.ndarray) -> Stack:
    return Stack(image, tuple(map(str, range(len(image)))))


def plainly(image: np.ndarray, low: Any, high: Any) -> np.ndarray:
    """Low..high to bytes, as numpy would; low and high per channel, and whole numbers where they are equal."""
    real = np.result_type(image.dtype, np.float32).type
    bounds = [np.asarray(value, np.float64).reshape(-1, 1, 1, 1) for value in (low, high)]
    scaled = (image.astype(real) - bounds[0].astype(real)) * (
        255 / np.where(bounds[1] > bounds[0], bounds[1] - bounds[0], 1)
    ).astype(real)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


@given(dtype=st.sampled_from(DTYPES), seed=st.integers(0, 99), low=st.floats(-80, 90), width=st.floats(0.5, 200))
def test_a_display_range_is_what_numpy_makes_of_it(dtype: str, seed: int, low: float, width: float) -> None:
    image = noise(dtype, seed)
    found = display_range(stack_of(image), low=low, high=low + width).image
    assert found.dtype == np.uint8
    assert np.array_equal(found, plainly(image, low, low + width))


@given(
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 99),
    low=st.integers(0, 99) | st.floats(0, 99),
    high=st.just(100) | st.floats(99.5, 100),
)
def test_percentiles_are_values_that_occur(dtype: str, seed: int, low: float, high: float) -> None:
    image = noise(dtype, seed)
    found = percentiles(image, low, high)
    assert np.array_equal(found, np.percentile(image, (low, high), axis=(1, 2, 3), method="inverted_cdf"))
    assert np.array_equal(percentile_range(stack_of(image), low=low, high=high).image, plainly(image, *found))


def test_percentiles_of_the_whole_range() -> None:
    image = np.arange(1 << 16, dtype=np.uint16).reshape(1, 1, 256, 256)
    low, high = percentiles(image, 0, 50)
    assert (low[0], high[0]) == (0, (1 << 15) - 1)


def test_every_channel_has_its_own_percentiles() -> None:
    image = np.stack([np.arange(100), np.arange(100) * 10]).astype(np.uint16).reshape(2, 1, 10, 10)
    found = percentile_range(stack_of(image), low=0, high=100).image
    assert np.array_equal(found[0], found[1])


def test_a_spot_on_an_even_ground_stays_a_spot() -> None:
    image = np.full((1, 1, 30, 30), 7, np.uint8)
    image[0, 0, 4, 5] = 9
    found = percentile_range(stack_of(image), low=1, high=99).image
    assert np.array_equal(found == 255, image == 9)
    assert np.array_equal(found == 0, image == 7)


def test_what_is_not_finite_does_not_count() -> None:
    image = np.array([np.nan, -np.inf, 0, 1, 2, np.inf], np.float32).reshape(1, 1, 1, 6)
    assert percentile_range(stack_of(image), low=0, high=100).image.ravel().tolist() == [0, 0, 0, 128, 255, 255]
    assert not percentile_range(stack_of(np.full((1, 1, 2, 2), np.nan))).image.any()


@pytest.mark.parametrize(("low", "high"), [(2, 1), (1, 1), (np.nan, 1), (0, np.inf)])
def test_a_display_range_that_is_none_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="low must be less than high"):
        display_range(stack_of(noise("uint8", 0)), low=low, high=high)


@pytest.mark.parametrize(("low", "high"), [(-1, 99), (1, 101), (50, 50), (np.nan, 50)])
def test_percentiles_that_are_none_are_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="percentiles"):
        percentile_range(stack_of(noise("uint8", 0)), low=low, high=high)


@given(dtype=st.sampled_from(["uint8", "int8", "uint16", "int16"]), seed=st.integers(0, 99))
def test_the_mode_is_what_bincount_finds(dtype: str, seed: int) -> None:
    image = noise(dtype, seed)
    found = subtract_mode(stack_of(image)).image
    assert found.dtype == image.dtype
    for before, after in zip(image, found, strict=True):
        values, counts = np.unique(before, return_counts=True)
        above = before.astype(np.int64) - int(values[counts.argmax()])
        assert np.array_equal(after, np.clip(above, 0, np.iinfo(dtype).max))


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_the_mode_of_what_is_hardly_ever_equal_is_refused(dtype: str) -> None:
    with pytest.raises(ValueError, match=dtype):
        subtract_mode(stack_of(noise(dtype, 0)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_maximum_becomes_white(dtype: str) -> None:
    image = noise(dtype, 0)
    found = rescale_max(stack_of(image)).image
    assert np.array_equal(found, plainly(image, [0, 0, 0], image.max(axis=(1, 2, 3))))
    assert (found.max(axis=(1, 2, 3)) == 255).all()
    if not dtype.startswith("u"):
        assert not rescale_max(stack_of(-1 - np.abs(image))).image.any()


def test_the_maximum_is_a_number() -> None:
    image = np.array([np.nan, -1, 1, 4], np.float32).reshape(1, 1, 1, 4)
    assert rescale_max(stack_of(image)).image.ravel().tolist() == [0, 0, 64, 255]


def test_bytes_of_large_numbers_are_not_blurred() -> None:
    image = (10**9 + np.arange(256, dtype=np.uint32)).reshape(1, 1, 16, 16)
    found = to_bytes(image, np.array([1e9]), np.array([1e9 + 255]))
    assert np.array_equal(found.ravel(), np.arange(256))


def test_values_are_fitted_to_a_dtype() -> None:
    values = np.array([-3.2, 0.5, 1.5, 254.6, 999.0])
    assert fitted(values, np.uint8).tolist() == [0, 0, 2, 255, 255]
    assert fitted(values, np.int8).tolist() == [-3, 0, 2, 127, 127]
    assert fitted(values, np.float32).tolist() == values.astype(np.float32).tolist()
