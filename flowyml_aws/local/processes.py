"""Runner processes on this machine: identifying, finding and ending them."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import time
from collections.abc import Iterable

import psutil

from flowyml_aws.artifacts.documents import Document

__all__ = ["ProcessIdentity", "end_processes", "find_runner", "identify", "this_process"]

# Linux start times are relative to a boot time in whole seconds, which moves with the clock.
_SAME_START_S = 2.0


class ProcessIdentity(Document):
    """Identity of a process, different from that of a later process with the same id.

    Attributes:
        started_at: Start time in seconds since the epoch, as reported by the operating system.
    """

    host: str
    pid: int
    started_at: float

    def is_here(self) -> bool:
        return self.host == platform.node()

    def is_alive(self) -> bool:
        """Return whether it still runs on this machine; a zombie does not."""
        if not self.is_here():
            return False
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_at) < _SAME_START_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False  # the process of another user


def this_process() -> ProcessIdentity:
    """Return the identity of the current process."""
    return identify(os.getpid())


def identify(pid: int) -> ProcessIdentity:
    """Return the identity of a running process, or of a child not yet waited for.

    Raises:
        psutil.NoSuchProcess: No such process exists.
    """
    started_at = psutil.Process(pid).create_time()
    return ProcessIdentity(host=platform.node(), pid=pid, started_at=started_at)


def find_runner(argument: str) -> ProcessIdentity | None:
    """Find a runner by its argument, if its client died before it recorded the process id."""
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [""])[-1] == argument:
            with contextlib.suppress(psutil.NoSuchProcess):
                return identify(process.pid)
    return None


def end_processes(processes: Iterable[ProcessIdentity], grace_s: float) -> None:
    """End processes and all their children: SIGTERM, then SIGKILL after a grace period.

    An interrupt during the grace period cuts it short.
    """
    alive = [process for process in processes if process.is_alive()]
    groups = [process.pid for process in alive]  # each runner leads its own process group
    for group in groups:
        _signal_group(group, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    try:
        while alive and time.monotonic() < deadline:
            time.sleep(0.02)
            alive = [process for process in alive if process.is_alive()]
    finally:
        # Even if the runner has ended: its children may have ignored the signal.
        for group in groups:
            _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    # macOS denies a signal to a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
