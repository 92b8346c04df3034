"""Warm starts: a process that has imported the runner's dependencies and forks for each job.

The imports take a fresh Python half a second of CPU time, a fork takes a hundredth of that. Nothing
of a job is loaded before the fork, so a job sees the same modules as in a fresh process. The only
difference is that the jobs of an emulator share the seed of string hashes.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import IO, Any

__all__ = ["RUNNER_MODULE", "WarmProcess", "WarmStarter", "serve"]

RUNNER_MODULE = "flowyml_aws.runtime"
_IMPORTED = (f"{RUNNER_MODULE}.job", "flowyml_aws.aws.s3", "botocore.session", "botocore.config")


class WarmProcess:
    """A forked job; the counterpart of `subprocess.Popen`.

    Attributes:
        pid: Process id of the job, the leader of its own session.
        stdout: Pipe with its standard output and error.
    """

    def __init__(self, pid: int, stdout: IO[bytes], status: IO[bytes]) -> None:
        self.pid = pid
        self.stdout = stdout
        self._status = status

    def wait(self) -> int:
        """Wait for the end and return the exit code, -n after signal n."""
        with self._status:
            # The pipe ends without a status if the process that waits for the job was killed.
            return int(self._status.readline() or -signal.SIGKILL)


class WarmStarter:
    """Starts the runner in forks of one process, which is started with the first job.

    Args:
        environment: Environment of that process.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._lock = Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> WarmProcess:
        """Start the runner with these arguments, as `python -m flowyml_aws.runtime` does.

        Raises:
            OSError: The warm process can't be started, or has exited.
        """
        request = {"arguments": [*arguments], "environment": {**environment}, "cwd": str(folder)}
        with ExitStack() as undo:
            file = undo.enter_context(tempfile.TemporaryFile())
            file.write(json.dumps(request).encode())
            file.seek(0)
            output, output_end = _pipe()
            status, status_end = _pipe()
            undo.callback(output.close)
            undo.callback(status.close)
            with output_end, status_end:
                received = [file.fileno(), output_end.fileno(), status_end.fileno()]
                try:
                    with self._lock:
                        socket.send_fds(self._connected(), [b"."], received)
                except BrokenPipeError:
                    pass  # detected below: no response
            if not (pid := status.readline()):
                self.stop()  # the next job starts a new warm process
                raise OSError("The process that forks jobs has exited")
            file.close()
            undo.pop_all()
        return WarmProcess(int(pid), output, status)

    def stop(self) -> None:
        """Stop the warm process; running jobs continue."""
        with self._lock:
            if self._socket is not None and self._process is not None:
                self._socket.close()
                self._process.wait()
                self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket, peer = socket.socketpair()
            with peer:
                number = peer.fileno()
                # Not with -m: the runner will become `__main__`, which must be empty.
                code = f"__import__({__name__!r}, fromlist='*').serve({number})"
                self._process = subprocess.Popen(
                    [sys.executable, "-c", code],
                    env=dict(self._environment),
                    pass_fds=[number],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
        return self._socket


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    """Return the end to read from and the end to write to."""
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb", buffering=0), os.fdopen(writing, "wb", buffering=0)


def serve(number: int) -> None:
    """Fork for each request received on a socket, until its other end is closed.

    Args:
        number: File descriptor of the socket.
    """
    requests = socket.socket(fileno=number)
    for name in _IMPORTED:
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the forked processes
    while True:
        data, numbers, _, _ = socket.recv_fds(requests, 1, 3)
        if not data:
            return
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _start_job(*numbers)
            return
        for received in numbers:
            os.close(received)


def _start_job(request: int, stdout: int, status: int) -> None:
    """Run the job in a child process, and wait for it in this one."""
    if job := os.fork():
        os.close(stdout)
        _, ended = os.waitpid(job, 0)
        os.write(status, b"%d\n" % os.waitstatus_to_exitcode(ended))
        os._exit(0)
    os.setsid()
    os.write(status, b"%d\n" % os.getpid())
    with open(request, "rb") as file:
        document: dict[str, Any] = json.load(file)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (stdout, 1), (stdout, 2)):
        os.dup2(source, target)
    for spare in (nothing, stdout, status):
        os.close(spare)
    os.chdir(document["cwd"])
    os.environ.clear()
    os.environ.update(document["environment"])
    time.tzset()
    sys.path[0] = document["cwd"]
    sys.argv = ["-m", *document["arguments"]]
    # The interpreter calls the same function for `python -m`; it ends with SystemExit.
    runpy._run_module_as_main(RUNNER_MODULE)  # type: ignore[attr-defined]  # private, so without a stub
