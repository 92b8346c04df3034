"""SIGTERM as an exception, remembered in case the user's code swallows it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

__all__ = ["Interrupted", "Interruption", "NodeLost"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)  # SIGINT: a runner in the foreground of a terminal


_Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None


class Interrupted(BaseException):
    """The platform asked the job to stop."""


class NodeLost(Interrupted):
    """Another node of the job has ended, or did not appear."""


class Interruption:
    """Stop request of the platform.

    The first signal raises `Interrupted` in the main thread; later signals are ignored, so that
    the job can clean up.
    """

    def __init__(self) -> None:
        self.requested = False
        self._ended = False

    def listen(self) -> None:
        """Install the signal handlers. Main thread only."""
        previous = {number: signal.getsignal(number) for number in _SIGNALS}

        def interrupt(_number: int, _frame: FrameType | None) -> None:
            if not self.requested and not self._ended:
                self.requested = True
                raise Interrupted

        for number in _SIGNALS:
            signal.signal(number, interrupt)
        _restore_in_forks(previous)

    def check(self) -> None:
        """Raise `Interrupted` again if a stop was requested.

        Raises:
            Interrupted: A stop was requested, and a step swallowed the exception.
        """
        if self.requested:
            raise Interrupted

    def ignore(self) -> None:
        """Ignore signals from now on, because the job has ended."""
        self._ended = True


def _restore_in_forks(handlers: Mapping[signal.Signals, _Handler]) -> None:
    """Restore the previous handlers in processes that a step forks, such as pool workers.

    Signals are blocked during the fork: a signal that arrives before the child has its own
    handlers would be lost, and a parent that terminated the worker would wait for it forever.
    """
    masks: dict[int, set[int]] = {}  # by thread: several may fork at once

    def block() -> None:
        masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop(threading.get_ident()))

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        unblock()

    os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=restore)
