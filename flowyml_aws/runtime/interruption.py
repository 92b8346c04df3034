"""SIGTERM as an exception, remembered where the user's code swallows it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

__all__ = ["Interrupted", "Interruption"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)  # SIGINT: a runner in the foreground of a terminal


_Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None


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
        previous = {number: signal.getsignal(number) for number in _SIGNALS}

        def interrupt(_number: int, _frame: FrameType | None) -> None:
            if not self.requested and not self._over:
                self.requested = True
                raise Interrupted

        for number in _SIGNALS:
            signal.signal(number, interrupt)
        _give_back_in_forks(previous)

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


def _give_back_in_forks(handlers: Mapping[signal.Signals, _Handler]) -> None:
    """Let a process that a step forks, say a worker of a pool, end as it always did.

    The signals wait while it is made: one that came before it has its own handlers would be lost,
    and whoever ended the worker would wait for it for ever.
    """
    masks: dict[int, set[int]] = {}  # by thread: several may fork at once

    def hold() -> None:
        masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def let_go() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop(threading.get_ident()))

    def give_back() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        let_go()

    os.register_at_fork(before=hold, after_in_parent=let_go, after_in_child=give_back)
