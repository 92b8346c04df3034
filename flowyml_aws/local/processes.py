"""Runner processes on this machine: known by id and start time, found again, ended."""

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

# Linux tells start times against a boot time in whole seconds, which moves when the clock is set.
_SAME_START_S = 2.0


class ProcessIdentity(Document):
    """A process, told apart from a later one with the same id.

    Attributes:
        started_at: Seconds since the epoch, as the operating system tells it.
    """

    host: str
    pid: int
    started_at: float

    def is_here(self) -> bool:
        return self.host == platform.node()

    def is_alive(self) -> bool:
        """Whether it still runs on this machine; a zombie does not."""
        if not self.is_here():
            return False
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_at) < _SAME_START_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False  # another user's process is none of ours


def this_process() -> ProcessIdentity:
    """The one that asks."""
    return identify(os.getpid())


def identify(pid: int) -> ProcessIdentity:
    """A running process, or a child that nobody has waited for.

    Raises:
        psutil.NoSuchProcess: It is gone.
    """
    started_at = psutil.Process(pid).create_time()
    return ProcessIdentity(host=platform.node(), pid=pid, started_at=started_at)


def find_runner(argument: str) -> ProcessIdentity | None:
    """The runner that was started with this argument, where its starter could not note its id."""
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [""])[-1] == argument:
            with contextlib.suppress(psutil.NoSuchProcess):
                return identify(process.pid)
    return None


def end_processes(processes: Iterable[ProcessIdentity], grace_s: float) -> None:
    """End processes with all their children: SIGTERM, then SIGKILL after a grace.

    An interrupt while it waits cuts the grace short.
    """
    alive = [process for process in processes if process.is_alive()]
    groups = [process.pid for process in alive]  # a runner leads its own group
    for group in groups:
        _signal_group(group, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    try:
        while alive and time.monotonic() < deadline:
            time.sleep(0.02)
            alive = [process for process in alive if process.is_alive()]
    finally:
        # Also where the runner has ended: its children may have ignored the signal.
        for group in groups:
            _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    # macOS denies a signal to a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
