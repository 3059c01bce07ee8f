"""The median is scipy's, and light is taken out as it came in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from storage.operations import Stack
from storage.operations.filters import (
    LANES,
    LARGEST_NETWORK,
    _network,
    box_median,
    illumination,
    illumination_field,
    median,
)

RANDOM = np.random.default_rng(0)
edges = st.tuples(*[st.integers(1, 5)] * 3)


@given(
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    size=edges,
    dtype=st.sampled_from(["uint8", "uint16", "int16", "int32", "float32", "float64"]),
    high=st.sampled_from([2, 20, 256]),
    seed=st.integers(0, 1000),
)
def test_the_median_is_scipys(shape: tuple[int, ...], size: tuple[int, ...], dtype: str, high: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, high, shape).astype(dtype)
    found = box_median(image, size)
    assert found.dtype == image.dtype
    assert np.array_equal(found, ndimage.median_filter(image, size=size))


@pytest.mark.parametrize("width", [LANES - 1, LANES, LANES + 1, 2 * LANES + 3])
def test_the_median_of_wide_images(width: int) -> None:
    image = RANDOM.integers(0, 1 << 16, (3, 4, width), np.uint16)
    assert np.array_equal(box_median(image, (3, 3, 3)), ndimage.median_filter(image, size=(3, 3, 3)))


def test_a_box_too_large_for_a_network() -> None:
    image, size = RANDOM.integers(0, 256, (11, 12, 13), np.uint8), (11, 11, 9)
    assert np.prod(size) > LARGEST_NETWORK
    assert np.array_equal(box_median(image, size), ndimage.median_filter(image, size=size))


@pytest.mark.parametrize("count", [*range(1, 40), 125])
def test_the_network_brings_the_median_to_its_place(count: int) -> None:
    columns = RANDOM.integers(0, count, (count, 200))
    wanted = np.sort(columns, axis=0)[count // 2]
    for a, b in _network(count):
        columns[[a, b]] = np.minimum(columns[a], columns[b]), np.maximum(columns[a], columns[b])
    assert np.array_equal(columns[count // 2], wanted)


def test_the_median_goes_channel_by_channel() -> None:
    image = RANDOM.integers(0, 256, (2, 3, 8, 9), np.uint8)
    found = median(Stack(image, ("a", "b")), size_zyx=(2, 2, 2)).image
    assert np.array_equal(found, ndimage.median_filter(image, size=(1, 2, 2, 2)))


@pytest.mark.parametrize("size", [[3, 3], [0, 3, 3], [1, 1, 1, 1]])
def test_a_box_that_is_none_is_refused(size: list[int]) -> None:
    with pytest.raises(ValueError, match="size_zyx"):
        median(Stack(np.zeros((1, 3, 3, 3)), ("a",)), size_zyx=size)


def test_even_light_comes_back_from_uneven() -> None:
    y, x = np.mgrid[:40, :60]
    light = 1 + 0.4 * np.cos(np.pi * x / 60) - 0.2 * np.cos(np.pi * y / 40)  # as smooth as the mirrored edges
    images = RANDOM.uniform(500, 1500, (4000, 40, 60)).astype(np.float32) * light.astype(np.float32)
    field = illumination_field(images.mean(axis=0)[None], smoothing_px=3)
    assert field.shape == (1, 40, 60)
    assert field.mean() == pytest.approx(1)
    assert np.abs(field[0] - light).max() < 0.03
    plane = np.rint(1000 * light).astype(np.uint16)[None, None]
    flat = illumination(Stack(plane, ("a",)), field=field).image
    assert flat.dtype == np.uint16
    assert flat.std() < 12 < plane.std() / 10


@pytest.mark.parametrize("smoothing", [0.0, 1.0, 5.0, 80.0])
def test_the_field_is_smoothed_as_by_scipy(smoothing: float) -> None:
    mean = RANDOM.uniform(1, 2, (2, 30, 50))
    found = illumination_field(mean, smoothing_px=smoothing, lowest=0.0)
    smooth = ndimage.gaussian_filter(mean, smoothing, axes=(1, 2), truncate=6)
    assert np.allclose(found, smooth / smooth.mean(axis=(1, 2), keepdims=True), rtol=0, atol=2e-3)


def test_the_field_of_darkness_blows_nothing_up() -> None:
    mean = np.zeros((2, 20, 20))
    mean[1, :, 10:] = 100
    field = illumination_field(mean, smoothing_px=1)
    assert np.array_equal(field[0], np.ones((20, 20)))
    assert field[1].min() > 0.05
    assert field[1].mean() == pytest.approx(1)


def test_divided_values_are_rounded_and_cut() -> None:
    stack = Stack(np.array([100, 200, 3], np.uint8).reshape(1, 1, 1, 3), ("a",))
    found = illumination(stack, field=[[[0.3, 0.5, 2.0]]])
    assert found.image.ravel().tolist() == [255, 255, 2]


@pytest.mark.parametrize(
    "field", [np.ones((1, 3, 4)), np.ones((2, 3, 3)), np.zeros((1, 3, 3)), np.full((1, 3, 3), np.nan)]
)
def test_a_field_that_does_not_fit_is_refused(field: np.ndarray) -> None:
    with pytest.raises(ValueError, match="field"):
        illumination(Stack(np.zeros((1, 1, 3, 3), np.uint8), ("a",)), field=field)


def test_smoothing_backwards_is_refused() -> None:
    with pytest.raises(ValueError, match="smoothing_px"):
        illumination_field(np.ones((1, 3, 3)), smoothing_px=-1)
