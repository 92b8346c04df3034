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
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_at) < 0.1
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def this_process() -> ProcessIdentity:
    """The one that asks."""
    return identify(os.getpid())


def identify(pid: int) -> ProcessIdentity:
    """A running process.

    Raises:
        psutil.NoSuchProcess: It is gone.
    """
    started_at = psutil.Process(pid).create_time()
    return ProcessIdentity(host=platform.node(), pid=pid, started_at=started_at)


def find_runner(argument: str) -> ProcessIdentity | None:
    """The runner that was started with this argument, where its starter could not note its id."""
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [""])[-1] == argument:
            return identify(process.pid)
    return None


def end_processes(processes: Iterable[ProcessIdentity], grace_s: float) -> None:
    """End processes with all their children: SIGTERM, then SIGKILL after a grace."""
    alive = [process for process in processes if process.is_alive()]
    for process in alive:
        _signal_group(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while alive and time.monotonic() < deadline:
        time.sleep(0.02)
        alive = [process for process in alive if process.is_alive()]
    for process in alive:
        _signal_group(process.pid, signal.SIGKILL)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)  # a runner leads its own group
