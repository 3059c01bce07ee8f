"""Losses against numbers worked by hand."""

import pytest
import torch
from torch import Tensor, nn

from distgan.losses import (
    cross_entropy,
    gaussian_divergence,
    gaussian_surprise,
    gradient_penalty,
    least_squares,
    r1_penalty,
    wasserstein_critic,
    wasserstein_generator,
    weight_decay,
)
from distgan.method import Normalisation
from distgan.networks.rosette import Critic


class Linear(nn.Module):
    """Scores w . x."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight


def batch(seed: int, count: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """real, fake, mix."""
    random = torch.Generator().manual_seed(seed)
    real, fake = torch.randn(2, count, 1, 32, 32, generator=random, dtype=torch.float64)
    return real, fake, torch.rand(count, 1, 1, 1, generator=random, dtype=torch.float64)


def critic(norm: Normalisation) -> Critic:
    torch.manual_seed(0)
    return Critic(1, 32, 4, norm, 0.1).double()


def published(critic: nn.Module, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """The penalty as it is usually written."""
    between = (mix * real + (1 - mix) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return ((slope.flatten(1).square().sum(1) + 1e-10).sqrt() - 1).square().mean()


def gradients(loss: Tensor, network: nn.Module) -> tuple[Tensor, ...]:
    moving = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return torch.autograd.grad(loss, moving, allow_unused=True, materialize_grads=True)


def test_the_critic_lowers_fake_and_raises_real_scores() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([5.0, 7.0])
    assert wasserstein_critic(real, fake).item() == 4.0
    assert wasserstein_critic(fake, real).item() == -4.0


def test_the_generator_raises_the_scores_of_what_it_makes() -> None:
    assert wasserstein_generator(torch.tensor([5.0, 7.0])).item() == -6.0


@pytest.mark.parametrize("length", [0.0, 0.25, 1.0, 3.0])
def test_the_penalty_of_a_linear_critic_is_its_slope_minus_one_squared(length: float) -> None:
    weight = torch.zeros(1024, dtype=torch.float64)
    weight[[3, 700]] = torch.tensor([0.6, -0.8], dtype=torch.float64) * length
    found = gradient_penalty(Linear(weight), *batch(0))
    assert found.item() == pytest.approx((length - 1) ** 2, abs=3e-5 if length == 0 else 1e-9)


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_the_penalty_and_its_gradients_are_those_of_autograd(norm: Normalisation) -> None:
    one, other = critic(norm), critic(norm)
    ours, theirs = gradient_penalty(one, *batch(1)), published(other, *batch(1))
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)
    for mine, its in zip(gradients(ours, one), gradients(theirs, other), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-7, atol=1e-10)


def test_the_penalty_is_taken_between_real_and_fake() -> None:
    """x^2 has slope 2x: at mix 1 that of real images, at mix 0 that of fake ones."""

    class Square(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1).square().sum(1)

    real, fake = torch.zeros(2, 1, 1, 2), torch.full((2, 1, 1, 2), 2.0)
    for mix, slope in ((1.0, 0.0), (0.0, 32**0.5), (0.5, 8**0.5)):
        found = gradient_penalty(Square(), real, fake, torch.full((2, 1, 1, 1), mix))
        assert found.item() == pytest.approx((slope - 1) ** 2, abs=1e-4)


def test_the_penalty_leaves_running_statistics_as_they_were() -> None:
    network = critic("batch")
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    gradient_penalty(network, *batch(2))
    assert before
    for name, buffer in network.named_buffers():
        assert torch.equal(buffer, before[name]), name
    network(batch(2)[0])  # as a plain pass does not
    assert any(not torch.equal(buffer, before[name]) for name, buffer in network.named_buffers())


def test_r1_is_half_the_squared_slope_at_real_images() -> None:
    """x^3 has slope 3x^2, at 2 in each of two pixels 12."""

    class Cube(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1).pow(3).sum(1)

    assert r1_penalty(Cube(), torch.full((3, 1, 1, 2), 2.0)).item() == pytest.approx(0.5 * 2 * 12**2)
    assert r1_penalty(Cube(), torch.zeros(3, 1, 1, 2)).item() == 0.0


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_r1_and_its_gradients_are_those_of_autograd(norm: Normalisation) -> None:
    one, other, real = critic(norm), critic(norm), batch(3)[0]
    given = real.clone().requires_grad_()
    (slope,) = torch.autograd.grad(other(given).sum(), given, create_graph=True)
    ours, theirs = r1_penalty(one, real), 0.5 * slope.flatten(1).square().sum(1).mean()
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)
    for mine, its in zip(gradients(ours, one), gradients(theirs, other), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-7, atol=1e-10)


def test_weight_decay_is_half_the_squared_norm_of_weights_but_not_of_offsets_or_what_is_skipped() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        network[0].bias.fill_(100.0)
        network[2].weight.fill_(10.0)
    assert weight_decay(network, skip=network[2]).item() == 15.0
    assert weight_decay(network, skip=network[0]).item() == 100.0


def test_cross_entropy_and_least_squares_are_those_of_each_score_and_its_target() -> None:
    scores, targets = torch.tensor([0.0, 2.0]), torch.tensor([1.0, 0.8])
    right = torch.sigmoid(scores)
    wanted = -(targets * right.log() + (1 - targets) * (1 - right).log()).mean()
    assert cross_entropy(scores, targets).item() == pytest.approx(wanted.item())
    assert cross_entropy(scores, 0.0).item() == pytest.approx(-(1 - right).log().mean().item())
    assert least_squares(scores, targets).item() == pytest.approx((1 + 1.44) / 2)
    assert least_squares(scores, 1.0).item() == pytest.approx(1)


def test_gaussian_losses_are_those_of_torch() -> None:
    torch.manual_seed(0)
    values, mean, log_variance = torch.randn(3, 5, 4)
    given = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    divergence = torch.distributions.kl_divergence(given, torch.distributions.Normal(0.0, 1.0))
    assert gaussian_divergence(mean, log_variance).item() == pytest.approx(divergence.sum(1).mean().item())
    surprise = -given.log_prob(values).sum(1).mean()
    assert gaussian_surprise(values, mean, log_variance).item() == pytest.approx(surprise.item())
