"""Classical features: their number, what they see, and what they do not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from distgan.metrics.classical import OF_CHANNEL, classical, size

AREA, ECCENTRICITY = 5, 6
RINGS, OPENINGS, TEXTURE = slice(10, 14), slice(14, 19), slice(19, 32)
Image = NDArray[np.float64]


def ellipse(y_px: float, x_px: float, light: float = 0.8) -> Image:
    """32 x 32, with those half axes."""
    y, x = np.indices((32, 32)) - 15.5
    return light * ((y / y_px) ** 2 + (x / x_px) ** 2 <= 1)


def measured(*channels: Image) -> NDArray[np.float32]:
    return classical(np.stack(channels)[None])[0]


def test_there_are_as_many_as_said() -> None:
    images = np.random.default_rng(0).uniform(size=(4, 3, 32, 32))
    found = classical(images)
    assert found.shape == (4, size(3)) == (4, 3 * OF_CHANNEL + 3)
    assert np.isfinite(found).all()


def test_an_empty_image_has_features_that_are_numbers() -> None:
    assert np.isfinite(measured(np.zeros((32, 32)), np.ones((32, 32)))).all()


def test_size_and_shape_are_those_of_the_object() -> None:
    small, large, long = (measured(ellipse(*axes)) for axes in ((5, 5), (9, 9), (5, 12)))
    assert small[AREA] == pytest.approx(np.pi * 25, rel=0.1)
    assert large[AREA] == pytest.approx(np.pi * 81, rel=0.1)
    assert long[ECCENTRICITY] > 0.85 > 0.3 > small[ECCENTRICITY]


def test_light_further_out_is_in_other_rings() -> None:
    small, large = (measured(ellipse(one, one))[RINGS] for one in (4, 14))
    assert small[0] > 0.8
    assert large[2:].sum() > 0.5
    assert small.sum() == pytest.approx(1, abs=0.01)


def test_openings_take_what_is_narrower_than_they_are() -> None:
    spots = np.zeros((32, 32))
    spots[4::8, 4::8] = 1.0
    assert measured(spots)[OPENINGS].tolist() == [1, 0, 0, 0, 0]
    assert measured(ellipse(8, 8))[OPENINGS].sum() < 0.2


def test_texture_tells_fine_from_coarse_at_the_same_light() -> None:
    fine, coarse = (np.kron(np.indices((32 // one, 32 // one)).sum(0) % 2, np.ones((one, one))) for one in (1, 8))
    found = [measured(0.25 + 0.5 * one) for one in (fine, coarse)]
    np.testing.assert_allclose(found[0][:4], found[1][:4], atol=1e-6)
    assert abs(found[0][TEXTURE] - found[1][TEXTURE]).max() > 0.3


def test_channels_that_agree_are_correlated() -> None:
    one, other = ellipse(8, 8), ellipse(3, 10)
    assert measured(one, 0.5 * one)[-1] == pytest.approx(1)
    assert measured(one, 1 - one)[-1] == pytest.approx(-1)
    assert -1 < measured(one, other)[-1] < 1
