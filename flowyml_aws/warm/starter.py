"""Client of a warm process, which has imported a program's modules and forks for each start.

The imports take a new Python half a second of CPU time, a fork takes a hundredth of that. Nothing
of a job is loaded before the fork, so a job sees the same environment as in a new process. The only
difference is that the forks of a process share the seed of string hashes.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Lock
from typing import IO

__all__ = ["RUNNER_MODULE", "WarmProcess", "WarmStarter", "read_at_start"]

RUNNER_MODULE = "flowyml_aws.job"

_SERVER = "flowyml_aws.warm.server"


class WarmProcess:
    """A forked program; the counterpart of `subprocess.Popen`.

    Attributes:
        pid: Process id of the program, the leader of its own session. The id is not reused before
            `wait` or `poll` has reported the end.
        stdin: Pipe to its standard input, or None.
        stdout: Pipe from its standard output, or None.
        stderr: Pipe from its standard error, or None.
    """

    def __init__(
        self,
        pid: int,
        stdin: IO[bytes] | None,
        stdout: IO[bytes] | None,
        stderr: IO[bytes] | None,
        status: socket.socket,
    ) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self._status = status
        self._lock = Lock()
        self._code: int | None = None

    def wait(self) -> int:
        """Wait for the end and return the exit code, -n after signal n."""
        with self._lock:
            return self._read()

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs or another thread waits for its end."""
        if self._lock.acquire(blocking=False):
            try:
                if self._code is None and _has_message(self._status, 0):
                    self._read()
            finally:
                self._lock.release()
        return self._code

    def _read(self) -> int:
        if self._code is None:
            with self._status:
                # It ends without a message if the process that waits for the job was killed.
                self._code = int(_message(self._status) or -signal.SIGKILL)
        return self._code


class WarmStarter:
    """Starts a program in forks of one process, which is started with the first of them.

    Args:
        environment: Environment of that process.
        module: Module that `python -m` runs.
        imports: More modules to import before the forks.
        libraries: Installed packages to import before the forks, if they can be forked
            (see `libraries`); otherwise that process exits.
        folder: Working directory of that process; None for that of this process.

    Attributes:
        settings: All arguments; starters with equal settings are interchangeable.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        module: str,
        imports: Sequence[str] = (),
        libraries: Sequence[str] = (),
        folder: Path | None = None,
    ) -> None:
        self.settings = (
            frozenset(environment.items()),
            module,
            tuple(imports),
            tuple(libraries),
            folder,
        )
        self._environment = environment
        self._module = module
        self._imports = imports
        self._libraries = libraries
        self._folder = folder
        self._lock = Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False

    def begin(self) -> None:
        """Start the process that forks, if it is not running. Do not wait for its imports.

        Raises:
            OSError: It can't be started.
        """
        with self._lock:
            self._connect()

    def is_ready(self, within_s: float | None = 0) -> bool:
        """Return whether the process can fork, once it can or the time is over.

        Args:
            within_s: Maximum time to wait, in seconds; None for no limit.

        Raises:
            OSError: The process can't be started, or has exited.
        """
        with self._lock:
            requests = self._connect()
            if not self._is_ready and _has_message(requests, within_s):
                self._is_ready = bool(_message(requests))
                if not self._is_ready:
                    self._close()
                    raise OSError("The process that forks jobs has exited")
            return self._is_ready

    def start(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.STDOUT,
        within_s: float | None = None,
    ) -> WarmProcess:
        """Start the program, as `python -m MODULE` does.

        Args:
            arguments: Arguments of the program.
            environment: Its complete environment.
            folder: Its working directory.
            stdin, stdout, stderr: Same as in `subprocess.Popen`.
            within_s: Maximum time to wait, in seconds, for the imports and then for the fork; None
                for no limit.

        Raises:
            OSError: The warm process can't be started, has exited, or does not answer in time. The
                program is not started.
        """
        command = [sys.executable, "-m", self._module, *arguments]
        sys.audit("subprocess.Popen", sys.executable, command, str(folder), dict(environment))
        if not self.is_ready(within_s):
            raise TimeoutError("The process that forks jobs is not ready")
        request = {"command": command, "environment": {**environment}, "cwd": str(folder)}
        with ExitStack() as undo, ExitStack() as ends:
            file = ends.enter_context(tempfile.TemporaryFile())
            file.write(json.dumps(request).encode())
            file.seek(0)
            status, status_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.callback(status.close)
            ends.callback(status_end.close)
            given, given_end = _reading_end(stdin, ends)
            output, output_end = _writing_end(stdout, ends)
            errors, errors_end = (
                (None, output_end) if stderr == subprocess.STDOUT else _writing_end(stderr, ends)
            )
            for pipe in filter(None, (given, output, errors)):
                undo.callback(pipe.close)
            received = [file.fileno(), status_end.fileno(), given_end, output_end, errors_end]
            with suppress(BrokenPipeError), self._lock:  # detected below: no answer
                socket.send_fds(self._connect(), [b"."], received)
            ends.close()
            if not _has_message(status, within_s):
                raise TimeoutError("The process that forks jobs does not answer")
            if not (pid := _message(status)):
                self.stop()  # the next start creates a new warm process
                raise OSError("The process that forks jobs has exited")
            # The program waits for this: if this process has given up, it ends.
            status.send(b".")
            undo.pop_all()
        return WarmProcess(int(pid), given, output, errors, status)

    def stop(self) -> None:
        """Kill the warm process; running programs continue."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._socket is not None and self._process is not None:
            self._socket.close()
            self._process.kill()  # it may be importing, or be stopped
            self._process.wait()
            self._socket = None
            self._is_ready = False

    def _connect(self) -> socket.socket:
        if self._socket is None:
            self._socket, peer = socket.socketpair()
            with peer, tempfile.TemporaryFile() as output:
                number = peer.fileno()
                # Not with -m: the program will become `__main__`, which must be empty.
                names = ([*self._imports], [*self._libraries])
                call = f"serve({number}, {self._module!r}, *{names!r})"
                self._process = subprocess.Popen(
                    [sys.executable, "-c", f"__import__({_SERVER!r}, fromlist='*').{call}"],
                    env=dict(self._environment),
                    cwd=self._folder,
                    pass_fds=[number],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        return self._socket


def read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the interpreter reads when it starts."""
    prefixes = ("PYTHON", "LC_", "LANG", "LD_")
    return {name: value for name, value in environment.items() if name.startswith(prefixes)}


def _has_message(connection: socket.socket, within_s: float | None) -> bool:
    """Return whether a message or the end of a connection can be read, or will be in time."""
    readable = select.poll()  # unlike `select.select`, for any number of open files
    readable.register(connection, select.POLLIN)
    return bool(readable.poll(None if within_s is None else within_s * 1000))


def _message(connection: socket.socket) -> bytes:
    """Return the next message; an empty one if the other end is closed."""
    try:
        return connection.recv(64)
    except ConnectionResetError:
        return b""


def _reading_end(stdin: int, ends: ExitStack) -> tuple[IO[bytes] | None, int]:
    """Return the client's end of a pipe, or None, and the descriptor for the program."""
    if stdin == subprocess.PIPE:
        reading, writing = os.pipe()
        ends.callback(os.close, reading)
        return os.fdopen(writing, "wb"), reading
    return None, _descriptor(stdin, os.O_RDONLY, ends)


def _writing_end(stream: int | IO[bytes], ends: ExitStack) -> tuple[IO[bytes] | None, int]:
    """Return the client's end of a pipe, or None, and the descriptor for the program."""
    if stream == subprocess.PIPE:
        reading, writing = os.pipe()
        ends.callback(os.close, writing)
        return os.fdopen(reading, "rb", buffering=0), writing
    return None, _descriptor(stream, os.O_WRONLY, ends)


def _descriptor(stream: int | IO[bytes], mode: int, ends: ExitStack) -> int:
    if stream == subprocess.DEVNULL:
        descriptor = os.open(os.devnull, mode)
        ends.callback(os.close, descriptor)
        return descriptor
    return stream if isinstance(stream, int) else stream.fileno()
