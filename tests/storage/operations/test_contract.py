"""What holds for every operation: pure, total, named, and explained."""

import inspect
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from storage.operations import Stack, operations

KEYS: Mapping[str, Mapping[str, Any]] = {
    "align": {"labels": "cell", "centre": "nucleus"},
    "binary": {"names": ["cell"]},
    "centre_crop": {"size": [4, 4]},
    "centre_on": {"labels": "nucleus"},
    "display_range": {"low": 5, "high": 50.5},
    "drop_labels": {"names": ["cell"]},
    "flip_by_skew": {"labels": "cell", "channel": "dna"},
    "illumination": {"field": [[[1.0]], [[1.0]]]},
    "labels_to_channels": {"names": ["cell"]},
    "mask": {"labels": "cell", "channels": ["dna"]},
    "max_projection": {},
    "median": {"size_zyx": [3, 2, 3]},
    "pad": {"size": [9, 9]},
    "percentile_range": {"low": 1, "high": 99},
    "resample": {"pixel_um": 0.7},
    "rescale_max": {},
    "resize": {"size": [3, 5]},
    "segment_cells": {"channel": "protein", "nuclei": "nucleus", "name": "more"},
    "segment_nuclei": {"channel": "dna", "name": "more"},
    "select_channels": {"names": ["protein"]},
    "subtract_mode": {},
    "threshold": {"channel": "dna", "above": 3, "name": "more"},
}
SHAPES = [(1, 1, 1), (1, 9, 8), (3, 7, 1), (4, 12, 10)]
every = pytest.mark.parametrize("name", sorted(KEYS))


def test_every_operation_is_tested() -> None:
    assert set(operations()) == set(KEYS)


def stack_of(pixels: np.ndarray, labels: np.ndarray) -> Stack:
    for array in (pixels, labels):
        array.flags.writeable = False
    return Stack(pixels, ("dna", "protein"), {"cell": labels, "nucleus": labels}, (1.0, 0.5, 0.5))


def call(name: str, stack: Stack) -> Stack:
    keys = dict(KEYS[name])
    if name == "illumination":
        keys["field"] = np.ones((2, *stack.image.shape[2:]))
    return operations()[name](stack, **keys)


@every
def test_keys_are_plain_and_can_only_be_named(name: str) -> None:
    json.dumps(KEYS[name])
    signature = inspect.signature(operations()[name])
    first, *others = signature.parameters.values()
    assert first.name == "stack"
    assert all(one.kind is inspect.Parameter.KEYWORD_ONLY for one in others)
    assert set(KEYS[name]) <= {one.name for one in others}
    assert signature.return_annotation is Stack


@every
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("content", ["noise", "zeros", "white", "reversed"])
def test_any_image_comes_out_as_a_sound_one(name: str, shape: tuple[int, ...], dtype: Any, content: str) -> None:
    if name == "subtract_mode" and dtype is np.float32:
        dtype = np.int16  # real numbers are refused: see its own tests
    random = np.random.default_rng(0)
    pixels, labels = np.zeros((2, *shape), dtype), np.zeros(shape, np.int32)
    if content in ("noise", "reversed"):
        pixels, labels = random.integers(0, 200, pixels.shape).astype(dtype), random.integers(0, 3, shape)
    if content == "white":
        pixels, labels = np.full_like(pixels, 255), np.ones(shape, np.uint8)
    if content == "reversed":
        pixels, labels = pixels[..., ::-1], labels[..., ::-1, :]
    stack = stack_of(pixels, labels)  # read only: an operation that changes its input fails
    before = pixels.copy(), labels.copy()
    result = call(name, stack)
    assert np.array_equal(pixels, before[0])
    assert np.array_equal(labels, before[1])
    assert result.image.ndim == 4
    assert len(result.image) == len(result.channels)
    assert all(one.shape == result.image.shape[1:] for one in result.labels.values())
    assert all(one.dtype.kind in "ui" for one in result.labels.values())
    assert result.image.dtype in (dtype, np.uint8)
    assert np.isfinite(result.image).all()
    if content == "zeros":
        assert not result.image.any()
    if name not in ("max_projection", "resample", "resize"):
        assert result.pixel_um == stack.pixel_um
