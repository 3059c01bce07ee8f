"""Spectra of noise, waves, blurred images and checkerboards."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from distgan.metrics import spectrum as module
from distgan.metrics.spectrum import log_distance, radial_spectrum


def noise(count: int = 60, channels: int = 1, edge: int = 32, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(3, 1, (count, channels, edge, edge))


def test_white_noise_is_flat_at_its_variance() -> None:
    found = radial_spectrum(2 * noise(300))
    assert found.power[0] == pytest.approx(4, rel=0.15)
    assert found.frequencies[[0, -1]] == pytest.approx((1 / 32, 0.5))


@pytest.mark.parametrize("shape", [(32, 32), (24, 32), (33, 32)])
def test_a_wave_is_at_its_frequency(shape: tuple[int, int]) -> None:
    wave = np.broadcast_to(np.sin(2 * np.pi * np.arange(shape[1]) / 4), (1, 1, *shape))
    found = radial_spectrum(wave)
    assert found.frequencies[found.power[0].argmax()] == pytest.approx(0.25, abs=0.02)


def test_batches_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise(10, 2)
    whole = radial_spectrum(images)
    monkeypatch.setattr(module, "IMAGES", 3)
    assert radial_spectrum(images).power == pytest.approx(whole.power)


def test_blur_is_a_large_distance_and_in_its_channel_alone() -> None:
    real, made = noise(channels=2), noise(channels=2, seed=1)
    made[:, 1] = ndimage.gaussian_filter(made[:, 1], (0, 1, 1))
    sharp, blurred = log_distance(radial_spectrum(made), radial_spectrum(real))
    assert sharp < 1
    assert blurred > 10


def test_a_checkerboard_shows_at_the_highest_frequencies() -> None:
    y, x = np.mgrid[:32, :32]
    smooth = ndimage.gaussian_filter(noise(), (0, 0, 2, 2))
    plain, board = radial_spectrum(smooth), radial_spectrum(smooth + 0.1 * (x % 2))
    ratio = board.power[0] / plain.power[0]
    assert ratio[-1] > 100 * ratio[:8].max()
    assert y.shape == (32, 32)


def test_constant_images_have_a_distance_all_the_same() -> None:
    found = log_distance(radial_spectrum(np.zeros((3, 1, 16, 16))), radial_spectrum(noise(edge=16)))
    assert np.isfinite(found).all()
    assert found > 100
