"""Exceptions that another thread raises in the main thread, as a signal handler does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["MainThreadStop"]

# Its default is to be ignored, so it may arrive at any time; programs rarely use it.
_SIGNAL = signal.SIGURG


class MainThreadStop:
    """A request to stop the code that the main thread runs."""

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self._is_armed = False

    def stop(self, error: BaseException) -> None:
        """Raise an exception in the block of `armed`, now or when it begins. Any thread."""
        if self._error is None:
            self._error = error
        main = threading.main_thread().ident
        if main is not None:
            signal.pthread_kill(main, _SIGNAL)

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Let the block be stopped. Main thread only.

        Raises:
            BaseException: The exception of `stop`, even if the block swallowed it.
        """
        previous = signal.signal(_SIGNAL, self._raise)
        try:
            self._is_armed = True
            if self._error is not None:
                raise self._error
            yield
        finally:
            self._is_armed = False
            signal.signal(_SIGNAL, previous)
        if self._error is not None:
            raise self._error

    def _raise(self, _signal: int, _frame: FrameType | None) -> None:
        if self._is_armed and self._error is not None:
            self._is_armed = False
            raise self._error
