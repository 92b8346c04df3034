"""Signals that end a client: SIGTERM, SIGHUP of a closed terminal, SIGQUIT, as an exception.

Python turns only SIGINT into an exception. The others end the process at once, without a chance to
stop the jobs that it has started on this machine.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Terminated", "end_after_cleanup", "raise_terminations"]

_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Terminated(BaseException):
    """A signal asked this process to end.

    Attributes:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)


@contextmanager
def raise_terminations() -> Iterator[None]:
    """Raise `Terminated` on a signal whose default action would end this process.

    Signals that are ignored, as `nohup` ignores SIGHUP, or that have a handler are not changed, and
    neither is anything outside the main thread.
    """
    previous = _listen()
    try:
        yield
    finally:
        _restore(previous)


@contextmanager
def end_after_cleanup() -> Iterator[None]:
    """Run a block, with its cleanup, before a signal ends this process.

    Inside `raise_terminations`, the exception continues to its caller.
    """
    previous = _listen()
    try:
        yield
    except Terminated as end:
        _restore(previous)
        if end.number in previous:
            os.kill(os.getpid(), end.number)  # its parent sees the signal
        raise
    finally:
        _restore(previous)


def _listen() -> Mapping[signal.Signals, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    previous = {number: signal.getsignal(number) for number in _SIGNALS}
    replaced = {n: handler for n, handler in previous.items() if handler == signal.SIG_DFL}
    for number in replaced:
        signal.signal(number, _raise)
    return replaced


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _raise(number: int, _frame: FrameType | None) -> None:
    raise Terminated(number)
