"""Drawing: what each function promises of its numbers."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from storage.drawing import blur, expose, filaments, philox, scattered, smooth_noise, speckle, splat, step


def test_blur_is_the_gaussian_that_wraps() -> None:
    image = philox(0).normal(size=(3, 20, 31))
    expected = np.stack([gaussian_filter(plane, (2, 3), mode="wrap", truncate=8) for plane in image])
    np.testing.assert_allclose(blur(image, (2, 3)), expected, atol=2e-3)
    assert blur(image, (2, 3)).sum() == pytest.approx(image.sum())


def test_keys_name_the_random_numbers() -> None:
    first = philox(1, 2).normal(size=4)
    np.testing.assert_array_equal(philox(1, 2).normal(size=4), first)
    assert not np.isin(philox(2, 1).normal(size=4), first).any()


def test_noise_is_standard_and_speckle_keeps_the_light() -> None:
    noise = smooth_noise(philox(0), (64, 64), (3, 3))
    assert noise.mean() == pytest.approx(0, abs=1e-9)
    assert noise.std() == pytest.approx(1)
    assert np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1] > 0.9
    patches = speckle(philox(0), (64, 64), (3, 3), 0.5)
    assert patches.mean() == pytest.approx(1)
    assert np.log(patches).std() == pytest.approx(0.5)


def test_step_goes_from_none_to_all() -> None:
    np.testing.assert_allclose(step(np.array([-1e9, 0.2, 1e9]), 0.2, 0.1), (0, 0.5, 1), atol=1e-9)


def test_scattered_places_keep_apart() -> None:
    def nearest(tries: int) -> float:
        places = scattered(philox(0), 40, (100, 50), tries)
        assert places.shape == (40, 2)
        assert (places >= 0).all()
        assert (places < (100, 50)).all()
        apart = np.linalg.norm(places[:, None] - places, axis=2)
        return float((apart + 1e9 * np.eye(40)).min())

    assert nearest(30) > 3 * nearest(1)


def test_filaments_go_half_a_pixel_a_step() -> None:
    paths = filaments(philox(0), np.zeros((5, 2)), np.zeros(5), 20, 0.2)
    assert paths.shape == (5, 20, 2)
    np.testing.assert_allclose(np.linalg.norm(np.diff(paths, axis=1), axis=2), 0.5)
    straight = filaments(philox(0), np.zeros((1, 2)), np.zeros(1), 20, 0)
    np.testing.assert_allclose(straight[0, -1], (0, 10))


def test_splat_adds_what_is_inside() -> None:
    points = np.array([(0, 1), (0.2, 1.4), (2, 0), (3, 0), (-1, 0)])
    np.testing.assert_array_equal(splat(points, np.arange(1.0, 6), (3, 2)), ((0, 3), (0, 0), (3, 0)))


def test_the_camera_adds_offset_and_shot_noise() -> None:
    light = np.full((300, 300), 400.0)
    counts = expose(philox(0), light, np.uint16, offset=100, gain=4, noise=3)
    assert counts.dtype == np.uint16
    assert counts.mean() == pytest.approx(500, rel=0.01)
    assert counts.std() == pytest.approx(np.sqrt(4 * 400 + 9), rel=0.03)
    assert expose(philox(0), light, np.uint8, offset=0, gain=4, noise=3).max() == 255
