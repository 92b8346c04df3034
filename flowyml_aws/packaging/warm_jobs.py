"""Warm starts of jobs on this machine: forks of a process with their imports."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from flowyml_aws.core.modules import installation_times
from flowyml_aws.warm.openblas import ONE_THREAD
from flowyml_aws.warm.starter import RUNNER_MODULE, WarmProcess, WarmStarter

__all__ = ["JOBS", "WarmJobs", "signals_in"]

# Imported by most jobs on this machine, but only once they know their spec.
_IMPORTED = ("flowyml_aws.local.directory", "flowyml_aws.code.states")
# Modules that Python imports when it starts.
_AT_START = ("sitecustomize.py", "usercustomize.py")
_WAIT_S = 0.2  # as long as a new Python needs at least to import the runner
_ANSWER_S = 1.0
# Different in each job, and not read before the runner reads them.
_OWN_VARIABLES = frozenset({"FLOWYML_ATTEMPT", "FLOWYML_REPETITIONS"})
# Lines of /proc/self/status about what a new process inherits.
_INHERITED = ("Umask", "Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "Cap")
_SIGNALS = ("SigBlk:", "SigIgn:")


@dataclass(frozen=True, slots=True)
class _Settings:
    """Everything that a new process gets, and that forks of an earlier one must have, too.

    Attributes:
        environment: Variables of all jobs.
        inherited: Properties of this process that new processes inherit.
    """

    environment: Mapping[str, str]
    inherited: tuple[object, ...]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> _Settings:
        common = {n: v for n, v in environment.items() if n not in _OWN_VARIABLES}
        return cls(common, _inherited())


class WarmJobs:
    """Forks jobs from one process, which is kept for the next run of this client.

    A job is not forked, and must be started as a new process, if the process is not ready, or if
    the job has other variables than those that it was prepared for. The process ends with this one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._settings: _Settings | None = None
        self._packages: object = None
        self._libraries: tuple[str, ...] = ()
        self._starter: WarmStarter | None = None
        self._wait_until: float | None = None

    def prepare(self, environment: Mapping[str, str], libraries: Sequence[str]) -> None:
        """Start the process without waiting for it, unless it runs with the same settings.

        Args:
            environment: Variables of the jobs.
            libraries: Packages to import before the forks.
        """
        if sys.platform != "linux" or not _can_be_shared(environment):
            return
        settings, packages = _Settings.of(environment), installation_times()
        with self._lock:
            self._forget_parents()
            known = (self._settings, self._packages, self._libraries)
            if self._starter is None or known != (settings, packages, tuple(libraries)):
                self._stop()
                self._settings, self._packages = settings, packages
                self._libraries = tuple(libraries)
                self._begin(self._libraries)

    def start(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        stdin: int,
        stdout: int | IO[bytes],
        stderr: int | IO[bytes],
    ) -> WarmProcess | None:
        """Fork a job if the process is ready, or will be before a new process could be.

        Args:
            arguments: Arguments of the runner.
            environment: Complete environment of the job.
            folder: Working directory.
            stdin, stdout, stderr: Same as in `subprocess.Popen`.

        Returns:
            The job, or None if it must be started as a new process.
        """
        if any(" " in word for word in (sys.executable, *arguments)):
            return None  # `find_runner` could not read the command line of the fork
        starter = self._ready(environment)
        if starter is None:
            return None
        try:
            return starter.start(
                arguments,
                environment,
                folder,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                within_s=_ANSWER_S,
            )
        except OSError:  # it has ended, or does not answer; the job was not started
            with self._lock:
                if self._starter is starter:
                    self._stop()
            return None

    def stop(self) -> None:
        """End the process; running jobs continue."""
        with self._lock:
            self._forget_parents()
            self._stop()

    def _ready(self, environment: Mapping[str, str]) -> WarmStarter | None:
        """Return the starter if it can fork a job with this environment now."""
        with self._lock:
            self._forget_parents()
            if self._starter is None or self._settings != _Settings.of(environment):
                return None
            if self._wait_until is None:  # the jobs of a run wait once
                self._wait_until = time.monotonic() + _WAIT_S
            try:
                within_s = max(0.0, self._wait_until - time.monotonic())
                return self._starter if self._starter.is_ready(within_s) else None
            except OSError:
                had_libraries = bool(self._starter.settings[3])
                self._stop()
                if had_libraries:  # one of them can't be imported or forked: later jobs do it
                    self._begin(())
                return None

    def _begin(self, libraries: tuple[str, ...]) -> None:
        assert self._settings is not None
        threads = ONE_THREAD if libraries else {}
        starter = WarmStarter(
            {**self._settings.environment, **threads},
            RUNNER_MODULE,
            _IMPORTED,
            libraries,
            Path("/"),  # not that of the project, whose modules could hide Python's
        )
        try:
            starter.begin()
        except OSError:
            return  # jobs start as new processes, or report the same
        self._starter, self._wait_until = starter, None

    def _stop(self) -> None:
        if self._starter is not None:
            self._starter.stop()
            self._starter = None

    def _forget_parents(self) -> None:
        """Forget the process if this one is a fork of the client that started it."""
        if self._owner != os.getpid():
            self._owner, self._starter = os.getpid(), None


def _can_be_shared(environment: Mapping[str, str]) -> bool:
    """Return whether the start of Python is the same for all jobs.

    It is not if `sys.path` depends on the working directory, or if Python runs code of the user
    before the program, which may read the variables of one job.
    """
    entries = [Path(each) for each in environment.get("PYTHONPATH", "").split(os.pathsep) if each]
    return all(entry.is_absolute() for entry in entries) and not any(
        (entry / name).exists() for entry in entries for name in _AT_START
    )


def _inherited() -> tuple[object, ...]:
    """Return the properties of this process that new processes inherit."""
    import resource  # only on POSIX

    status = Path("/proc/thread-self/status").read_text("utf-8").splitlines()
    signals = (line.split()[1] for line in status if line.startswith(_SIGNALS))
    limits = tuple(
        resource.getrlimit(getattr(resource, name))
        for name in dir(resource)
        if name.startswith("RLIMIT_")
    )
    return (
        tuple(line for line in status if line.startswith(_INHERITED)),
        tuple(signals_in(mask) for mask in signals),
        limits,
        os.getpriority(os.PRIO_PROCESS, 0),
        os.sched_getaffinity(0),
        Path("/proc/self/cgroup").read_text("utf-8"),
    )


def signals_in(mask: str) -> frozenset[int]:
    """Return the signals in a mask of /proc, except those that the C library uses itself.

    A program that `make` or another parent has started with `posix_spawn` ignores these until its
    first thread starts.
    """
    bits = int(mask, 16)
    return frozenset(number for number in signal.valid_signals() if bits >> (number - 1) & 1)


JOBS = WarmJobs()
"""Warm starts of the jobs of this client."""

atexit.register(JOBS.stop)
