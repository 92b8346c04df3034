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
from flowyml_aws.local.machine import boot_id, machine_id, process_space

__all__ = [
    "ProcessIdentity",
    "end_group",
    "end_processes",
    "find_runner",
    "identify",
    "kill_groups",
    "this_process",
]

# Linux start times are relative to a boot time in whole seconds, which moves with the clock.
_SAME_START_S = 2.0


class ProcessIdentity(Document):
    """Identity of a process, different from that of a later process with the same id.

    Attributes:
        host: Host name of its machine, which may change.
        started_at: Start time in seconds since the epoch, as reported by the operating system.
        machine: Id of the machine, or None if it has none.
        boot: Id of the start of the machine, or None if it has none.
        space: Id of the processes that the process sees: those of its container.
    """

    host: str
    pid: int
    started_at: float
    machine: str | None = None
    boot: str | None = None
    space: str = ""

    def is_here(self) -> bool:
        """Return whether it would be visible to this process if it were alive."""
        if self.boot is None or boot_id() is None:
            return self.host == platform.node()
        if self.boot == boot_id():
            return self.space == process_space()
        # The same machine after a restart. Containers of one image may share the id of a machine.
        is_same = self.machine is not None and self.machine == machine_id()
        return is_same and self.host == platform.node()

    def is_alive(self) -> bool:
        """Return whether it still runs on this machine; a zombie does not."""
        if not self.is_here() or (self.boot is not None and self.boot != boot_id()):
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
    return ProcessIdentity(
        host=platform.node(),
        pid=pid,
        started_at=started_at,
        machine=machine_id(),
        boot=boot_id(),
        space=process_space(),
    )


def find_runner(argument: str) -> ProcessIdentity | None:
    """Find a runner by its argument, if its client died before it recorded the process id."""
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [""])[-1] != argument:
            continue
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(process.pid) == process.pid:  # otherwise it is another node of the job
                return identify(process.pid)
    return None


def end_processes(processes: Iterable[ProcessIdentity], grace_s: float) -> None:
    """End processes and all their children: SIGTERM, then SIGKILL after a grace period.

    An interrupt during the grace period cuts it short.
    """
    alive = [process for process in processes if process.is_alive()]
    signalled = list(alive)
    try:
        for process in signalled:
            _signal_group(process.pid, signal.SIGTERM)
            # A stopped process receives no other signal.
            _signal_group(process.pid, signal.SIGCONT)
        deadline = time.monotonic() + grace_s
        while alive and time.monotonic() < deadline:
            time.sleep(0.02)
            alive = [process for process in alive if process.is_alive()]
    finally:
        # Even if the runner has ended: its children may have ignored the signal.
        kill_groups(process.pid for process in signalled)


def kill_groups(leaders: Iterable[int]) -> None:
    """Kill all processes of the groups that these processes lead, as each runner does."""
    for leader in leaders:
        _signal_group(leader, signal.SIGKILL)


def end_group(leader: int, grace_s: float) -> None:
    """End what is left of the group of a process that has ended: SIGTERM, then SIGKILL.

    Args:
        leader: Process id of the process, which led the group.
        grace_s: Maximum seconds to wait until the group is empty.
    """
    if not _signal_group(leader, signal.SIGTERM):
        return
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline:
        time.sleep(0.02)
        if not _signal_group(leader, 0):
            return
    _signal_group(leader, signal.SIGKILL)


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to a group. Return whether it has processes."""
    # macOS denies a signal to a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        return True
    return False
