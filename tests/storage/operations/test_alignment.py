"""Copies of a cell in any pose come out alike."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from storage.operations import Stack
from storage.operations.alignment import (
    _turn_linear,
    _turn_nearest,
    align,
    centre_of_mass,
    centre_on,
    flip_by_skew,
    major_axis,
    skewness,
)
from storage.operations.geometry import centre_crop

SHAPE = (90, 100)


def cell(angle: float = 0.0, mirror: int = 1, shift: tuple[float, float] = (0.0, 0.0), planes: int = 1) -> Stack:
    """A pear along its own x axis with a nucleus in the thick end, drawn in a pose: not turned by pixels."""
    height, width = SHAPE
    y, x = np.mgrid[:height, :width].astype(float)
    y, x = y - (height - 1) / 2 - shift[0], x - (width - 1) / 2 - shift[1]
    along = x * math.cos(angle) + y * math.sin(angle)
    across = mirror * (y * math.cos(angle) - x * math.sin(angle))
    body = (along / 26) ** 2 + (across / (11 - 0.18 * along) + 0.004 * along) ** 2 < 1
    nucleus = ((along + 9) / 6) ** 2 + ((across - 3) / 5) ** 2 < 1
    # zero at the edge of the body, so that the picture is smooth
    glow = 200 * np.exp(-((along + 4) ** 2) / 150 - (across - 2) ** 2 / 40)
    image = np.stack([glow, glow / 2 + 100 * np.exp(-((along - 5) ** 2 + across**2) / 30)])
    volume = np.stack([image * (z + 1) / planes for z in range(planes)], axis=1)
    labels = {name: np.stack([one.astype(np.uint8)] * planes) for name, one in (("cell", body), ("nucleus", nucleus))}
    return Stack(volume.astype(np.float32), ("dna", "protein"), labels, (None, 0.3, 0.3))


def posed(stack: Stack) -> Stack:
    aligned = align(stack, labels="cell", centre="nucleus")
    return centre_crop(flip_by_skew(aligned, labels="cell"), size=[70, 80])


def turned(stack: Stack, quarters: int, mirrored: bool = False) -> Stack:
    def copy(array: NDArray[Any]) -> NDArray[Any]:
        array = np.rot90(array, quarters, axes=(-2, -1))
        return array[..., ::-1] if mirrored else array

    labels = {name: copy(one) for name, one in stack.labels.items()}
    return Stack(copy(stack.image), stack.channels, labels, stack.pixel_um)


@pytest.mark.parametrize(("angle", "planes"), [(0.1, 1), (0.7, 3), (-1.2, 1)])
def test_quarter_turns_and_mirror_images_come_out_the_same(angle: float, planes: int) -> None:
    drawn = cell(angle, planes=planes)
    for image in (drawn.image, np.rint(drawn.image).astype(np.uint8)):
        stack = Stack(image, drawn.channels, drawn.labels, drawn.pixel_um)
        wanted = posed(stack)
        assert wanted.image.dtype == image.dtype
        assert wanted.image.shape[1:] == (planes, 70, 80)
        for quarters in range(4):
            for mirrored in (False, True):
                found = posed(turned(stack, quarters, mirrored))
                assert np.allclose(found.image, wanted.image, rtol=0, atol=1e-3)
                assert np.array_equal(found.labels["cell"], wanted.labels["cell"])
                assert np.array_equal(found.labels["nucleus"], wanted.labels["nucleus"])


@pytest.mark.parametrize("angle", [0.3, 1.0, 1.5, 2.2, -0.4, -2.9])
@pytest.mark.parametrize("mirror", [1, -1])
def test_any_pose_comes_out_alike(angle: float, mirror: int) -> None:
    """To what interpolation and the pixels of a mask leave: poses drawn on their own have other pixels."""
    wanted = posed(cell(0.02))
    found = posed(cell(angle, mirror, shift=(5.3, -6.6)))
    difference = np.abs(found.image - wanted.image)
    assert difference.mean() < 0.6
    assert difference.max() < 16  # of 200, on slopes of 14 per pixel
    for name, least in (("cell", 0.93), ("nucleus", 0.85)):  # of about 1800 and 94 pixels
        one, other = found.labels[name] > 0, wanted.labels[name] > 0
        assert (one & other).sum() / (one | other).sum() > least


def test_whole_shifts_come_out_the_same() -> None:
    one = cell(0.4)
    moved = Stack(
        np.roll(one.image, (3, -4), (2, 3)),
        one.channels,
        {k: np.roll(v, (3, -4), (1, 2)) for k, v in one.labels.items()},
    )
    assert np.allclose(posed(moved).image, posed(one).image, rtol=0, atol=1e-3)


@pytest.mark.parametrize("angle", [-1.5, -0.8, 0.0, 0.5, 1.4])
def test_the_major_axis_comes_to_lie_along_x(angle: float) -> None:
    stack = cell(angle)
    _, axes = np.linalg.eigh(np.cov(np.nonzero(stack.labels["cell"][0])))
    along_y, along_x = axes[:, 1]
    assert math.tan(major_axis(stack.labels["cell"])) == pytest.approx(along_y / along_x)
    drawn = Stack(stack.labels["cell"][None].astype(np.float32), ("cell",), stack.labels)
    aligned = align(drawn, labels="cell")
    assert major_axis(aligned.labels["cell"]) == pytest.approx(0, abs=0.02)
    edge = aligned.image.shape[2]
    assert edge == aligned.image.shape[3]
    assert edge % 2 == 0
    assert ndimage.center_of_mass(aligned.image[0, 0]) == pytest.approx([(edge - 1) / 2] * 2, abs=0.02)
    assert centre_of_mass(aligned.labels["cell"]) == pytest.approx([(edge - 1) / 2] * 2, abs=0.5)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (30.0, 40.0)])
def test_nothing_is_cut_off(shift: tuple[float, float]) -> None:
    stack = cell(0.6, shift=shift)
    full = Stack(np.ones_like(stack.image), stack.channels, stack.labels)
    assert align(full, labels="cell", centre="nucleus").image.sum() == pytest.approx(full.image.sum(), rel=1e-3)


def test_turning_is_scipys() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        planes = random.uniform(0, 1, (2, *random.integers(1, 20, 2)))
        angle, shape = random.uniform(-4, 4), tuple(random.integers(1, 25, 2))
        middle = np.array([random.uniform(-2, n + 2) for n in planes.shape[1:]])
        cosine, sine = math.cos(angle), math.sin(angle)
        matrix = np.array([[cosine, sine], [-sine, cosine]])
        offset = middle - matrix @ ((np.array(shape) - 1) / 2)
        smooth, sharp = np.empty((2, *shape)), np.empty((2, *shape))
        _turn_linear(planes, *middle, cosine, sine, smooth)
        _turn_nearest(planes, *middle, cosine, sine, sharp)
        for found, order in ((smooth, 1), (sharp, 0)):
            for one, plane in zip(found, planes, strict=True):
                wanted = ndimage.affine_transform(plane, matrix, offset, shape, order=order, mode="grid-constant")
                assert np.allclose(one, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("planes", [1, 3])
def test_the_nucleus_comes_to_the_middle(planes: int) -> None:
    stack = cell(0.3, shift=(4.4, 7.7), planes=planes)
    found = centre_on(stack, labels="nucleus")
    assert found.image.shape == stack.image.shape
    assert centre_of_mass(found.labels["nucleus"]) == pytest.approx((44.5, 49.5), abs=0.51)
    bright = (stack.image[:, -1] * (stack.labels["nucleus"][-1] > 0)).sum(axis=0)
    assert ndimage.center_of_mass(bright) == pytest.approx(centre_of_mass(stack.labels["nucleus"]), abs=1.5)
    at = centre_of_mass(stack.labels["nucleus"])
    wanted = ndimage.shift(stack.image[0, 0], (44.5 - at[0], 49.5 - at[1]), order=1, mode="grid-constant")
    assert np.allclose(found.image[0, 0], wanted, rtol=0, atol=1e-3)


def test_a_whole_shift_blurs_nothing() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 1, 9, 9), np.uint8)
    spot = np.zeros((1, 9, 9), np.uint8)
    spot[0, 2, 6] = 1
    found = centre_on(Stack(pixels, ("a",), {"spot": spot}), labels="spot")
    assert np.array_equal(found.image[0, 0, 2:, :7], pixels[0, 0, :7, 2:])
    assert not found.image[0, 0, :2].any()
    assert found.labels["spot"][0, 4, 4] == 1


@pytest.mark.parametrize("mirrored", [(), (2,), (3,), (2, 3)])
@pytest.mark.parametrize("channel", [None, "dna"])
def test_the_longer_tail_lies_ahead(mirrored: tuple[int, ...], channel: str | None) -> None:
    one = cell(0.3)
    labels = {name: np.flip(values, [axis - 1 for axis in mirrored]) for name, values in one.labels.items()}
    stack = Stack(np.flip(one.image, mirrored), one.channels, labels)
    found = flip_by_skew(stack, labels="cell", channel=channel)
    weights = (found.labels["cell"] != 0) * (1.0 if channel is None else found.image[0])
    for axis in (1, 2):
        along = weights.sum(axis=tuple({0, 1, 2} - {axis}))
        place = np.repeat(np.arange(len(along)), np.rint(along).astype(int))
        assert ((place - place.mean()) ** 3).mean() > 0
    assert np.array_equal(found.image, flip_by_skew(one, labels="cell", channel=channel).image)


def test_what_is_symmetric_is_not_mirrored() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 1, 31, 20), np.uint8)
    stack = Stack(pixels, ("a",), {"all": np.ones((1, 31, 20), np.uint8)})
    assert np.array_equal(flip_by_skew(stack, labels="all").image, pixels)
    assert skewness(np.ones(31)) == pytest.approx(0, abs=1e-9)


def test_what_has_no_axis_is_not_turned() -> None:
    disk = (np.hypot(*np.mgrid[-10:11, -10:11]) < 8)[None].astype(np.uint8)
    for labels in (disk, np.zeros_like(disk), np.ones((1, 1, 1), np.uint8)):
        assert major_axis(labels) == 0
    assert centre_of_mass(np.zeros((2, 4, 7))) == (1.5, 3)


def test_oblong_pixels_are_refused() -> None:
    stack = cell()
    with pytest.raises(ValueError, match="square pixels"):
        align(Stack(stack.image, stack.channels, stack.labels, (None, 0.3, 0.5)), labels="cell")


def test_unknown_names_are_refused() -> None:
    for operation, keys in (
        (align, {"labels": "x"}),
        (align, {"labels": "cell", "centre": "x"}),
        (centre_on, {"labels": "x"}),
    ):
        with pytest.raises(ValueError, match="no label image 'x'"):
            operation(cell(), **keys)
    with pytest.raises(ValueError, match="no channel 'x'"):
        flip_by_skew(cell(), labels="cell", channel="x")
