"""What training takes of the machine: memory and cores of this process, memory and use of its GPU."""

import contextlib

import psutil
import torch

from distgan.monitoring.gpu import gpu_of


class System:
    """The figures of this process and of the device it trains on."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.process = psutil.Process()
        self.process.cpu_percent()  # it counts from the call before

    def metrics(self) -> dict[str, float]:
        """Figures by name; of a GPU only what its driver tells, and without one nothing.

        system/memory_mib: resident, of this process.  system/cpu_cores: cores kept busy since the last call.
        system/gpu_memory_mib: taken on the device, by whomever.  system/gpu_use: share of the last moment, 0 to 1, in
        which it computed.  Also those of `monitoring.gpu`.
        """
        own = {
            "system/memory_mib": self.process.memory_info().rss / 2**20,
            "system/cpu_cores": self.process.cpu_percent() / 100,
        }
        return own | (self._gpu() if self.device.type == "cuda" else {})

    def _gpu(self) -> dict[str, float]:
        from pynvml import NVMLError  # torch asks it, and knows which of its devices is ours

        found = {}
        with contextlib.suppress(NVMLError, RuntimeError, ImportError):
            found["system/gpu_memory_mib"] = torch.cuda.device_memory_used(self.device) / 2**20
        with contextlib.suppress(NVMLError, RuntimeError, ImportError):  # a slice of a GPU does not tell its use
            found["system/gpu_use"] = torch.cuda.utilization(self.device) / 100
        return found | gpu_of(self.device).metrics()
