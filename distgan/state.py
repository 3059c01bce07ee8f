"""The whole state of training as named tensors, and its digest.

Weights, running statistics, averages, and every optimizer's memory: what is not here is a function of the
recipe and of how many images were seen.
"""

import hashlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from storage.errors import DataError

State = dict[str, Tensor]


def collect(modules: Mapping[str, nn.Module], optimizers: Mapping[str, tuple[nn.Module, Optimizer]]) -> State:
    """Every tensor by its name, on the CPU: NAME.WEIGHT, optimizer.NETWORK.WEIGHT.KEY."""
    state = {f"{name}.{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}
    state |= dict(_memories(optimizers))
    return {name: value.detach().cpu().contiguous() for name, value in sorted(state.items())}


def restore(
    state: Mapping[str, Tensor],
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, tuple[nn.Module, Optimizer]],
) -> None:
    """Put a collected state back.

    Raises DataError: it has not the tensors, or not the shapes, that these networks have.
    """
    for name, module in modules.items():
        own = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
        try:
            module.load_state_dict(own)
        except RuntimeError as error:
            raise DataError(
                "the checkpoint is of other networks",
                str(error).splitlines()[-1].strip(),
                "Give the recipe it came from",
            ) from None
    for network, (module, optimizer) in optimizers.items():
        for weight, parameter in module.named_parameters():
            # Also Adam's step count goes to the device: the fused kernel reads it there.
            found = {
                key: value.clone().to(parameter.device)
                for name, value in state.items()
                if (key := name.removeprefix(f"optimizer.{network}.{weight}.")) != name and "." not in key
            }
            if found:
                optimizer.state[parameter] = found


def _memories(optimizers: Mapping[str, tuple[nn.Module, Optimizer]]) -> Iterator[tuple[str, Tensor]]:
    for network, (module, optimizer) in optimizers.items():
        for weight, parameter in module.named_parameters():
            for key, value in optimizer.state.get(parameter, {}).items():
                yield f"optimizer.{network}.{weight}.{key}", value


def digest(state: Mapping[str, Tensor], counters: Mapping[str, int]) -> str:
    """SHA-256 of the tensors and counters, by sorted name: equal states have equal digests."""
    total = hashlib.sha256()
    for name, value in sorted(state.items()):
        total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        total.update(value.reshape(-1).view(torch.uint8).numpy().data)
    for name, count in sorted(counters.items()):
        total.update(f"{name} {count}\n".encode())
    return total.hexdigest()


def first_nonfinite(state: Mapping[str, Tensor]) -> str | None:
    """The name of a tensor that is not all finite numbers, if there is one."""
    return next((k for k, v in state.items() if v.is_floating_point() and not torch.isfinite(v).all()), None)
