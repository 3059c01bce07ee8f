"""Average precision against scikit-learn's, its chance, and the replicates it must find."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from distgan.metrics import average_precision
from distgan.metrics.average_precision import average_precisions, by_chance, replicates


def test_as_scikit_learn_has_it() -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(50, 30))
    wanted = random.random((50, 30)) < 0.2
    wanted[:, 0] = True
    oracle = [average_precision_score(mask, row) for mask, row in zip(wanted, scores, strict=True)]
    np.testing.assert_allclose(average_precisions(scores, wanted), oracle)


def test_chance_is_the_average_precision_of_random_scores() -> None:
    random = np.random.default_rng(0)
    wanted = np.zeros((4000, 20), np.bool_)
    wanted[:, :3] = True
    shuffled = average_precisions(random.random((4000, 20)), wanted)
    drawn = by_chance(3, 20, 4000, random)
    assert drawn.mean() == pytest.approx(shuffled.mean(), abs=0.01)
    np.testing.assert_allclose(np.quantile(drawn, [0.1, 0.5, 0.9]), np.quantile(shuffled, [0.1, 0.5, 0.9]), atol=0.03)


def screen(effect: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """20 treatments of 4 wells, and 40 controls; the first ten treatments do something."""
    random = np.random.default_rng(1)
    names = np.append(np.repeat([f"t{number}" for number in range(20)], 4), ["DMSO"] * 40)
    means = np.repeat(random.normal(size=(20, 10)) * effect, 4, axis=0)
    means[40:] = 0
    values = random.normal(size=(120, 10))
    values[:80] += means
    return values, names, names == "DMSO"


@pytest.mark.parametrize("against", ["controls", "others"])
def test_treatments_with_an_effect_find_their_replicates(against: average_precision.Against) -> None:
    found = replicates(*screen(4.0), against=against)
    assert found.names.tolist() == [f"t{number}" for number in range(20)]
    assert (found.replicates == 4).all()
    assert (found.p_values[:10] < 0.05).all()
    assert (found.p_values[10:] < 0.05).sum() <= 1
    assert found.means[:10].min() > found.means[10:].max()


def test_other_treatments_count_only_where_they_are_asked_for() -> None:
    """By hand: of two treatments that are alike, each knows itself from the controls, not from the other."""
    values = np.array([[1, 0.1], [1, 0.3], [1, 0.2], [1, 0.0], [-1, 0], [-1, 0.1]])
    names = np.array(["a", "a", "b", "b", "DMSO", "DMSO"])
    from_controls = replicates(values, names, names == "DMSO", "controls", samples=10)
    assert from_controls.means.tolist() == [1, 1]
    from_others = replicates(values, names, names == "DMSO", "others", samples=10)
    # a: .1 has b's .2 and .0 before its .3, or level; so a third and a half
    assert (from_others.means < 1).all()


@pytest.mark.parametrize("against", ["controls", "others"])
def test_blocks_change_nothing(against: average_precision.Against, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where a block would end within a treatment."""
    whole = replicates(*screen(1.0), against=against, samples=50)
    monkeypatch.setattr("distgan.metrics.average_precision.BLOCK_VALUES", 6 * 120)
    np.testing.assert_allclose(replicates(*screen(1.0), against=against, samples=50).means, whole.means)


def test_a_treatment_of_one_profile_is_not_asked() -> None:
    values, names, controls = screen(1.0)
    names[0] = "alone"
    found = replicates(values, names, controls, samples=10)
    assert "alone" not in found.names
    assert len(found.names) == 20
    assert np.isfinite(found.means).all()
