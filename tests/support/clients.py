"""Clients: Python in another process, which a test can watch, signal and kill.

A new Python imports the package for each of them. With `forked_clients`, most are forks of a
process that has done it: real processes, too, with their own arguments, environment, streams,
working directory and signals.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedReader, FileIO, TextIOWrapper
from pathlib import Path
from threading import Thread
from typing import IO, Any, cast

from flowyml_aws.packaging.starting import ProgramStart
from flowyml_aws.testing.machines.warm_programs import WarmPrograms
from flowyml_aws.warm.starter import WarmProcess
from tests.support.warm_python import can_be_warm

__all__ = ["Client", "forked_clients", "new_pythons", "start_client"]

_HOST = "tests.support.warm_host"

_forks: WarmPrograms | None = None
_is_forking = True


class Client:
    """A process with pipes for text; the interface of `subprocess.Popen`, as far as tests use it.

    Args:
        process: The process.
        script: Text for its standard input, or None if that is not a pipe.

    Attributes:
        pid: Process id.
        stdout, stderr: Its output.
    """

    def __init__(self, process: subprocess.Popen[bytes] | WarmProcess, script: str | None) -> None:
        assert process.stdout is not None and process.stderr is not None
        self.pid = process.pid
        self.stdout = _text(process.stdout)
        self.stderr = _text(process.stderr)
        self._process = process
        if script is not None:
            assert process.stdin is not None
            with process.stdin:
                process.stdin.write(script.encode())

    @property
    def returncode(self) -> int | Any:  # the type of `Popen.returncode`
        """Exit code, -n after signal n, or None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float) -> int:
        """Wait for the end, and return the exit code.

        Raises:
            subprocess.TimeoutExpired: It runs for longer.
        """
        deadline = time.monotonic() + timeout
        while (code := self._process.poll()) is None:
            if time.monotonic() > deadline:
                raise self._timeout(timeout)
            time.sleep(0.01)
        return code

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait for the end, and return the output that was not read before.

        Raises:
            subprocess.TimeoutExpired: It runs for longer.
        """
        deadline = time.monotonic() + timeout
        outputs = ["", ""]

        def read(number: int, stream: TextIOWrapper) -> None:
            outputs[number] = stream.read()

        readers = [
            Thread(target=read, args=each, daemon=True)
            for each in enumerate((self.stdout, self.stderr))
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(max(0.0, deadline - time.monotonic()))
            if reader.is_alive():
                raise self._timeout(timeout)
        self.wait(max(0.0, deadline - time.monotonic()))
        out, err = outputs
        return out, err

    def _timeout(self, timeout: float) -> subprocess.TimeoutExpired:
        return subprocess.TimeoutExpired(f"client {self.pid}", timeout)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Kill it, wait for its end, and close the pipes."""
        self.kill()
        self._process.wait()
        self.stdout.close()
        self.stderr.close()


def start_client(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    script: str | None = None,
) -> Client:
    """Run Python in another process.

    Args:
        arguments: Arguments of Python.
        environment: Its complete environment.
        folder: Its working directory.
        script: Text for standard input, which is empty by default.
    """
    start = ProgramStart(
        module="tests.support.warm_python",
        arguments=tuple(arguments),
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL if script is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process: subprocess.Popen[bytes] | WarmProcess
    if _is_forking and _forks is not None and can_be_warm(arguments) and _forks.repeats(start):
        process = _forks.start_warm(start)
    else:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=dict(environment),
            stdin=start.stdin,
            stdout=start.stdout,
            stderr=start.stderr,
        )
    return Client(process, script)


@contextmanager
def forked_clients() -> Iterator[None]:
    """Let clients be forks in the block, except for the first one and those with options."""
    global _forks
    previous, _forks = _forks, WarmPrograms([_HOST])
    try:
        yield
    finally:
        _forks.stop()
        _forks = previous


@contextmanager
def new_pythons() -> Iterator[None]:
    """Start a new Python for each client in the block."""
    global _is_forking
    previous, _is_forking = _is_forking, False
    try:
        yield
    finally:
        _is_forking = previous


def _text(stream: IO[bytes]) -> TextIOWrapper:
    buffered = BufferedReader(stream) if isinstance(stream, FileIO) else stream
    return TextIOWrapper(cast("BufferedReader", buffered))
