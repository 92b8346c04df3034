"""A time limit that also stops code that ignores it.

Three lines of defence: an exception in the main thread stops Python code; a watchdog thread ends
the process if native code or a catch-all swallowed the exception; if native code holds the
interpreter lock, so that no Python thread can run, `faulthandler`'s own thread prints the stacks
and ends the process.
"""

from __future__ import annotations

import faulthandler
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

from flowyml_aws.core import clock

__all__ = ["GRACE_S", "StepTimeout", "call_within"]

Returned = TypeVar("Returned")

GRACE_S = 10.0
_FOREVER_S = 10 * 365 * 86_400  # the operating system's timers overflow not much later
_STDERR = 2  # the descriptor: a step may have replaced or closed `sys.stderr`


class StepTimeout(BaseException):
    """The step exceeded its timeout. Not an `Exception`, so that steps do not swallow it."""


def call_within(
    seconds: float | None,
    call: Callable[[], Returned],
    on_stuck: Callable[[], None],
    grace_s: float = GRACE_S,
) -> Returned:
    """Call a function with a time limit, and return its value. Main thread only.

    Args:
        seconds: The limit, or None for no limit.
        call: Function to call.
        on_stuck: Called in another thread if the function is still running `grace_s` after the
            limit; it should end the process.
        grace_s: Seconds between the lines of defence.

    Raises:
        StepTimeout: The function took longer, even if it then returned a value.
    """
    if seconds is None or seconds > _FOREVER_S:
        return call()
    limit = f"it ran longer than its timeout of {seconds:g} s"
    expired = armed = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal expired
        if armed:
            expired = True
            raise StepTimeout(limit)

    def end() -> None:
        # Threads can run. The commit may wait for the store, for longer than the last line does.
        faulthandler.cancel_dump_traceback_later()
        on_stuck()

    previous = signal.signal(signal.SIGALRM, stop)
    watchdog = threading.Timer(clock.real_s(seconds + grace_s), end)
    watchdog.daemon = True
    # Two `finally` blocks: the alarm fires once; if it does so in the inner, the outer is safe.
    try:
        watchdog.start()
        last_s = clock.real_s(seconds + 2 * grace_s)
        faulthandler.dump_traceback_later(last_s, exit=True, file=_STDERR)
        armed = True
        signal.setitimer(signal.ITIMER_REAL, clock.real_s(seconds))
        try:
            returned = call()
        finally:
            armed = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        faulthandler.cancel_dump_traceback_later()
        watchdog.cancel()
    if expired:  # the call swallowed the exception
        raise StepTimeout(limit)
    return returned
