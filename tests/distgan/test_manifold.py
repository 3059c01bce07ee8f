"""Precision, recall, density and coverage of planted samples, and block by block."""

import numpy as np
import pytest

from distgan.metrics import distances as module
from distgan.metrics.distances import squared_distances
from distgan.metrics.kid import Features
from distgan.metrics.manifold import manifold


def sample(count: int, seed: int, centre: float = 0.0) -> Features:
    return np.random.default_rng(seed).normal(centre, 1, (count, 6))


def two_modes(count: int, seed: int) -> Features:
    return np.concatenate([sample(count, seed, -20), sample(count, seed + 1, 20)])


def by_hand(made: Features, real: Features, neighbours: int) -> tuple[float, float, float, float]:
    def reach(of: Features) -> Features:
        return np.sort(np.linalg.norm(of[:, None] - of, axis=2), 1)[:, neighbours]

    between = np.linalg.norm(real[:, None] - made, axis=2)
    inside = between <= reach(real)[:, None]
    recalled = between <= reach(made)
    return inside.any(0).mean(), recalled.any(1).mean(), inside.sum() / neighbours / len(made), inside.any(1).mean()


@pytest.mark.parametrize("neighbours", [1, 3, 5])
def test_it_is_what_the_definitions_say(neighbours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made, real = sample(40, 0, 0.7), sample(33, 1)
    monkeypatch.setattr(module, "BLOCK_BYTES", 8 * 33 * 7)  # several blocks, the last of them short
    assert tuple(vars(manifold(made, real, neighbours)).values()) == pytest.approx(by_hand(made, real, neighbours))


def test_samples_of_the_same_distribution_are_as_they_should_be() -> None:
    found = manifold(sample(500, 0), sample(500, 1))
    assert min(found.precision, found.recall, found.coverage) > 0.85
    assert 0.9 < found.density < 1.1


def test_a_dropped_mode_costs_recall_and_coverage_and_no_precision() -> None:
    found = manifold(sample(200, 5, 20), two_modes(100, 0))
    assert found.precision > 0.9
    assert found.recall <= 0.5
    assert found.coverage <= 0.5


def test_samples_beside_the_real_ones_cost_precision() -> None:
    found = manifold(np.concatenate([sample(100, 3), sample(100, 4, 50)]), sample(200, 0))
    assert 0.4 < found.precision < 0.55
    assert found.coverage > 0.7


def test_one_image_again_and_again_has_no_recall() -> None:
    real = sample(200, 0)
    found = manifold(np.repeat(real[:1], 200, 0), real)
    assert found.precision == 1
    assert found.recall <= 0.01
    assert found.coverage < 0.2


def test_a_neighbourhood_needs_neighbours() -> None:
    with pytest.raises(ValueError, match="5 neighbours"):
        manifold(sample(5, 0), sample(9, 1))


def test_distances_far_from_nought_keep_their_digits() -> None:
    one = sample(5, 0) + 1e6
    (_, found), *others = squared_distances(one, one[::-1])
    assert not others
    assert found == pytest.approx(((one[:, None] - one[::-1]) ** 2).sum(2), abs=1e-6)
