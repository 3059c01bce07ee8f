"""One optimizer per network, and its learning rate along the run."""

import math
from collections.abc import Callable

import torch
from torch import nn

from distgan.config.sections import Optimizer


def make_optimizer(
    config: Optimizer, network: nn.Module, factor: Callable[[str], float] = lambda _: 1.0
) -> torch.optim.Optimizer:
    """The optimizer of one network's parameters that may move.

    factor: by what the learning rate of a parameter, by its name, is multiplied; each group tells its own as "factor".
    """
    by_factor: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            by_factor.setdefault(factor(name), []).append(parameter)
    groups = [{"params": own, "lr": config.lr * each, "factor": each} for each, own in by_factor.items()]
    if config.kind == "adam":
        return torch.optim.Adam(groups, config.lr, betas=config.betas, fused=True)
    if config.kind == "rmsprop":
        return torch.optim.RMSprop(groups, config.lr)
    return torch.optim.SGD(groups, config.lr, momentum=config.betas[0])


def rate_factor(config: Optimizer, images_seen: int, images: int) -> float:
    """By what the learning rate is multiplied for the batch after `images_seen` of `images`, in [0, 1]."""
    progress = max(min(images_seen / images, 1.0) - config.hold, 0.0) / (1.0 - config.hold)
    warmth = min((images_seen + 1) / config.warmup_images, 1.0) if config.warmup_images else 1.0
    if config.schedule == "linear":
        return warmth * (1.0 - progress)
    if config.schedule == "cosine":
        return warmth * (0.5 + 0.5 * math.cos(math.pi * progress))
    if config.schedule == "staircase":
        return warmth * config.decay ** (images_seen // config.decay_images)
    return warmth
