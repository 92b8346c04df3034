"""Delayed actions, such as time limits and grace periods."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from threading import Condition, RLock, Thread

__all__ = ["Timer", "Timers"]


class Timer:
    """An action that runs at a given time unless it is cancelled before."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Prevent the action; no-op if it has already run."""
        self._action = None

    def fire(self) -> None:
        """Run the action, unless it has already run or was cancelled."""
        action, self._action = self._action, None
        if action is not None:
            action()


class Timers:
    """Runs actions when they are due, on a single thread.

    Args:
        lock: Held while an action runs.
        time_scale: Real seconds per emulated second.
    """

    def __init__(self, lock: RLock, time_scale: float) -> None:
        self._changed = Condition(lock)
        self._time_scale = time_scale
        # The sequence number breaks ties between timers that are due at the same time.
        self._due: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._is_stopping = False
        self._thread = Thread(target=self._run, name="emulator-timers", daemon=True)
        self._thread.start()

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Schedule an action after a delay in (unscaled) seconds."""
        timer = Timer(action)
        with self._changed:
            due = time.monotonic() + seconds * self._time_scale
            heapq.heappush(self._due, (due, next(self._numbers), timer))
            self._changed.notify()
        return timer

    def stop(self) -> None:
        """Stop the thread; pending actions do not run."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        with self._changed:
            while not self._is_stopping:
                while self._due and self._due[0][0] <= time.monotonic():
                    heapq.heappop(self._due)[2].fire()
                wait_s = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
                self._changed.wait(wait_s)
