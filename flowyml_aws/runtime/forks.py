"""Processes that a step forks: they end where the step ends, and never continue as the runner."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from flowyml_aws.runtime.failures import describe_step_failure
from flowyml_aws.runtime.log import show

__all__ = ["call_in_this_process"]

Value = TypeVar("Value")


def call_in_this_process(function: Callable[[], Value], roots: Sequence[Path]) -> Value:
    """Call a function of the user. A child that it forks ends instead of returning here.

    A step that calls `os.fork` returns twice: in this process and in the child. In the child, all
    code after the step is the runner's, which would commit a second result. So the child ends as
    a Python process does: exit handlers run, and the exit code is 0 after a return, that of
    `SystemExit`, or 1 after another exception, whose traceback is printed.

    Args:
        function: Function without arguments.
        roots: The project's folders, stripped from tracebacks.
    """
    runner = os.getpid()
    try:
        value = function()
    except BaseException as error:
        if os.getpid() != runner:
            _exit(_exit_code(error, roots))
        raise
    if os.getpid() != runner:
        _exit(0)
    return value


def _exit_code(error: BaseException, roots: Sequence[Path]) -> int:
    if not isinstance(error, SystemExit):
        show(describe_step_failure(error, roots).text)
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)
    return 1


def _exit(code: int) -> NoReturn:
    # Not `sys.exit`: the runner's own `finally` blocks are not for this process.
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed or replaced
            stream.flush()
    os._exit(code)
