"""Start of this package's programs in new processes: the runner, and the trial load."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Protocol

from flowyml_aws.core.modules import is_installed
from flowyml_aws.packaging.warm_jobs import JOBS

__all__ = [
    "ProgramProcess",
    "ProgramStart",
    "prepare_jobs",
    "start_job_or_python",
    "start_program",
    "start_python",
    "starting_with",
]


@dataclass(frozen=True, slots=True)
class ProgramStart:
    """A start of `python -m MODULE`.

    Attributes:
        module: Module of this package.
        arguments: Arguments of the program.
        cwd: Working directory.
        env: Complete environment, except for the path of this package.
        stdin, stdout, stderr: Same as in `subprocess.Popen`.
        can_be_warm: Whether it may be a fork of the process that `prepare_jobs` has started.
    """

    module: str
    arguments: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    stdin: int
    stdout: int | IO[bytes]
    stderr: int | IO[bytes]
    can_be_warm: bool = False

    @property
    def command(self) -> list[str]:
        """Program and arguments."""
        return [sys.executable, "-m", self.module, *self.arguments]


class ProgramProcess(Protocol):
    """A process with the interface of `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...
    @property
    def stdin(self) -> IO[bytes] | None: ...
    @property
    def stdout(self) -> IO[bytes] | None: ...
    def poll(self) -> int | None: ...
    def wait(self) -> int: ...


def start_program(start: ProgramStart) -> ProgramProcess:
    """Start a program in its own session, with an environment in which it can be imported.

    Raises:
        OSError: The process can't be started.
    """
    return _starter(replace(start, env=_with_this_package(start.env)))


def prepare_jobs(environment: Mapping[str, str], libraries: Sequence[str]) -> None:
    """Start the process that jobs are forked from, without waiting for it.

    No-op while programs are started in another way.

    Args:
        environment: Environment variables of the jobs.
        libraries: Installed packages that it imports.
    """
    if _starter is start_job_or_python:
        JOBS.prepare(_with_this_package(environment), libraries)


def _with_this_package(environment: Mapping[str, str]) -> dict[str, str]:
    root = Path(__file__).resolve().parents[2]
    if is_installed(root):
        return dict(environment)
    # A checkout that is not installed may be on this process's path only.
    path = [*filter(None, [environment.get("PYTHONPATH")]), str(root)]
    return {**environment, "PYTHONPATH": os.pathsep.join(path)}


@contextmanager
def starting_with(starter: Callable[[ProgramStart], ProgramProcess]) -> Iterator[None]:
    """Start programs in another way while the block runs."""
    global _starter
    previous, _starter = _starter, starter
    try:
        yield
    finally:
        _starter = previous


def start_python(start: ProgramStart) -> ProgramProcess:
    """Start a new Python."""
    return subprocess.Popen(
        start.command,
        cwd=start.cwd,
        env=start.env,
        stdin=start.stdin,
        stdout=start.stdout,
        stderr=start.stderr,
        start_new_session=True,  # a group of the processes that the program starts
    )


def start_job_or_python(start: ProgramStart) -> ProgramProcess:
    """Fork a job if that works, or else start a new Python."""
    if start.can_be_warm:
        process = JOBS.start(
            start.arguments,
            start.env,
            start.cwd,
            stdin=start.stdin,
            stdout=start.stdout,
            stderr=start.stderr,
        )
        if process is not None:
            return process
    return start_python(start)


_starter: Callable[[ProgramStart], ProgramProcess] = start_job_or_python
