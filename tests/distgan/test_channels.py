"""Correlations of channels, image by image."""

import numpy as np
import pytest

from distgan.metrics.channels import apart, correlations, pairs


def test_they_are_pearson_s() -> None:
    images = np.random.default_rng(0).normal(size=(4, 3, 6, 5))
    images[:, 1] += images[:, 0]
    found = correlations(images)
    assert pairs(3) == [(0, 1), (0, 2), (1, 2)]
    for image, row in zip(images, found, strict=True):
        assert row == pytest.approx(np.corrcoef(image.reshape(3, -1))[np.triu_indices(3, 1)])


def test_a_constant_channel_has_none_and_does_not_count() -> None:
    images = np.random.default_rng(0).normal(size=(3, 2, 8, 8))
    images[1, 1] = 7
    found = correlations(images)
    assert np.isnan(found[:, 0]).tolist() == [False, True, False]
    assert apart(found[:, 0], found[[0, 2], 0]) == pytest.approx(0)
    assert np.isnan(apart(found[1], found[0]))


def test_one_channel_has_no_pairs() -> None:
    assert correlations(np.ones((2, 1, 4, 4))).shape == (2, 0)
