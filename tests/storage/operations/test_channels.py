"""Channels and label images are found by their names."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from storage.operations import Stack
from storage.operations.channels import binary, drop_labels, labels_to_channels, mask, select_channels

PIXELS = np.arange(1, 49, dtype=np.uint16).reshape(3, 1, 4, 4)
CELL = np.array([[0, 0, 3, 3], [0, 255, 255, 3], [1, 0, 0, 0], [0, 0, 0, 0]], np.uint8)[None]
STACK = Stack(PIXELS, ("dna", "actin", "tubulin"), {"cell": CELL, "nucleus": np.zeros((1, 4, 4), np.int32)})


def test_channels_come_in_the_order_asked_for() -> None:
    found = select_channels(STACK, names=["tubulin", "dna"])
    assert found.channels == ("tubulin", "dna")
    assert np.array_equal(found.image, PIXELS[[2, 0]])


def test_labels_become_channels_and_stay() -> None:
    found = labels_to_channels(STACK, names=["nucleus", "cell"])
    assert found.channels == ("dna", "actin", "tubulin", "nucleus", "cell")
    assert found.image.dtype == np.uint16
    assert np.array_equal(found.image[:3], PIXELS)
    assert np.array_equal(found.image[4], np.where(CELL, 255, 0))
    assert not found.image[3].any()
    assert set(found.labels) == {"cell", "nucleus"}


def test_labels_are_dropped() -> None:
    assert set(drop_labels(STACK, names=["cell"]).labels) == {"nucleus"}


def test_masks_of_0_and_255_become_0_and_1() -> None:
    found = binary(STACK, names=["cell"]).labels
    assert found["cell"].dtype == np.uint8
    assert np.array_equal(found["cell"], CELL > 0)
    assert found["nucleus"] is STACK.labels["nucleus"]


@pytest.mark.parametrize("largest", [1, 255])
def test_grey_edges_go_by_half_of_the_largest_value(largest: int) -> None:
    grey = np.array([0, 0.2, 0.5, 0.6, 1]) * largest
    labels = {"edge": np.rint(grey).astype(np.uint8).reshape(1, 1, 5), "empty": np.zeros((1, 1, 5), np.uint8)}
    stack = Stack(np.zeros((1, 1, 1, 5), np.uint8), ("grey",), labels)
    found = binary(stack, names=["edge", "empty"], share=0.5).labels
    assert found["edge"].tolist() == [[[int(value > largest / 2) for value in labels["edge"].ravel()]]]
    assert not found["empty"].any()


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_of_the_largest_value_lies_between_none_and_all(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        binary(STACK, names=["cell"], share=share)


@pytest.mark.parametrize(("channels", "masked"), [(None, [0, 1, 2]), (["actin"], [1]), ([], [])])
def test_outside_of_a_mask_is_dark(channels: list[str] | None, masked: list[int]) -> None:
    found = mask(STACK, labels="cell", channels=channels).image
    for c in range(3):
        assert np.array_equal(found[c], np.where(CELL, PIXELS[c], 0) if c in masked else PIXELS[c])


@pytest.mark.parametrize(
    ("operation", "keys", "message"),
    [
        (select_channels, {"names": ["red"]}, "no channel 'red': the image has dna, actin, tubulin"),
        (select_channels, {"names": ["dna", "dna"]}, "different from each other"),
        (select_channels, {"names": []}, "found none"),
        (select_channels, {"names": "dna"}, r"such as \['dna'\]"),
        (labels_to_channels, {"names": ["red"]}, "no label image 'red': the image has cell, nucleus"),
        (labels_to_channels, {"names": ["cell", "cell"]}, "different from each other"),
        (drop_labels, {"names": ["red"]}, "no label image 'red'"),
        (binary, {"names": ["red"]}, "no label image 'red'"),
        (mask, {"labels": "red"}, "no label image 'red'"),
        (mask, {"labels": "cell", "channels": ["red"]}, "no channel 'red'"),
    ],
)
def test_unknown_names_are_refused(operation: Any, keys: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        operation(STACK, **keys)


def test_a_channel_is_not_added_twice() -> None:
    with pytest.raises(ValueError, match="already a channel 'cell'"):
        labels_to_channels(labels_to_channels(STACK, names=["cell"]), names=["cell"])
