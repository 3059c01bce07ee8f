"""The whole state of training as named tensors, and its digest.

Weights, running statistics, averages, and every optimizer's memory: what is not here is a function of the
recipe and of how many images were seen.
"""

import hashlib
from collections.abc import Iterator, Mapping
from operator import itemgetter

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from distgan.engine.memory_format import copied
from storage.errors import DataError

State = dict[str, Tensor]


def collect(
    modules: Mapping[str, nn.Module], optimizers: Mapping[str, tuple[nn.Module, Optimizer]], into: State | None = None
) -> State:
    """Every tensor by its name, copied to the CPU: NAME.WEIGHT, optimizer.NETWORK.WEIGHT.KEY.

    into: a state collected before, whose memory is used again: new memory takes five times as long to fill.
    """
    into = into or {}
    return {name: _copied(value, into.get(name)) for name, value in sorted(_tensors(modules, optimizers))}


def checksum(
    modules: Mapping[str, nn.Module], optimizers: Mapping[str, tuple[nn.Module, Optimizer]], device: torch.device
) -> Tensor:
    """One number of 64 bits, on the device, of the bits of every tensor: cheap, to tell apart what should be equal.

    Sums modulo 2^64 of the words of each tensor and of their upper bits, which alone would cancel in pairs; the sums
    of the tensors are folded in the order of their names.
    """
    total = torch.zeros((), dtype=torch.int64, device=device)
    for _, value in sorted(_tensors(modules, optimizers), key=itemgetter(0)):
        octets = value.detach().contiguous().reshape(-1).view(torch.uint8)
        octets = octets if octets.storage_offset() % 8 == 0 else octets.clone()
        whole = octets.numel() // 8 * 8
        words = octets[:whole].view(torch.int64)
        found = words.sum() + 257 * (words >> 29).sum() + 65_537 * octets[whole:].sum(dtype=torch.int64)
        total = total * 1_000_003 + found.to(device)
    return total


def _copied(value: Tensor, place: Tensor | None) -> Tensor:
    """On the CPU, contiguous, and its own: training goes on while it is written."""
    if place is None or place.shape != value.shape or place.dtype != value.dtype:
        place = torch.empty(value.shape, dtype=value.dtype)
    return place.copy_(value.detach())


def bytes_of(value: Tensor) -> memoryview:
    """The memory of a contiguous tensor of the CPU."""
    return memoryview(value.reshape(-1).view(torch.uint8).numpy().data)


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
            # As the optimizer would have made it: on the device (also Adam's step count), and in memory as the weight.
            found = {
                key: copied(value, parameter if value.shape == parameter.shape else value.to(parameter.device))
                for name, value in state.items()
                if (key := name.removeprefix(f"optimizer.{network}.{weight}.")) != name and "." not in key
            }
            if found:
                optimizer.state[parameter] = found


def _tensors(
    modules: Mapping[str, nn.Module], optimizers: Mapping[str, tuple[nn.Module, Optimizer]]
) -> Iterator[tuple[str, Tensor]]:
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            yield f"{name}.{key}", value
    yield from _memories(optimizers)


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
        total.update(bytes_of(value))
    for name, count in sorted(counters.items()):
        total.update(f"{name} {count}\n".encode())
    return total.hexdigest()


def first_nonfinite(state: Mapping[str, Tensor]) -> str | None:
    """The name of a tensor that is not all finite numbers, if there is one."""
    return next((k for k, v in state.items() if v.is_floating_point() and not torch.isfinite(v).all()), None)
