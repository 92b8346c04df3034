"""The state "the user's code is being loaded", in which no run may start.

A script that is executed for its definitions ends at the first run that it reaches. A module that
is imported may not start a run at all, because each import would start one.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from flowyml_aws.core.errors import PipelineFileError
from flowyml_aws.core.script_end import end_script, script_that_may_end

__all__ = ["LOADING_VARIABLE", "executing_script", "importing", "stop_while_loading"]

LOADING_VARIABLE = "FLOWYML_AWS_LOADING"
"""Environment variable that is set while the program is loaded on the client as jobs load it."""


_importing: ContextVar[str | None] = ContextVar("flowyml_aws_importing", default=None)
_is_script: ContextVar[bool] = ContextVar("flowyml_aws_is_script", default=False)
_threads_before: list[frozenset[threading.Thread]] = []
_threads_of_scripts: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


@contextmanager
def executing_script(is_main: bool = False) -> Iterator[None]:
    """Mark the block as the execution of a script, and end it at the first run.

    Args:
        is_main: Whether it is the script of this process. Then a thread that it starts ends at its
            first run, too, even after the script.
    """
    before = frozenset(threading.enumerate())
    if is_main:
        _threads_before.append(before)
    token = _is_script.set(True)
    try:
        with script_that_may_end():
            yield
    finally:
        _is_script.reset(token)
        if is_main:
            _threads_of_scripts.update(set(threading.enumerate()) - before)
            _threads_before.remove(before)


@contextmanager
def importing(what: str) -> Iterator[None]:
    """Mark the block as an import, in which no run may start; errors name the code as `what`."""
    token = _importing.set(what)
    try:
        yield
    finally:
        _importing.reset(token)


def stop_while_loading() -> None:
    """End the script that is executed for its definitions, if the caller is part of one.

    Raises:
        ScriptEnd: A script is being executed.
        PipelineFileError: A module is being imported, or a process of a pool starts.
    """
    if _is_script.get() or _is_thread_of_script(threading.current_thread()):
        end_script()
    what = _importing.get()
    if what is None and LOADING_VARIABLE in os.environ:
        what = "A module of the steps"
    if what is None and _is_new_worker():
        what = "A process that multiprocessing starts"
    if what is not None:
        raise PipelineFileError(
            what=f"{what} runs a pipeline while it is imported",
            why="the client and every job import it for its steps; each import would start a run",
            fix='move the call of run() or submit() under `if __name__ == "__main__":`',
        )


def _is_thread_of_script(thread: threading.Thread) -> bool:
    return thread in _threads_of_scripts or any(thread not in b for b in _threads_before)


def _is_new_worker() -> bool:
    """Return whether this process executes its script for multiprocessing."""
    processes = sys.modules.get("multiprocessing.process")  # imported if so
    current = None if processes is None else processes.current_process()
    return bool(getattr(current, "_inheriting", False))
