"""The two-sample test tells what differs from what does not, by each critic, and its statistics are the paper's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from distgan.metrics import two_sample as tests
from distgan.metrics.two_sample import Kind, Scores, Test, drawn_from, matrix, of_channels, two_sample
from storage.errors import DataError

QUICK = Test(steps=30, width=4, rate=3e-3, batch=16, splits=2, passes=2)
KINDS: tuple[Kind, ...] = ("wgan_gp", "wgan", "cross_entropy")


def images(count: int, seed: int, mean: float = 0.0, channels: int = 2) -> Tensor:
    noise = torch.randn(count, channels, 12, 16, generator=torch.Generator().manual_seed(seed))
    return (0.3 * noise + mean).clamp(-1, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_what_differs_scores_higher_than_what_does_not(kind: Kind) -> None:
    real, test = images(60, 0), replace(QUICK, kind=kind)
    same, other = (two_sample(real, drawn_from(images(80, 1, mean)), test) for mean in (0.0, 0.6))
    assert same.values.shape == same.aucs.shape == (2, 1)
    assert other.values.min() > same.values.max()
    assert other.aucs.min() > 0.95
    assert 0.2 < same.aucs.mean() < 0.8


def test_the_score_is_minus_what_the_critic_lowers_with_the_penalty() -> None:
    """One that cannot tell has a distance of about 0, and a slope that is not 1."""
    score = two_sample(images(60, 0), drawn_from(images(80, 1)), replace(QUICK, steps=1))
    assert score.values.max() < -1


def test_the_same_test_has_the_same_scores_and_each_split_others() -> None:
    real, made, test = images(40, 0), drawn_from(images(40, 1)), replace(QUICK, steps=5, repeats=2)
    one = two_sample(real, made, test)
    torch.manual_seed(7)
    again = two_sample(real, made, test)
    assert np.array_equal(one.values, again.values)
    assert len(set(one.values.ravel())) == 4
    assert not np.array_equal(one.values, two_sample(real, made, replace(test, seed=1)).values)


def test_each_image_tested_counts_once_and_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of the last, smaller batch; only their half is looked at, and the critic never learned from it."""
    real = torch.arange(21.0).view(21, 1, 1, 1).expand(21, 1, 8, 8)
    seen: dict[bool, list[float]] = {True: [], False: []}

    def loss(critic: torch.nn.Module, real: Tensor, fake: Tensor, *_: object) -> Tensor:
        values = real[:, 0, 0, 0]
        seen[critic.training] += values.tolist()
        return values.mean() + 0 * critic(real).sum()

    monkeypatch.setattr(tests, "_loss", loss)
    test = replace(QUICK, splits=1, passes=3, batch=4)
    found = two_sample(real, drawn_from(real), test)
    assert not set(seen[True]) & set(seen[False])
    assert sorted(seen[False]) == sorted(3 * sorted(set(seen[False])))
    assert set(seen[True]) | set(seen[False]) == set(range(21))
    assert found.values.item() == pytest.approx(-np.mean(seen[False]), rel=1e-5)


def test_groups_are_not_divided() -> None:
    groups = np.repeat(["f1", "f2", "f3", "f4"], 10)
    for seed in range(5):
        half = tests._half(groups, seed)
        assert half.sum() == 20
        assert all(half[groups == name].all() or not half[groups == name].any() for name in set(groups))
    with pytest.raises(DataError, match="1 groups"):
        two_sample(images(40, 0), drawn_from(images(40, 1)), QUICK, ["f1"] * 40)


def test_images_to_learn_from_are_not_those_to_be_tested_with() -> None:
    made = torch.arange(10.0).view(10, 1, 1, 1)
    draw = drawn_from(made)
    even, odd = set(draw(200, 4).flatten().tolist()), set(draw(200, 7).flatten().tolist())
    assert even == {0, 2, 4, 6, 8}
    assert odd == {1, 3, 5, 7, 9}
    assert torch.equal(draw(50, 4), draw(50, 4))
    assert not torch.equal(draw(50, 4), draw(50, 6))


def test_what_is_made_is_asked_for_by_other_numbers_each_time() -> None:
    asked: list[int] = []

    def made(count: int, number: int) -> Tensor:
        asked.append(number)
        return images(count, number)

    two_sample(images(20, 0), made, replace(QUICK, steps=3, repeats=2, batch=4))
    assert len(set(asked)) == len(asked)


def test_the_red_channel_by_itself_does_not_see_green() -> None:
    real, made = images(40, 0), images(40, 1)
    made[:, 1] += 0.6
    both = two_sample(real, drawn_from(made), QUICK)
    red = two_sample(real[:, :1], of_channels(drawn_from(made), (0,)), QUICK)
    assert both.aucs.min() > 0.9 > 0.8 > red.aucs.max()


def test_the_matrix_is_lowest_for_a_class_with_itself_and_look_alikes_are_nearer_than_others() -> None:
    means = {"a": 0.0, "twin": 0.2, "c": 0.8}
    train = {name: images(60, seed, mean) for seed, (name, mean) in enumerate(means.items())}
    test = {name: images(40, 9 + seed, mean) for seed, (name, mean) in enumerate(means.items())}
    once = replace(QUICK, splits=1)
    found = {pair: scores.summary()["median"] for pair, scores in matrix(train, test, once, None).items()}
    assert len(found) == 9
    assert found["a", "a"] < found["a", "twin"] < found["a", "c"]
    assert found["c", "c"] < found["c", "twin"] < found["c", "a"]


def test_the_summary_has_median_and_mad_mean_and_sd() -> None:
    values = np.array([[1.0], [2.0], [4.0], [100.0]])
    summary = Scores(values, np.full((4, 1), 0.75)).summary()
    assert summary == {
        "median": 3.0,
        "mad": 1.5,
        "mean": 26.75,
        "sd": pytest.approx(np.std(values, ddof=1)),
        "auc": 0.75,
    }
