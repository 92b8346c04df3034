"""Use of the machine by a container, from the kernel's control groups.

Source: https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/{cpuacct,memory}.html
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from flowyml_aws.runtime.meters.own_memory import own_memory
from flowyml_aws.runtime.meters.reading import MIB, ProcessReading

__all__ = ["CGROUPS", "ContainerMeter", "is_main_process"]

CGROUPS = Path("/sys/fs/cgroup")
_INIT = 1


def is_main_process() -> bool:
    """Return whether this process is the main one of its container, or started by its init."""
    return _INIT in (os.getpid(), os.getppid())


@dataclass(frozen=True, slots=True)
class _Files:
    """Files of one version of control groups, relative to the root.

    Attributes:
        io: File with the bytes that each device has read and written.
        inactive, active: Fields of `memory_stat` with the page cache.
    """

    cpu: str
    memory: str
    memory_stat: str
    io: str
    inactive: str
    active: str
    read_cpu_s: Callable[[str], float]
    read_io: Callable[[str], Iterator[tuple[int, int]]]


class ContainerMeter:
    """Measures all processes of this container, with a few small files.

    Memory does not include the page cache: the kernel frees it when a process needs memory.

    Raises:
        FileNotFoundError: The container can't see its control groups.
    """

    def __init__(self, root: Path = CGROUPS) -> None:
        self._root = root
        self._files = next(files for files in _VERSIONS if (root / files.memory).exists())
        self.read()

    @classmethod
    def find(cls, root: Path = CGROUPS) -> ContainerMeter | None:
        """Return a meter, or None if this container can't see its control groups."""
        try:
            return cls(root)
        except (OSError, StopIteration, ValueError):
            return None

    def prepare(self) -> None:
        """No-op."""

    def glance(self) -> ProcessReading:
        """Return the use so far, without the disk."""
        files = self._files
        memory = int(self._text(files.memory))
        cache = sum(
            int(value)
            for name, value in _fields(self._text(files.memory_stat))
            if name in (files.inactive, files.active)
        )
        own = own_memory()
        return ProcessReading(
            cpu_s=files.read_cpu_s(self._text(files.cpu)),
            children_cpu_s=0.0,  # included
            memory_mib=max(0, memory - cache) / MIB,
            peak_mib=None if own is None else own.peak_mib - own.files_mib,
        )

    def read(self) -> ProcessReading:
        """Return the use so far."""
        return replace(self.glance(), disk_mib=self._disk_mib())

    def _disk_mib(self) -> tuple[float, float] | None:
        try:
            totals = list(self._files.read_io(self._text(self._files.io)))
        except (OSError, ValueError):  # the kernel does not count it
            return None
        return sum(read for read, _ in totals) / MIB, sum(written for _, written in totals) / MIB

    def _text(self, file: str) -> str:
        return (self._root / file).read_text("ascii")


def _fields(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        yield name, value


def _cpu_s_v2(text: str) -> float:
    return int(dict(_fields(text))["usage_usec"]) / 1e6


def _cpu_s_v1(text: str) -> float:
    return int(text) / 1e9


def _io_v2(text: str) -> Iterator[tuple[int, int]]:
    # `8:0 rbytes=90112 wbytes=0 rios=5 …`
    for line in text.splitlines():
        values = dict(field.partition("=")[::2] for field in line.split()[1:])
        yield int(values.get("rbytes", 0)), int(values.get("wbytes", 0))


def _io_v1(text: str) -> Iterator[tuple[int, int]]:
    # `8:0 Read 90112`, `8:0 Write 0`, …, `Total 90112`
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] == "Read":
            yield int(words[2]), 0
        elif len(words) == 3 and words[1] == "Write":
            yield 0, int(words[2])


_VERSIONS = (
    _Files(
        cpu="cpu.stat",
        memory="memory.current",
        memory_stat="memory.stat",
        io="io.stat",
        inactive="inactive_file",
        active="active_file",
        read_cpu_s=_cpu_s_v2,
        read_io=_io_v2,
    ),
    _Files(
        cpu="cpuacct/cpuacct.usage",
        memory="memory/memory.usage_in_bytes",
        memory_stat="memory/memory.stat",
        io="blkio/blkio.throttle.io_service_bytes",
        inactive="total_inactive_file",
        active="total_active_file",
        read_cpu_s=_cpu_s_v1,
        read_io=_io_v1,
    ),
)
