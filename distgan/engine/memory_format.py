"""In which order the numbers of a weight lie in memory: `[run] memory_format`.

Fused optimizers go through a weight, its gradient and its moments by address. Where those lie in another order than the
weight, they update it wrongly, and say nothing.
"""

import torch
from torch import Tensor, nn

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def put_channels_last(module: nn.Module) -> None:
    """Let the weights of convolutions lie with the channels last; their shapes and numbers stay."""
    for weight in module.parameters():
        if weight.ndim in CHANNELS_LAST:
            weight.data = weight.data.contiguous(memory_format=CHANNELS_LAST[weight.ndim])


def flat(value: Tensor, like: Tensor) -> Tensor:
    """The numbers of a value in the order in which those of `like`, of the same shape, lie in memory."""
    if like.is_contiguous():
        return value.reshape(-1)
    if value.stride() != like.stride():
        value = copied(value, like)
    return value.as_strided((value.numel(),), (1,))


def unflat(numbers: Tensor, like: Tensor) -> Tensor:
    """The value whose `flat` is this; it shares its memory."""
    return numbers.as_strided(like.shape, like.stride())


def copied(value: Tensor, like: Tensor) -> Tensor:
    """A copy of a value, that lies in memory and on the device as `like`, of the same shape, does."""
    return torch.empty_like(like, dtype=value.dtype, requires_grad=False).copy_(value)
