"""Use of NVIDIA GPUs, from their driver.

Source: https://docs.nvidia.com/deploy/nvml-api/
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from flowyml_aws.runtime.meters.reading import MIB, GpuReading

__all__ = ["GpuMeter", "open_gpus"]

_DRIVER = Path("/dev/nvidiactl")


class GpuMeter:
    """Reads the GPUs that this container sees.

    Args:
        nvml: The module `pynvml`.
    """

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        nvml.nvmlInit()
        self._handles = [
            nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())
        ]
        self._without_percent: set[int] = set()

    def read(self) -> tuple[GpuReading, ...]:
        return tuple(map(self._read, range(len(self._handles))))

    def _read(self, index: int) -> GpuReading:
        handle = self._handles[index]
        memory_mib = self._nvml.nvmlDeviceGetMemoryInfo(handle).used / MIB
        percent: float | None = None
        if index not in self._without_percent:
            try:
                percent = float(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
            except self._nvml.NVMLError:  # not supported with MIG
                self._without_percent.add(index)
        return GpuReading(percent, memory_mib)


def open_gpus(driver: Path = _DRIVER) -> GpuMeter | None:
    """Return a meter of the GPUs, or None on a machine without NVIDIA's driver.

    Raises:
        ImportError: nvidia-ml-py is not installed.
        Exception: The driver reports an error.
    """
    if not driver.exists():
        return None
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError as error:
        raise ImportError("the image lacks nvidia-ml-py, the extra `gpu` of flowyml-aws") from error
    return GpuMeter(nvml)
