"""Memory of this process, from the operating system."""

from __future__ import annotations

import re
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

from flowyml_aws.runtime.meters.reading import MIB

__all__ = ["OwnMemory", "own_memory"]

_STATUS = Path("/proc/self/status")
_FIELDS = re.compile(r"^(VmRSS|VmHWM|RssFile):\s*(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class OwnMemory:
    """Memory of this process.

    Attributes:
        resident_mib: Memory in use.
        peak_mib: Highest memory in use so far.
        files_mib: Part of the memory in use that consists of mapped files, such as libraries.
    """

    resident_mib: float
    peak_mib: float
    files_mib: float = 0.0


def own_memory(status: Path = _STATUS) -> OwnMemory | None:
    """Return the memory of this process; None if the operating system does not report it."""
    try:
        # Not `ru_maxrss`, which on Linux includes the process that started this one.
        text = status.read_text("ascii", errors="replace")
    except OSError:
        if sys.platform != "darwin":
            return None
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB  # bytes on macOS
        return OwnMemory(resident_mib=peak_mib, peak_mib=peak_mib)
    kib = {name: int(value) for name, value in _FIELDS.findall(text)}
    if "VmRSS" not in kib:
        return None
    resident = kib["VmRSS"]
    return OwnMemory(
        resident / 1024, kib.get("VmHWM", resident) / 1024, kib.get("RssFile", 0) / 1024
    )
