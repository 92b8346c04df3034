"""Measurements: from files of the kernel, psutil, and a driver that is a small class here."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from flowyml_aws.runtime.meters.container import ContainerMeter
from flowyml_aws.runtime.meters.gpus import GpuMeter, open_gpus
from flowyml_aws.runtime.meters.machine import MachineMeter
from flowyml_aws.runtime.meters.network import network_mib
from flowyml_aws.runtime.meters.own_memory import own_memory
from flowyml_aws.runtime.meters.processes import ProcessMeter
from flowyml_aws.runtime.meters.reading import (
    GpuReading,
    ProcessReading,
    Reading,
    values_between,
)

MIB = 2**20
VERSION_2 = {
    "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n",
    "memory.current": f"{900 * MIB}\n",
    "memory.stat": f"anon 1\ninactive_file {300 * MIB}\nactive_file {100 * MIB}\n",
    "io.stat": f"8:0 rbytes={3 * MIB} wbytes={MIB} rios=5 wios=1 dbytes=0 dios=0\n"
    f"259:1 rbytes={MIB} wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n",
}
VERSION_1 = {
    "cpuacct/cpuacct.usage": "2500000000\n",
    "memory/memory.usage_in_bytes": f"{900 * MIB}\n",
    "memory/memory.stat": f"inactive_file 1\ntotal_inactive_file {300 * MIB}\n"
    f"total_active_file {100 * MIB}\n",
    "blkio/blkio.throttle.io_service_bytes": f"8:0 Read {4 * MIB}\n8:0 Write {MIB}\n"
    f"8:0 Sync 0\n8:0 Total {5 * MIB}\nTotal {5 * MIB}\n",
}


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize("files", [VERSION_2, VERSION_1], ids=["version 2", "version 1"])
def test_a_container_is_measured_without_its_page_cache(
    tmp_path: Path, files: dict[str, str]
) -> None:
    meter = ContainerMeter.find(written(tmp_path, files))
    assert meter is not None
    reading = meter.read()
    assert reading.cpu_s == 2.5
    assert reading.memory_mib == 500
    assert reading.disk_mib == (4, 1)


def test_a_kernel_may_not_count_the_disk(tmp_path: Path) -> None:
    files = {name: text for name, text in VERSION_2.items() if name != "io.stat"}
    meter = ContainerMeter.find(written(tmp_path, files))
    assert meter is not None
    assert meter.read().disk_mib is None


def test_a_container_that_does_not_see_its_control_groups_has_no_meter(tmp_path: Path) -> None:
    assert ContainerMeter.find(tmp_path) is None


def test_a_process_is_measured_before_psutil_is_imported() -> None:
    reading = ProcessMeter().read()
    assert reading.cpu_s > 0
    assert reading.memory_mib > 1
    assert reading.children_cpu_s is None


def test_a_process_and_its_children_are_measured() -> None:
    meter = ProcessMeter()
    meter.prepare()
    reading = meter.read()
    assert reading.children_cpu_s is not None
    assert reading.memory_mib > 1


def test_memory_is_read_from_the_status_of_the_process(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmHWM:\t 4096 kB\nVmRSS:\t 2048 kB\nRssFile:\t 1024 kB\n")
    memory = own_memory(status)
    assert memory is not None
    assert (memory.resident_mib, memory.peak_mib, memory.files_mib) == (2, 4, 1)


def test_traffic_between_containers_does_not_count_twice(tmp_path: Path) -> None:
    devices = tmp_path / "dev"
    numbers = f"{2 * MIB} 1 0 0 0 0 0 0 {MIB} 1 0 0 0 0 0 0"
    devices.write_text(f"head\nhead\n    lo: {numbers}\n  eth0: {numbers}\nveth1a: {numbers}\n")
    assert network_mib(devices) == (2, 1)


class FakeNvml:
    """The part of `pynvml` that is used, for two GPUs; one is split by MIG."""

    class NVMLError(Exception):
        pass

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(used=(handle + 1) * 1024 * MIB)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        if handle == 1:
            raise self.NVMLError("Not Supported")
        return SimpleNamespace(gpu=87, memory=40)


def test_each_gpu_has_its_utilization_and_memory() -> None:
    assert GpuMeter(FakeNvml()).read() == (GpuReading(87.0, 1024), GpuReading(None, 2048))


def test_a_machine_without_a_driver_has_no_gpus(tmp_path: Path) -> None:
    assert open_gpus(tmp_path / "nvidiactl") is None


def without(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)


def test_a_gpu_without_nvidia_ml_py_is_missing_and_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    without(monkeypatch, "pynvml")
    meter = MachineMeter(ProcessMeter(), lambda: open_gpus(tmp_path))
    meter.prepare()
    meter.prepare()
    assert meter.read().gpus == ()
    (reason,) = [each for each in meter.missing if each.startswith("GPUs")]
    assert "nvidia-ml-py" in reason
    assert capfd.readouterr().err.count("nvidia-ml-py") == 1


def test_without_psutil_the_process_is_still_measured(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    without(monkeypatch, "psutil")
    meter = MachineMeter(ProcessMeter(), lambda: None)
    meter.prepare()
    assert meter.read().process.memory_mib > 1
    assert any("psutil" in reason for reason in meter.missing)
    assert "psutil" in capfd.readouterr().err


class BrokenMeter:
    def prepare(self) -> None:
        pass

    def read(self) -> ProcessReading:
        raise OSError("no such device")

    glance = read


def test_an_error_in_a_measurement_leaves_out_its_quantity(
    capfd: pytest.CaptureFixture[str],
) -> None:
    meter = MachineMeter(BrokenMeter(), lambda: None)
    meter.read()
    meter.read()
    assert meter.missing[0] == "processor and memory: OSError: no such device"
    assert capfd.readouterr().err.count("no such device") == 1


def process_at(cpu_s: float, children_cpu_s: float | None, peak_mib: float = 0) -> ProcessReading:
    return ProcessReading(cpu_s, children_cpu_s, memory_mib=10, peak_mib=peak_mib)


def test_the_time_of_a_child_that_ends_counts_once() -> None:
    before = Reading(0.0, process_at(1.0, 4.0))
    after = Reading(10.0, process_at(6.0, 0.0))
    assert after.cpu_s_since(before) == 1.0


def test_a_peak_counts_in_the_time_in_which_it_was() -> None:
    start, end, later = (
        Reading(0.0, process_at(0, 0, peak_mib)) for peak_mib in (100.0, 900.0, 900.0)
    )
    assert end.peak_mib_since(start) == 900
    assert later.peak_mib_since(end) == 10


def test_series_are_differences_per_second() -> None:
    before = Reading(0.0, ProcessReading(1.0, 0.0, 100, disk_mib=(0, 10)), (5, 5), ())
    after = Reading(
        2.0, ProcessReading(4.0, 0.0, 120, disk_mib=(6, 8)), (7, 5), (GpuReading(50, 300),)
    )
    assert values_between(before, after) == {
        "cpu_cores": 1.5,
        "memory_mib": 120,
        "disk_read_mib_s": 3,
        "disk_write_mib_s": 0,
        "network_in_mib_s": 1,
        "network_out_mib_s": 0,
        "gpu0_percent": 50,
        "gpu0_memory_mib": 300,
    }
