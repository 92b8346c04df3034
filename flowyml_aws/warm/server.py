"""The warm process: imports the modules of a program, then forks for each request of its client."""

from __future__ import annotations

import atexit
import fcntl
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from itertools import takewhile
from types import ModuleType
from typing import Any, NoReturn

from flowyml_aws.warm.command_line import show_command

__all__ = ["serve"]

_CHECK_S = 10.0


def serve(number: int, module: str, imports: Sequence[str], libraries: Sequence[str] = ()) -> None:
    """Fork for each request received on a socket, until its other end is closed.

    Args:
        number: File descriptor of the socket.
        module: Module to run as `__main__`.
        imports: More modules to import before the forks.
        libraries: Installed packages to import before the forks. If they can't be forked, this
            process ends.
    """
    client = os.getppid()
    requests = socket.socket(fileno=number)
    _end_with(requests)
    for name in imports:
        import_module(name)
    _import_all_of(module)
    enter_fork = None
    if libraries:
        # Imported here: most forks do not need it.
        from flowyml_aws.warm.libraries import import_libraries

        enter_fork = import_libraries(libraries, number)
    shared = frozenset(sys.modules)
    gc.collect()
    gc.freeze()  # the forks neither search nor copy the objects of the imports
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the forked processes
    fcntl.fcntl(requests, fcntl.F_SETFL, 0)
    requests.send(b".")
    while True:
        while not select.select([requests], [], [], _CHECK_S)[0]:
            # A child that the client has forked keeps the socket open.
            if os.getppid() != client:
                os._exit(0)
        data, numbers, _, _ = socket.recv_fds(requests, 1, 5)
        if not data:
            os._exit(0)
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _start_job(module, shared, enter_fork, *numbers)
            return
        for received in numbers:
            os.close(received)


def _end_with(requests: socket.socket) -> None:
    """Let the kernel end this process when its client closes the socket or is killed.

    It may be importing for long then. The client sends nothing before this process is ready, and
    the default action of the signal for input is to end the process.
    """
    fcntl.fcntl(requests, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(requests, fcntl.F_SETFL, os.O_ASYNC)
    if select.select([requests], [], [], 0)[0]:
        os._exit(0)


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
    module: str,
    shared: Container[str],
    enter_fork: Callable[[], None] | None,
    request: int,
    status: int,
    *streams: int,
) -> None:
    """Run the program in a child process, and wait for it in this one."""
    if job := os.fork():
        for stream in streams:
            os.close(stream)
        ended = os.waitid(os.P_PID, job, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        with suppress(BrokenPipeError, ConnectionResetError):  # the client has ended
            os.write(status, b"%d" % code)
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
    try:
        os.write(status, b"%d" % os.getpid())  # others can find it from now on
        is_wanted = bool(os.read(status, 1))
    except (BrokenPipeError, ConnectionResetError):
        is_wanted = False
    if not is_wanted:
        os._exit(1)  # the client has ended, or has started the program in another way
    for target, source in enumerate(streams):
        os.dup2(source, target)
    for spare in (*streams, status):
        os.close(spare)
    os.chdir(document["cwd"])
    os.environ.update(document["environment"])
    time.tzset()
    if enter_fork is not None:
        enter_fork()
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
