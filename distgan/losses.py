"""Losses and penalties: functions of tensors, each with its equation. Randomness comes in as an argument."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    """E[D(G(z))] - E[D(x)], which the critic lowers (Arjovsky et al. 2017, eq. 2).

    real, fake: scores, N.  Returns a scalar: minus the estimated distance.
    """
    return fake.float().mean() - real.float().mean()


def wasserstein_generator(fake: Tensor) -> Tensor:
    """-E[D(G(z))], which the generator lowers (Arjovsky et al. 2017, eq. 3).  fake: scores, N."""
    return -fake.float().mean()


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor, mix: Tensor, *given: Any) -> Tensor:
    """E[(|grad D(x)| - 1)^2] at x between real and fake images (Gulrajani et al. 2017, eq. 3).

    real, fake: N C H W.  mix: N 1 1 1 in [0, 1], the place between them.  given: what else the critic is told.
    Returns a scalar, unweighted.
    """
    # The root has no derivative at 0; the published code adds the same 1e-10.
    norm = (_slope(critic, mix * real + (1 - mix) * fake, *given) + 1e-10).sqrt()
    return (norm - 1).square().mean()


def r1_penalty(critic: nn.Module, real: Tensor) -> Tensor:
    """E[|grad D(x)|^2] / 2 at real images x: R1 of Mescheder et al. 2018, eq. 9; its weight is their gamma.

    real: N C H W.  Returns a scalar, unweighted.
    """
    return 0.5 * _slope(critic, real).mean()


def _slope(critic: nn.Module, images: Tensor, *given: Any) -> Tensor:
    """|grad D(x)|^2 of each of the images N C H W; N.

    With batch normalisation in the critic the slope of one score depends on the other samples too; it
    is then that of their sum, as in the published code. Running statistics are left as they were.
    """
    parameters = dict(critic.named_parameters())
    buffers = {name: buffer.clone() for name, buffer in critic.named_buffers()}

    def total(images: Tensor, buffers: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(critic, {**parameters, **buffers}, (images, *given)).sum()

    # torch.func, not autograd.grad: it compiles. Buffers are an argument because captured ones may
    # not be written to inside the transform.
    return torch.func.grad(total)(images, buffers).flatten(1).square().sum(1)


def weight_decay(network: nn.Module, skip: nn.Module) -> Tensor:
    """Half the squared norm of all weights of two or more dimensions, but those of `skip`; a scalar, unweighted."""
    skipped = {id(parameter) for parameter in skip.parameters()}
    weights = [p for p in network.parameters() if p.ndim > 1 and id(p) not in skipped]
    return 0.5 * torch.stack([weight.square().sum() for weight in weights]).sum()


def cross_entropy(scores: Tensor, targets: Tensor | float) -> Tensor:
    """-E[t log s(D) + (1 - t) log (1 - s(D))], s the sigmoid (Goodfellow et al. 2014, eq. 1 and section 3).

    scores: N, before the sigmoid.  targets: N in [0, 1], or one for all.  Returns a scalar.
    """
    scores = scores.float()
    return F.binary_cross_entropy_with_logits(scores, _targets(scores, targets))


def least_squares(scores: Tensor, targets: Tensor | float) -> Tensor:
    """E[(D - t)^2] (Mao et al. 2017, eq. 2, twice as much).  scores: N.  targets: N, or one for all."""
    scores = scores.float()
    return F.mse_loss(scores, _targets(scores, targets))


def _targets(scores: Tensor, targets: Tensor | float) -> Tensor:
    return targets if isinstance(targets, Tensor) else torch.full_like(scores, targets)


def gaussian_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) | N(0, 1)), summed over dimensions (Kingma and Welling 2014, appendix B).

    mean, log_variance: N D.  Returns the mean over N, a scalar.
    """
    mean, log_variance = mean.float(), log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()


def gaussian_surprise(values: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """-log N(values; mean, variance), summed over dimensions.  All N D.  Returns the mean over N, a scalar."""
    mean, log_variance = mean.float(), log_variance.float()
    squares = (values - mean).square() * (-log_variance).exp()
    return 0.5 * (squares + log_variance + math.log(2 * math.pi)).sum(1).mean()
