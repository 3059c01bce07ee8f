"""What a GPU's driver tells, with all of it, with half, with faults, and without a GPU; the driver is replaced."""

import logging
from types import SimpleNamespace

import pynvml
import pytest
import torch

from distgan.monitoring.gpu import SLOWED, Gpu, gpu_of


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What NVML says; an exception is raised."""
    said = SimpleNamespace(celsius=61, milliwatts=412_500, errors=0, reasons=0, uuids=[])

    def telling(name: str) -> object:
        def tell(*asked: object) -> object:
            value = getattr(said, name)
            if isinstance(value, Exception):
                raise value
            return value

        return tell

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: said.uuids.append(uuid) or "handle")
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTemperature", telling("celsius"))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetPowerUsage", telling("milliwatts"))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEccErrors", telling("errors"))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCurrentClocksEventReasons", telling("reasons"))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="abc"))
    return said


def test_without_a_gpu_there_is_nothing_and_no_error() -> None:
    assert gpu_of(torch.device("cpu")).metrics() == {}


def test_without_a_driver_there_is_nothing_and_no_error(
    driver: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> None:
        raise pynvml.NVMLError_LibraryNotFound

    monkeypatch.setattr(pynvml, "nvmlInit", absent)
    assert Gpu(torch.device("cuda", 0)).metrics() == {}


def test_all_that_is_told(driver: SimpleNamespace) -> None:
    assert Gpu(torch.device("cuda", 1)).metrics() == {
        "system/gpu_celsius": 61,
        "system/gpu_watt": 412.5,
        "system/gpu_ecc_errors": 0,
        "system/gpu_slowed": 0,
    }
    assert driver.uuids == ["GPU-abc"]


def test_what_is_not_told_is_left_out(driver: SimpleNamespace) -> None:
    driver.errors = driver.milliwatts = pynvml.NVMLError_NotSupported()
    assert Gpu(torch.device("cuda", 0)).metrics().keys() == {"system/gpu_celsius", "system/gpu_slowed"}


@pytest.mark.parametrize("reason", SLOWED)
def test_a_gpu_that_is_slowed_down_is_named_once(
    driver: SimpleNamespace, caplog: pytest.LogCaptureFixture, reason: str
) -> None:
    gpu = Gpu(torch.device("cuda", 0))
    driver.reasons = getattr(pynvml, reason)
    with caplog.at_level(logging.WARNING):
        assert [gpu.metrics()["system/gpu_slowed"] for _ in range(3)] == [1, 1, 1]
    assert caplog.messages == [f"the GPU has a fault: it is slowed down: {SLOWED[reason]}"]
    driver.reasons = 0
    assert gpu.metrics()["system/gpu_slowed"] == 0


def test_a_limit_of_power_that_is_reached_is_no_fault(
    driver: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    driver.reasons = pynvml.nvmlClocksEventReasonSwPowerCap
    assert Gpu(torch.device("cuda", 0)).metrics()["system/gpu_slowed"] == 0
    assert caplog.messages == []


def test_errors_of_memory_are_told_when_there_are_more(
    driver: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    gpu = Gpu(torch.device("cuda", 0))
    for driver.errors in (0, 2, 2, 3):
        gpu.metrics()
    assert [text.split(": ")[1][:1] for text in caplog.messages] == ["2", "3"]
