"""What codes are drawn from, and how surprising they are."""

import math

import pytest
import torch
from torch.distributions import Normal, Uniform

from distgan.codes import Prior, repeated
from distgan.method import Batch, Step

PRIOR = Prior(5, 2, -1.0, 3.0)


def drawn(count: int, prior: Prior = PRIOR) -> torch.Tensor:
    return prior.drawn(Step(Batch(torch.zeros(1)), 0, seed=3), "codes", count)


def test_codes_are_drawn_as_the_prior_says() -> None:
    codes = drawn(20_000)
    assert codes.shape == (20_000, 7)
    normal, uniform = codes.split([5, 2], 1)
    torch.testing.assert_close(normal.mean(0), torch.zeros(5), atol=0.05, rtol=0)
    torch.testing.assert_close(normal.std(0), torch.ones(5), atol=0.05, rtol=0)
    assert -1 <= uniform.min() < -0.9
    assert 2.9 < uniform.max() < 3
    assert torch.equal(drawn(20_000), codes)


def test_surprise_is_minus_the_log_of_the_density() -> None:
    codes = drawn(50)
    wanted = -Normal(0.0, 1.0).log_prob(codes[:, :5]).sum(1) - Uniform(-1.0, 3.0).log_prob(codes[:, 5:]).sum(1)
    torch.testing.assert_close(PRIOR.surprise(codes), wanted)


@pytest.mark.parametrize("prior", [PRIOR, Prior(100)])
def test_typical_surprise_is_that_of_drawn_codes(prior: Prior) -> None:
    surprise = prior.surprise(drawn(20_000, prior))
    mean, deviation = prior.typical()
    assert surprise.mean().item() == pytest.approx(mean, abs=5 * deviation / math.sqrt(20_000))
    assert surprise.std().item() == pytest.approx(deviation, rel=0.05)


def test_codes_are_cut_where_they_are_uniform() -> None:
    codes = torch.tensor([[9.0, -9, 9, -9, 9, -9, 9]])
    assert PRIOR.inside(codes).tolist() == [[9, -9, 9, -9, 9, -1, 3]]


def test_samples_are_repeated_one_after_another() -> None:
    batch = repeated(Batch(torch.tensor([[1.0], [2.0]]), {"dose": torch.tensor([3.0, 4.0])}), 2)
    assert batch.images.flatten().tolist() == [1, 1, 2, 2]
    assert batch.columns["dose"].tolist() == [3, 3, 4, 4]
