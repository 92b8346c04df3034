"""SIGTERM as an exception, remembered where the user's code swallows it."""

from __future__ import annotations

import os
import signal
from types import FrameType

__all__ = ["Interrupted", "Interruption"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)  # SIGINT: a runner in the foreground of a terminal


class Interrupted(BaseException):
    """The platform asks the job to end."""


class Interruption:
    """Whether the platform asked the job to end.

    The first signal raises `Interrupted` in the main thread; later ones change nothing, so that
    the job can end in order.
    """

    def __init__(self) -> None:
        self.requested = False
        self._over = False

    def listen(self) -> None:
        """Take the signals over from now on. Main thread only."""
        runner = os.getpid()
        previous = {number: signal.getsignal(number) for number in _SIGNALS}

        def interrupt(number: int, _frame: FrameType | None) -> None:
            if os.getpid() != runner:
                # A process that a step forked, say a worker of a pool: it ends as it always did.
                signal.signal(number, previous[signal.Signals(number)])
                os.kill(os.getpid(), number)
            elif not self.requested and not self._over:
                self.requested = True
                raise Interrupted

        for number in _SIGNALS:
            signal.signal(number, interrupt)

    def check(self) -> None:
        """Go on only if nobody asked for an end.

        Raises:
            Interrupted: Somebody did, and a step swallowed it.
        """
        if self.requested:
            raise Interrupted

    def ignore(self) -> None:
        """The job is over: from now on a signal has nothing to stop."""
        self._over = True
