"""One optimizer per network, and its learning rate along the run."""

import math

import torch
from torch import nn

from distgan.sections import Optimizer


def make_optimizer(config: Optimizer, network: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of one network's parameters that may move."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    if config.kind == "adam":
        return torch.optim.Adam(parameters, config.lr, betas=config.betas, fused=True)
    if config.kind == "rmsprop":
        return torch.optim.RMSprop(parameters, config.lr)
    return torch.optim.SGD(parameters, config.lr, momentum=config.betas[0])


def rate_factor(config: Optimizer, images_seen: int, images: int) -> float:
    """By what the learning rate is multiplied for the batch after `images_seen` of `images`, in [0, 1]."""
    progress = min(images_seen / images, 1.0)
    warmth = min((images_seen + 1) / config.warmup_images, 1.0) if config.warmup_images else 1.0
    if config.schedule == "linear":
        return warmth * (1.0 - progress)
    if config.schedule == "cosine":
        return warmth * (0.5 + 0.5 * math.cos(math.pi * progress))
    return warmth
