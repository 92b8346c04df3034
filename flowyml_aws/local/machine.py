"""Identity of this machine and of its processes, which does not change with its host name."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

__all__ = ["boot_id", "machine_id", "process_space"]

_LIMIT_S = 5.0


@cache
def machine_id() -> str | None:
    """Return the id of this installation of the operating system (machine-id(5)), if it has one."""
    with suppress(OSError):
        return Path("/etc/machine-id").read_text("ascii", "replace").strip() or None
    return None


@cache
def boot_id() -> str | None:
    """Return an id that is new after each start of this machine; None if the system has none.

    Containers of one machine have the same.
    """
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii", "replace").strip() or None
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        with suppress(OSError, subprocess.SubprocessError):
            ended = subprocess.run(
                command, capture_output=True, text=True, timeout=_LIMIT_S, check=True
            )
            return ended.stdout.strip() or None
    return None


@cache
def process_space() -> str:
    """Return an id of the processes that this one sees: those of a container are others."""
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115  not the path of a file
    return ""
