"""A limit in seconds that really stops what runs under it.

Three lines of defence: an exception in the main thread stops Python code; a watchdog thread ends
the process where native code or a catch-all swallowed the exception; and where native code holds
the interpreter lock, so that no thread gets a turn, `faulthandler`'s own thread prints the stacks
and ends the process.
"""

from __future__ import annotations

import faulthandler
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["StepTimeout", "time_limit"]

GRACE_S = 10.0


class StepTimeout(BaseException):
    """The step ran out of time. Not an `Exception`, so that the step does not swallow it."""


@contextmanager
def time_limit(
    seconds: float | None, on_stuck: Callable[[], None], grace_s: float = GRACE_S
) -> Iterator[None]:
    """Run a block for at most some seconds. Main thread only.

    Args:
        seconds: The limit, or None for no limit.
        on_stuck: Called in another thread where the block goes on for `grace_s` after it was told
            to stop; it should end the process.
        grace_s: Seconds between the lines of defence.

    Raises:
        StepTimeout: The block took longer.
    """
    if seconds is None:
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise StepTimeout(f"it ran longer than its timeout of {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, stop)
    watchdog = threading.Timer(seconds + grace_s, on_stuck)
    watchdog.daemon = True
    watchdog.start()
    faulthandler.dump_traceback_later(seconds + 2 * grace_s, exit=True)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        watchdog.cancel()
        signal.signal(signal.SIGALRM, previous)
