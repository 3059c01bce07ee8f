"""Chains of operations: what is said of mistakes before anything is read, and that the order is kept."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from storage.errors import RecipeError
from storage.operations import Stack, operations
from storage.pipeline import Pipeline

TO_BYTES = {"name": "display_range", "low": 100, "high": 355}
MEDIAN = {"name": "median", "size_zyx": [1, 3, 3]}
LIGHT = {"name": "illumination", "by": "plate", "smoothing_px": 3}


@pytest.fixture
def stack() -> Stack:
    """Two channels of 3 x 8 x 9."""
    image = np.random.default_rng(0).integers(0, 500, (2, 3, 8, 9), np.uint16)
    return Stack(image, ("actin", "dna"), {"cell": image[0] % 3})


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"name": "medain", "size_zyx": [3, 3, 3]}, r"no operation 'medain' \(did you mean median\?\)"),
        ({"name": "sharpen"}, r"no operation 'sharpen'.*display_range.*median"),
        ({}, "no operation 'None'"),
        ({"name": "median"}, r"median cannot.*key size_zyx is missing.*Its keys are size_zyx"),
        ({"name": "median", "size": [3, 3, 3]}, "there is no key size and key size_zyx is missing"),
        ({**TO_BYTES, "gamma": 2}, r"there is no key gamma.*Its keys are low, high"),
        ({"name": "max_projection", "axis": 1}, r"there is no key axis.*Its keys are none"),
        ({**LIGHT, "field": [1]}, r"there is no key field.*Its keys are by, smoothing_px"),
        ({**LIGHT, "smoothing_px": "wide"}, r"illumination cannot be applied.*smoothing_px = 'wide'"),
        ({**LIGHT, "smoothing_px": -1}, r"smoothing_px = -1.*0 or more"),
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_is_read(table: Mapping[str, Any], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        Pipeline.of([TO_BYTES, table])


@pytest.mark.parametrize(
    "table",
    [
        {"name": "median", "size_zyx": [3, 3]},
        {"name": "median", "size_zyx": 3},
        {"name": "median", "size_zyx": ["a", "b", "c"]},
        {"name": "display_range", "low": 5, "high": 5},
        {"name": "display_range", "low": "dark", "high": 5},
        {"name": "select_channels", "names": ["tubulin"]},
        {"name": "mask", "labels": "nucleus"},
    ],
)
def test_what_an_operation_refuses_is_told_with_its_name_and_the_image(table: Mapping[str, Any], stack: Stack) -> None:
    told = rf"operation {table['name']} cannot be applied.*uint16, C Z Y X = 2 x 3 x 8 x 9.*Its keys are "
    with pytest.raises(RecipeError, match=told):
        Pipeline.of([table])(stack, {})


def test_operations_follow_one_another_in_the_order_given(stack: Stack) -> None:
    known = operations()
    first = known["median"](known["display_range"](stack, low=100, high=355), size_zyx=[1, 3, 3])
    other = known["display_range"](known["median"](stack, size_zyx=[1, 3, 3]), low=100, high=355)
    assert np.array_equal(Pipeline.of([TO_BYTES, MEDIAN])(stack, {}).image, first.image)
    assert np.array_equal(Pipeline.of([MEDIAN, TO_BYTES])(stack, {}).image, other.image)
    assert Pipeline.of([])(stack, {}) is stack


def test_one_can_stop_before_an_operation(stack: Stack) -> None:
    chain = Pipeline.of([TO_BYTES, {"name": "max_projection"}])
    assert chain(stack, {}, 0) is stack
    assert chain(stack, {}, 1).image.shape == stack.image.shape
    assert chain(stack, {}).image.shape == (2, 1, 8, 9)


def test_what_is_measured_gets_the_field_of_its_group(stack: Stack) -> None:
    chain = Pipeline.of([MEDIAN, LIGHT, {"name": "illumination"}])
    assert chain.unmeasured() == [(1, "plate", 3.0), (2, "", 50.0)]
    fields = [np.full((2, 8, 9), light, np.float32) for light in (0.5, 2)]
    flat = chain.measured(1, fields).measured(2, [np.ones((2, 8, 9), np.float32)])
    smooth = chain(stack, {}, 1).image.astype(float)
    dark, bright = (flat(stack, {1: group, 2: 0}).image for group in (0, 1))
    assert np.allclose(dark, smooth * 2, atol=0.5)
    assert np.allclose(bright, smooth / 2, atol=0.5)
    assert chain.fields == {}, "the chain itself is as it was"


def test_patches_are_not_measured() -> None:
    assert Pipeline.of([MEDIAN], patches=True).unmeasured() == []
    with pytest.raises(RecipeError, match="illumination is applied to whole images"):
        Pipeline.of([MEDIAN, LIGHT], patches=True)
