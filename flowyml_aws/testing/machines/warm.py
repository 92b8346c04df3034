"""Warm starts: a process that has imported a program's dependencies and forks for each start.

The imports take a fresh Python half a second of CPU time, a fork takes a hundredth of that. Nothing
of a job is loaded before the fork, so a job sees the same modules as in a fresh process. The only
difference is that the forks of a process share the seed of string hashes.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Container, Mapping, Sequence
from contextlib import ExitStack, suppress
from importlib import import_module
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import IO, Any, NoReturn

from flowyml_aws.testing.machines.command_line import show_command

__all__ = ["RUNNER_MODULE", "WarmProcess", "WarmStarter", "read_at_start", "serve"]

RUNNER_MODULE = "flowyml_aws.job"


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
        status: IO[bytes],
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
                if self._code is None and select.select([self._status], [], [], 0)[0]:
                    self._read()
            finally:
                self._lock.release()
        return self._code

    def _read(self) -> int:
        if self._code is None:
            with self._status:
                # The pipe ends without a status if the process that waits for the job was killed.
                self._code = int(self._status.readline() or -signal.SIGKILL)
        return self._code


class WarmStarter:
    """Starts a program in forks of one process, which is started with the first of them.

    Args:
        environment: Environment of that process.
        module: Module that `python -m` runs.
        imports: More modules to import before the forks.

    Attributes:
        settings: All arguments; starters with equal settings are interchangeable.
    """

    def __init__(
        self, environment: Mapping[str, str], module: str, imports: Sequence[str] = ()
    ) -> None:
        self.settings = (frozenset(environment.items()), module, tuple(imports))
        self._environment = environment
        self._module = module
        self._imports = imports
        self._lock = Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.STDOUT,
    ) -> WarmProcess:
        """Start the program, as `python -m MODULE` does.

        Args:
            arguments: Arguments of the program.
            environment: Its complete environment.
            folder: Its working directory.
            stdin, stdout, stderr: Same as in `subprocess.Popen`.

        Raises:
            OSError: The warm process can't be started, or has exited.
        """
        command = [sys.executable, "-m", self._module, *arguments]
        sys.audit("subprocess.Popen", sys.executable, command, str(folder), dict(environment))
        request = {"command": command, "environment": {**environment}, "cwd": str(folder)}
        with ExitStack() as undo, ExitStack() as ends:
            file = ends.enter_context(tempfile.TemporaryFile())
            file.write(json.dumps(request).encode())
            file.seek(0)
            status, status_end = _pipe()
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
            try:
                with self._lock:
                    socket.send_fds(self._connected(), [b"."], received)
            except BrokenPipeError:
                pass  # detected below: no response
            ends.close()
            if not (pid := status.readline()):
                self.stop()  # the next start creates a new warm process
                raise OSError("The process that forks jobs has exited")
            undo.pop_all()
        return WarmProcess(int(pid), given, output, errors, status)

    def stop(self) -> None:
        """Stop the warm process; running programs continue."""
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
                # Not with -m: the program will become `__main__`, which must be empty.
                call = f"serve({number}, {self._module!r}, {[*self._imports]!r})"
                self._process = subprocess.Popen(
                    [sys.executable, "-c", f"__import__({__name__!r}, fromlist='*').{call}"],
                    env=dict(self._environment),
                    pass_fds=[number],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
        return self._socket


def read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the interpreter reads when it starts."""
    prefixes = ("PYTHON", "LC_", "LANG", "LD_")
    return {name: value for name, value in environment.items() if name.startswith(prefixes)}


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    """Return the end to read from and the end to write to."""
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb", buffering=0), os.fdopen(writing, "wb", buffering=0)


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
        reading, writing = _pipe()
        ends.callback(writing.close)
        return reading, writing.fileno()
    return None, _descriptor(stream, os.O_WRONLY, ends)


def _descriptor(stream: int | IO[bytes], mode: int, ends: ExitStack) -> int:
    if stream == subprocess.DEVNULL:
        descriptor = os.open(os.devnull, mode)
        ends.callback(os.close, descriptor)
        return descriptor
    return stream if isinstance(stream, int) else stream.fileno()


def serve(number: int, module: str, imports: Sequence[str]) -> None:
    """Fork for each request received on a socket, until its other end is closed.

    Args:
        number: File descriptor of the socket.
        module: Module to run as `__main__`.
        imports: More modules to import before the forks.
    """
    requests = socket.socket(fileno=number)
    for name in imports:
        import_module(name)
    _import_all_of(module)
    shared = frozenset(sys.modules)
    gc.collect()
    gc.freeze()  # the forks neither search nor copy the objects of the imports
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the forked processes
    while True:
        data, numbers, _, _ = socket.recv_fds(requests, 1, 5)
        if not data:
            return
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _start_job(module, shared, *numbers)
            return
        for received in numbers:
            os.close(received)


def _import_all_of(module: str) -> None:
    """Import what a program imports, but not the module that becomes `__main__`."""
    found = find_spec(module)
    is_package = found is not None and found.submodule_search_locations is not None
    main = f"{module}.__main__" if is_package else module
    import_module(main)
    del sys.modules[main]
    parent, _, name = main.rpartition(".")
    delattr(sys.modules[parent], name)


def _start_job(
    module: str, shared: Container[str], request: int, status: int, *streams: int
) -> None:
    """Run the program in a child process, and wait for it in this one."""
    if job := os.fork():
        for stream in streams:
            os.close(stream)
        ended = os.waitid(os.P_PID, job, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        with suppress(BrokenPipeError):  # the client has ended
            os.write(status, b"%d\n" % code)
        # The ended program remains until the client has read the status, as a child of it would.
        client = select.poll()
        client.register(status, 0)
        client.poll()
        os.waitpid(job, 0)  # the process that adopts orphans may leave it for seconds, or forever
        os._exit(0)
    os.setsid()
    with open(request, "rb") as file:
        document: dict[str, Any] = json.load(file)
    os.environ.clear()
    show_command(document["command"])
    os.write(status, b"%d\n" % os.getpid())  # others can find it from now on
    for target, source in enumerate(streams):
        os.dup2(source, target)
    for spare in (*streams, status):
        os.close(spare)
    os.chdir(document["cwd"])
    os.environ.update(document["environment"])
    time.tzset()
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = document["cwd"]
    sys.orig_argv = document["command"]
    sys.argv = document["command"][1:2] + document["command"][3:]
    code = 0
    try:
        # The interpreter calls the same function for `python -m`.
        runpy._run_module_as_main(module)  # type: ignore[attr-defined]  # private, so without a stub
    except SystemExit as error:
        if error.code is not None and not isinstance(error.code, int):
            raise  # the interpreter prints it
        code = error.code or 0
    _end(code, shared)


def _end(code: int, shared: Container[str]) -> NoReturn:
    """End a fork as the interpreter would, but free only what was made after the fork.

    To free the rest would write to most of its memory, and so copy it: half of the CPU time of a
    short program.

    Args:
        code: Exit code.
        shared: Names of the modules that were imported before the fork.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    # Only the interpreter can stop threads before it frees what they use, or report a lost stream.
    if threading.active_count() == 1 and _flush():
        own = takewhile(lambda name: name not in shared, reversed(sys.modules))
        _free_modules(["__main__", *own])
        if _flush():
            os._exit(code & 0xFF)
    sys.exit(code)


def _free_modules(names: Sequence[str]) -> None:
    """Free modules and their objects as `finalize_modules` in `Python/pylifecycle.c`."""
    gc.collect()
    found = (sys.modules.pop(name, None) for name in names)
    modules = [weakref.ref(module) for module in found if isinstance(module, ModuleType)]
    gc.collect()
    for module in filter(None, (reference() for reference in modules)):
        vars(module).clear()
    gc.collect()


def _flush() -> bool:
    """Flush the standard streams, and return whether all output is written."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except (OSError, ValueError):
        return False
    return True
