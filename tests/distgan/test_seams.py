"""Seams that were planted are seen."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from distgan.metrics.seams import Seams, seams

SHAPE, TILE, UNIT = (2, 512, 384), (128, 64), 16


@pytest.fixture
def texture() -> NDArray[np.float64]:
    """Smooth noise, on a pattern that repeats every 16 pixels."""
    random = np.random.default_rng(0)
    smooth = np.stack([ndimage.gaussian_filter(one, 2) for one in random.normal(size=SHAPE)])
    return smooth + 0.1 * (np.arange(SHAPE[2]) % UNIT == 0)


def of(image: NDArray[np.float64]) -> Seams:
    return seams(np.split(image, 4, 1), image.shape, TILE, UNIT)


def test_nothing_is_seen_where_nothing_is(texture: NDArray[np.float64]) -> None:
    found = of(texture)
    assert found.gradient == pytest.approx(1, abs=0.05)
    assert abs(found.gradient_z) < 3
    assert abs(found.jump_z) < 3


def test_lines_are_seen(texture: NDArray[np.float64]) -> None:
    texture[:, :: TILE[0]] *= 2
    assert of(texture).gradient_z > 3


def test_tiles_of_another_brightness_are_seen_by_their_jump(texture: NDArray[np.float64]) -> None:
    random = np.random.default_rng(1)
    offsets = np.kron(random.normal(0, 0.05, (4, 6)), np.ones(TILE))
    found = of(texture + offsets)
    assert found.jump_z > 3
    assert found.jump_z > 2 * found.gradient_z


def test_bands_of_another_height_are_the_same_image(texture: NDArray[np.float64]) -> None:
    whole = seams([texture], texture.shape, TILE, UNIT)
    assert of(texture).gradient == pytest.approx(whole.gradient)


def test_too_few_borders_are_refused(texture: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="2 borders"):
        seams([texture], texture.shape, (512, 384), UNIT)
