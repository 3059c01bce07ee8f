"""What else decides the last bits: a fingerprint of the numerics, kept with every checkpoint.

The same recipe gives the same bits on any number of workers, but not with another number of threads, another
torch or another processor. A run that goes on elsewhere is told so, or refused if it must be exact.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from distgan.config.run_config import AnyRun
from storage.errors import DataError

LOGGER = logging.getLogger(__name__)
Fingerprint = dict[str, Any]
"""JSON values by name."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Within, torch computes on one thread, for the number changes bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fingerprint(config: AnyRun, device: torch.device) -> Fingerprint:
    """Of this process, once its threads and its determinism are set."""
    found: Fingerprint = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "oneDNN": torch.backends.mkldnn.is_available() and bool(torch.backends.mkldnn.enabled),
        "CPU capability": torch.backends.cpu.get_cpu_capability(),
        "device": device.type,
        "float32 precision": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": config.run.precision,
        "memory format": config.run.memory_format,
        "compile": config.run.compile,
        "virtual shards": config.run.virtual_shards,
        "reduction": config.run.reduction,
    }
    if device.type == "cuda":
        found |= {
            "device": torch.cuda.get_device_name(device),
            "compute capability": ".".join(map(str, torch.cuda.get_device_capability(device))),
            "CUDA": torch.version.cuda,
            "cuDNN": torch.backends.cudnn.version(),
            "TF32": torch.backends.cudnn.allow_tf32,
        }
    return found


def differences(then: Fingerprint, now: Fingerprint) -> list[str]:
    """Each as `threads 1 -> 2`; what only one of the two knows is not compared."""
    return [f"{name} {then[name]} -> {now[name]}" for name in then if name in now and then[name] != now[name]]


def check(path: Path, then: Fingerprint, now: Fingerprint, *, strict: bool) -> None:
    """Compare a checkpoint's fingerprint with this process's: a warning if they differ.

    Raises DataError: they differ, and `strict` allows no other bits.
    """
    changed = ", ".join(differences(then, now))
    if changed and strict:
        raise DataError(
            f"{path.name} cannot be gone on from to the same bits",
            f"{changed} since it was written",
            "Give it what it had, or leave out --strict",
        )
    if changed:
        LOGGER.warning("going on from %s continues, not bit-identical: %s", path.name, changed)
