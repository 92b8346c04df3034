"""Warm starts: a process that has imported what the runner needs, and forks for each job.

Importing takes a fresh Python half a second of processor time, a fork a hundredth of that. Nothing
of a job is loaded before the fork, so a job finds the same modules as in a process of its own. One
difference remains: the jobs of an emulator share the seed of string hashes.
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

__all__ = ["RUNNER", "WarmProcess", "WarmStarter", "serve"]

RUNNER = "flowyml_aws.runtime"
_IMPORTED = (f"{RUNNER}.job", "flowyml_aws.aws.s3", "botocore.session", "botocore.config")


class WarmProcess:
    """A job that was forked; what `subprocess.Popen` is for other jobs.

    Attributes:
        pid: The job's process, which leads a session of its own.
        stdout: Its standard output and error.
    """

    def __init__(self, pid: int, stdout: IO[bytes], status: IO[bytes]) -> None:
        self.pid = pid
        self.stdout = stdout
        self._status = status

    def wait(self) -> int:
        """Wait for the end and return the exit code, -n after signal n."""
        with self._status:
            # Nothing comes if the process that waits for the job was killed.
            return int(self._status.readline() or -signal.SIGKILL)


class WarmStarter:
    """Starts the runner in forks of one process, which begins with the first job.

    Args:
        environment: The environment in which that process imports.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._lock = Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> WarmProcess:
        """Run the runner with these arguments, as `python -m flowyml_aws.runtime` does.

        Raises:
            OSError: The process can't be started, or has ended.
        """
        request = {"arguments": [*arguments], "environment": {**environment}, "cwd": str(folder)}
        with ExitStack() as undo:
            file = undo.enter_context(tempfile.TemporaryFile())
            file.write(json.dumps(request).encode())
            file.seek(0)
            output, output_end = _pipe()
            answers, answers_end = _pipe()
            undo.callback(output.close)
            undo.callback(answers.close)
            with output_end, answers_end:
                received = [file.fileno(), output_end.fileno(), answers_end.fileno()]
                try:
                    with self._lock:
                        socket.send_fds(self._connected(), [b"."], received)
                except BrokenPipeError:
                    pass  # nothing answers
            if not (pid := answers.readline()):
                self.stop()  # the next job begins another one
                raise OSError("the process that starts jobs has ended")
            file.close()
            undo.pop_all()
        return WarmProcess(int(pid), output, answers)

    def stop(self) -> None:
        """End the process; jobs that run go on."""
        with self._lock:
            if self._socket is not None and self._process is not None:
                self._socket.close()
                self._process.wait()
                self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket, theirs = socket.socketpair()
            with theirs:
                number = theirs.fileno()
                # Not by -m: the runner becomes `__main__`, which has to be empty for it.
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
    """Fork for each request that comes through a socket, until its other end is closed.

    Args:
        number: File descriptor of the socket.
    """
    requests = socket.socket(fileno=number)
    for name in _IMPORTED:
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the processes that wait
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
    """Run the job in a process of its own, and wait for that in this one."""
    if job := os.fork():
        os.close(stdout)
        _, ended = os.waitpid(job, 0)
        os.write(status, b"%d\n" % os.waitstatus_to_exitcode(ended))
        os._exit(0)
    os.setsid()
    os.write(status, b"%d\n" % os.getpid())
    with open(request, "rb") as file:
        asked: dict[str, Any] = json.load(file)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (stdout, 1), (stdout, 2)):
        os.dup2(source, target)
    for spare in (nothing, stdout, status):
        os.close(spare)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    time.tzset()
    sys.path[0] = asked["cwd"]
    sys.argv = ["-m", *asked["arguments"]]
    # The interpreter calls the same function for `python -m`; it ends by SystemExit.
    runpy._run_module_as_main(RUNNER)  # type: ignore[attr-defined]  # private, so without a stub
