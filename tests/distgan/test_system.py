"""What training takes of the machine, with a GPU, with half of what a GPU tells, and without one."""

import math

import pytest
import torch

from distgan.monitoring.system import System

OWN = {"system/memory_mib", "system/cpu_cores"}


def test_without_a_gpu_there_is_this_process_alone() -> None:
    system = System(torch.device("cpu"))
    sum(number * number for number in range(100_000))
    found = system.metrics()
    assert found.keys() == OWN
    assert found["system/memory_mib"] > 20
    assert found["system/cpu_cores"] >= 0
    assert all(math.isfinite(value) for value in found.values())


def test_of_a_gpu_its_memory_and_use_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(torch.cuda, "device_memory_used", lambda device: asked.append(device) or 3 * 2**30)
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: asked.append(device) or 87)
    found = System(torch.device("cuda", 1)).metrics()
    assert (found["system/gpu_memory_mib"], found["system/gpu_use"]) == (3072, 0.87)
    assert asked == [torch.device("cuda", 1)] * 2


def test_what_a_driver_does_not_tell_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from pynvml import NVMLError_NotSupported

    def silent(device: torch.device) -> int:
        raise NVMLError_NotSupported

    monkeypatch.setattr(torch.cuda, "device_memory_used", lambda device: 2**20)
    monkeypatch.setattr(torch.cuda, "utilization", silent)
    assert System(torch.device("cuda", 0)).metrics().keys() == OWN | {"system/gpu_memory_mib"}
