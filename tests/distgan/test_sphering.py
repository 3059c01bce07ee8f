"""Sphering and batch correction by what they promise of controls."""

import numpy as np
import pytest

from distgan.metrics.sphering import sphering
from distgan.metrics.tvn import typical_variation_normalised
from storage.errors import DataError


def skewed(count: int, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    """Correlated features of very different units."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(8, 8)) * np.logspace(0, 3, 8)
    return random.normal(size=(count, 8)) @ mixing + shift


def test_controls_have_the_identity_as_covariance() -> None:
    controls = skewed(400)
    found = sphering(controls)
    np.testing.assert_allclose(np.cov(found(controls), rowvar=False), np.eye(8), atol=5e-4)
    np.testing.assert_allclose(found(controls).mean(0), 0, atol=1e-9)
    assert found.rank == 8


def test_features_keep_their_axes_and_their_type() -> None:
    controls = np.random.default_rng(0).normal(size=(2000, 3)) * (1, 10, 100)
    found = sphering(controls)(controls.astype(np.float32))
    assert found.dtype == np.float32
    assert all(np.corrcoef(found[:, one], controls[:, one])[0, 1] > 0.99 for one in range(3))


def test_turning_the_features_first_does_not_change_who_is_near() -> None:
    controls, others = skewed(400), skewed(20, seed=1)
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(8, 8)))

    def cosines(controls: np.ndarray, others: np.ndarray) -> np.ndarray:
        found = sphering(controls)(others)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        return found @ found.T

    np.testing.assert_allclose(cosines(controls, others), cosines(controls @ turn, others @ turn), atol=1e-5)


def test_too_few_controls_are_told_by_their_rank() -> None:
    assert sphering(skewed(5), 1.0).rank == 4


def test_batches_are_made_alike_by_their_controls() -> None:
    """The second batch is the first, moved and stretched: after the correction a cell is where its twin is."""
    cells = np.random.default_rng(0).normal(size=(600, 4))
    stretched = cells * (1.0, 1.2, 0.8, 1.1) + (5, 0, -3, 1)
    values = np.vstack([cells, stretched])
    batches = np.repeat(["1", "2"], 600)
    controls = np.tile(np.arange(600) < 400, 2)
    found = typical_variation_normalised(values, batches, controls)
    before = np.abs(values[:600] - values[600:]).mean()
    assert np.abs(found[:600] - found[600:]).mean() < 0.05 * before
    for batch in ("1", "2"):
        np.testing.assert_allclose(found[controls & (batches == batch)].mean(0), 0, atol=1e-9)


def test_the_spread_of_a_batch_is_that_of_the_others() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(2000, 4)) * np.repeat([[1.0], [3.0]], 1000, axis=0)
    batches, controls = np.repeat(["1", "2"], 1000), np.full(2000, True)

    def ratio(found: np.ndarray) -> float:
        return float(found[1000:].std() / found[:1000].std())

    sphered, corrected = sphering(values)(values), typical_variation_normalised(values, batches, controls)
    assert ratio(sphered) == pytest.approx(3, rel=0.1)
    assert ratio(corrected) < 2.2  # not 1: CORAL adds 1 to variances that are 0.2 and 1.8
    assert ratio(corrected) == pytest.approx(3 * (1.2 / 2.8) ** 0.5, rel=0.1)


def test_a_batch_without_controls_is_named() -> None:
    with pytest.raises(DataError, match="batch 2"):
        typical_variation_normalised(skewed(6), np.array(list("111122")), np.arange(6) < 4)
