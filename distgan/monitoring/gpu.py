"""What a GPU's driver tells of it: its heat, its power, its errors of memory, and whether it is slowed down."""

import contextlib
import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

LOGGER = logging.getLogger(__name__)
SLOWED = {
    "nvmlClocksEventReasonHwThermalSlowdown": "it is too hot",
    "nvmlClocksEventReasonSwThermalSlowdown": "it is too hot",
    "nvmlClocksEventReasonHwPowerBrakeSlowdown": "its power supply asks for it",
    "nvmlClocksEventReasonHwSlowdown": "its hardware asks for it",
}
"""NVML's reasons for a clock below the usual that somebody should look after; a power limit that is reached is none."""


class Gpu:
    """One device, as NVML sees it.  Where there is none, or its driver is silent, there are no figures and no error."""

    def __init__(self, device: torch.device) -> None:
        self.told: set[str] = set()
        self.handle: Any = None
        if device.type != "cuda":
            return
        import pynvml

        with contextlib.suppress(pynvml.NVMLError, RuntimeError, AttributeError):
            pynvml.nvmlInit()
            uuid = str(torch.cuda.get_device_properties(device).uuid)
            self.handle = pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}")

    def metrics(self) -> dict[str, float]:
        """Figures by name, of those that the driver tells.

        system/gpu_celsius: its temperature.  system/gpu_watt: the power it draws.  system/gpu_ecc_errors: uncorrected
        errors of its memory since the driver was loaded.  system/gpu_slowed: 1 while heat or its supply slow it down,
        which is also told once as a warning, as are the errors.
        """
        if self.handle is None:
            return {}
        import pynvml

        found: dict[str, float] = {}
        asked: dict[str, Callable[[], float]] = {
            "system/gpu_celsius": lambda: pynvml.nvmlDeviceGetTemperature(self.handle, pynvml.NVML_TEMPERATURE_GPU),
            "system/gpu_watt": lambda: pynvml.nvmlDeviceGetPowerUsage(self.handle) / 1000,
            "system/gpu_ecc_errors": lambda: pynvml.nvmlDeviceGetTotalEccErrors(
                self.handle, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
            ),
            "system/gpu_slowed": lambda: float(bool(self._slowed_by())),
        }
        for name, ask in asked.items():
            with contextlib.suppress(pynvml.NVMLError):  # a slice of a GPU tells less, a small one has no ECC
                found[name] = float(ask())
        if errors := found.get("system/gpu_ecc_errors"):
            self._tell(f"{errors:.0f} uncorrected errors of memory; have it looked after, and do not trust the run")
        return found

    def _slowed_by(self) -> list[str]:
        import pynvml

        bits = pynvml.nvmlDeviceGetCurrentClocksEventReasons(self.handle)
        why = sorted({said for name, said in SLOWED.items() if bits & getattr(pynvml, name)})
        if why:
            self._tell(f"it is slowed down: {', '.join(why)}")
        return why

    def _tell(self, what: str) -> None:
        if what not in self.told:
            self.told.add(what)
            LOGGER.warning("the GPU has a fault: %s", what)


@cache
def gpu_of(device: torch.device) -> Gpu:
    """The same for all of this process, so that a fault is told once."""
    return Gpu(device)
