"""Grids: sizes, places and the dtype are as promised."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import resize as skimage_resize

from storage.operations import Stack
from storage.operations.geometry import centre_crop, max_projection, pad, resample, resize

RANDOM = np.random.default_rng(0)


def stack_of(*shape: int, dtype: Any = np.uint16) -> Stack:
    image = RANDOM.integers(0, 250, (2, *shape)).astype(dtype)
    labels = {"cell": RANDOM.integers(0, 4, shape, np.int32)}
    return Stack(image, ("a", "b"), labels, (2.0, 0.5, 0.25))


def test_the_projection_is_the_brightest_along_z() -> None:
    stack = stack_of(3, 4, 5)
    found = max_projection(stack)
    assert np.array_equal(found.image[:, 0], stack.image.max(axis=1))
    assert np.array_equal(found.labels["cell"][0], stack.labels["cell"].max(axis=0))
    assert found.pixel_um == (None, 0.5, 0.25)


@pytest.mark.parametrize("size", [(6, 5), (13, 30), (12, 9), (12, 15)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_resize_is_scikit_images(size: tuple[int, int], dtype: Any) -> None:
    stack = stack_of(1, 12, 15, dtype=dtype)
    found = resize(stack, size=size)
    assert found.image.dtype == dtype
    assert found.image.shape == (2, 1, *size)
    assert found.labels["cell"].shape == (1, *size)
    assert set(np.unique(found.labels["cell"])) <= {0, 1, 2, 3}
    assert found.pixel_um == pytest.approx((2.0, 0.5 * 12 / size[0], 0.25 * 15 / size[1]))
    smaller = any(new < old for new, old in zip(size, (12, 15), strict=True))
    for channel, before in zip(found.image, stack.image, strict=True):
        wanted = skimage_resize(
            before[0].astype(float), size, order=1, mode="edge", anti_aliasing=smaller, preserve_range=True
        )
        assert np.abs(channel[0] - wanted).max() <= (0.51 if dtype is not np.float32 else 1e-3)


def test_resize_in_three_dimensions() -> None:
    found = resize(stack_of(4, 6, 8), size=[2, 3, 16])
    assert found.image.shape == (2, 2, 3, 16)
    assert found.pixel_um == (4.0, 1.0, 0.125)


def test_the_same_size_is_the_same_image() -> None:
    stack = stack_of(3, 7, 8)
    for found in (resize(stack, size=[7, 8]), resample(stack, pixel_um=[2.0, 0.5, 0.25])):
        assert np.array_equal(found.image, stack.image)
        assert np.array_equal(found.labels["cell"], stack.labels["cell"])
        assert found.pixel_um == stack.pixel_um


@pytest.mark.parametrize(
    ("pixel_um", "shape", "voxel"),
    [
        (0.5, (3, 40, 30), (2.0, 0.5, 0.5)),
        ([1.0, 0.25], (3, 20, 60), (2.0, 1.0, 0.25)),
        ([1, 0.3, 0.3], (6, 67, 50), (1.0, 0.3, 0.3)),
        (100, (3, 1, 1), (2.0, 100.0, 100.0)),
    ],
)
def test_voxels_have_the_size_asked_for(pixel_um: Any, shape: tuple[int, ...], voxel: tuple[float, ...]) -> None:
    found = resample(stack_of(3, 40, 60), pixel_um=pixel_um)
    assert found.image.shape == (2, *shape)
    assert found.pixel_um == voxel


@pytest.mark.parametrize("new", [0.31, 0.7, 1.9])
def test_what_lies_somewhere_in_micrometres_stays_there(new: float) -> None:
    y, x = np.mgrid[:101, :80]
    ramp = (3.0 * y + 2.0 * x).astype(np.float32)[None, None]
    found = resample(Stack(ramp, ("a",), {}, (None, 1.0, 1.0)), pixel_um=new).image[0, 0]
    rows, columns = ((np.arange(n) - (n - 1) / 2) * new for n in found.shape)
    wanted = 3.0 * (rows[:, None] + 50) + 2.0 * (columns + 39.5)
    inner = slice(3, -3)
    assert np.allclose(found[inner, inner], wanted[inner, inner], rtol=0, atol=1e-2)


def test_resampling_commutes_with_mirroring() -> None:
    stack = stack_of(1, 23, 31)
    mirrored = Stack(stack.image[..., ::-1], stack.channels, {}, stack.pixel_um)
    one, other = (resample(it, pixel_um=0.8).image for it in (stack, mirrored))
    assert np.abs(one[..., ::-1].astype(int) - other).max() <= 1


def test_what_is_finer_than_the_new_grid_is_averaged() -> None:
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 200).astype(np.uint8)[None, None]
    found = resize(Stack(board, ("a",)), size=[16, 16]).image
    assert np.abs(found[..., 2:-2, 2:-2].astype(int) - 100).max() < 10


sizes = st.lists(st.integers(1, 12), min_size=2, max_size=3)


@given(shape=st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)), size=sizes)
def test_padding_and_cropping_undo_each_other(shape: tuple[int, int, int], size: list[int]) -> None:
    stack = stack_of(*shape)
    wanted = (shape[0], *size) if len(size) == 2 else tuple(size)
    padded, cropped = pad(stack, size=size), centre_crop(stack, size=size)
    assert padded.image.shape[1:] == tuple(map(max, shape, wanted))
    assert cropped.image.shape[1:] == tuple(map(min, shape, wanted))
    assert padded.image.sum() == stack.image.sum()
    assert np.array_equal(centre_crop(padded, size=shape).image, stack.image)
    assert np.array_equal(centre_crop(padded, size=shape).labels["cell"], stack.labels["cell"])
    assert centre_crop(padded, size=size).image.shape[1:] == wanted


def test_the_middle_is_kept() -> None:
    image = np.zeros((1, 1, 7, 8), np.uint8)
    image[0, 0, 3, 3:5] = 1
    assert centre_crop(Stack(image, ("a",)), size=[1, 2]).image.ravel().tolist() == [1, 1]
    assert np.argwhere(pad(Stack(image, ("a",)), size=[9, 10]).image[0, 0]).tolist() == [[4, 4], [4, 5]]


@pytest.mark.parametrize(
    ("operation", "keys", "message"),
    [
        (resize, {"size": [3]}, "size is H W"),
        (pad, {"size": [0, 4]}, "size is H W"),
        (centre_crop, {"size": [1, 2, 3, 4]}, "size is H W"),
        (resample, {"pixel_um": 0}, "pixel_um is"),
        (resample, {"pixel_um": [1.0]}, "pixel_um is"),
        (resample, {"pixel_um": [1.0, 1.0, 1.0]}, "in z is not known"),
    ],
)
def test_what_cannot_be_is_refused(operation: Any, keys: Mapping[str, Any], message: str) -> None:
    stack = Stack(np.zeros((1, 2, 3, 3), np.uint8), ("a",), {}, (None, 1.0, 1.0))
    with pytest.raises(ValueError, match=message):
        operation(stack, **keys)
