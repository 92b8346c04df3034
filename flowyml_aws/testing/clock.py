"""The emulated account's clock: time stamps, limits, and delays that clients skip."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from threading import Condition, RLock, Thread

__all__ = ["Clock", "Timer"]


class Timer:
    """An action that runs at a given time unless it is cancelled before."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action: Callable[[], object] | None = action

    @property
    def is_pending(self) -> bool:
        """True if the action will still run."""
        return self._action is not None

    def cancel(self) -> None:
        """Prevent the action; no-op if it has already run."""
        self._action = None

    def fire(self) -> None:
        """Run the action, unless it has already run or was cancelled."""
        action, self._action = self._action, None
        if action is not None:
            action()


# Due time, number and timer. The number breaks ties between timers that are due at the same time.
_Due = tuple[float, int, Timer]


class Clock:
    """Emulated time, and the actions that are due at some time.

    Time passes as on this machine, or faster with `time_scale`. It also moves forward

    - by `skip_delay`, to the end of the next `delay`, unless the clock is held: while no process
      runs, a client that waits for a service need not wait in real time. Until the machine's time
      has caught up, the clock waits for it whenever it is not held, so that it stays close.
    - by `advance`, over delays and limits alike, for good.

    All actions run in the order of their times, with the lock, and `now` is their time.

    Args:
        lock: Guards all state. Callers of every method but `stop` may hold it.
        time_scale: Real seconds per emulated second.
        real_time: Real time in seconds, from any start.
        epoch: Unix time at which the clock starts.
    """

    def __init__(
        self,
        lock: RLock,
        time_scale: float = 1.0,
        *,
        real_time: Callable[[], float] = time.monotonic,
        epoch: float | None = None,
    ) -> None:
        self._changed = Condition(lock)
        self._time_scale = time_scale
        self._real_time = real_time
        self._started_at = real_time()
        self._epoch = time.time() if epoch is None else epoch
        self._advanced_s = 0.0
        self._ahead_s = 0.0  # while the clock is held: by what it has skipped
        self._reached = self._epoch  # while it is not held: the least time
        self._limits: list[_Due] = []
        self._delays: list[_Due] = []
        self._numbers = itertools.count()
        self._holders = 0
        self._thread: Thread | None = None
        self._is_stopping = False

    def now(self) -> float:
        """Return the emulated Unix time."""
        machine = self._machine_time()
        return machine + self._ahead_s if self._holders else max(machine, self._reached)

    def now_ms(self) -> int:
        """Return the emulated Unix time in milliseconds."""
        return int(self.now() * 1000)

    def after(self, seconds: float, action: Callable[[], object]) -> Timer:
        """Schedule an action for a limit: a timeout, a grace period, or the end of a wait.

        Clients do not wait for a limit, so it is never skipped.
        """
        return self._schedule(self._limits, seconds, action)

    def delay(self, seconds: float, action: Callable[[], object]) -> Timer:
        """Schedule an action for the end of a delay of a service, which clients wait for."""
        return self._schedule(self._delays, seconds, action)

    def hold(self) -> None:
        """Skip no delays until `release`, because something runs in real time."""
        with self._changed:
            if not self._holders:
                self._ahead_s = self.now() - self._machine_time()
            self._holders += 1
            self._changed.notify()

    def release(self) -> None:
        """End a `hold`."""
        with self._changed:
            reached = self.now()
            self._holders -= 1
            if not self._holders:
                self._reached = reached

    def skip_delay(self) -> None:
        """Move to the end of the next delay. No-op while the clock is held, or without a delay."""
        with self._changed:
            while self._delays and not self._delays[0][2].is_pending:
                heapq.heappop(self._delays)
            if self._delays and not self._holders:
                self._run_until(self._delays[0][0], self._skip_to)

    def advance(self, seconds: float) -> None:
        """Move forward by emulated seconds, also while the clock is held."""
        with self._changed:
            self._run_until(self.now() + seconds, self._advance_to)

    def start(self) -> None:
        """Run actions when they are due, on a thread."""
        self._thread = Thread(target=self._run, name="emulator-clock", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; pending actions do not run."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _schedule(self, timers: list[_Due], seconds: float, action: Callable[[], object]) -> Timer:
        timer = Timer(action)
        with self._changed:
            heapq.heappush(timers, (self.now() + seconds, next(self._numbers), timer))
            self._changed.notify()
        return timer

    def _machine_time(self) -> float:
        """Return the time without what was skipped."""
        passed_s = (self._real_time() - self._started_at) / self._time_scale
        return self._epoch + passed_s + self._advanced_s

    def _run_until(self, target: float, move_to: Callable[[float], None]) -> None:
        """Run the actions that are due by `target`, each at its time, and stop there."""
        while (due := self._next_due()) is not None and due <= target:
            move_to(due)
            self._fire_next()
        move_to(target)
        self._changed.notify()

    def _skip_to(self, moment: float) -> None:
        self._reached = max(self._reached, moment)

    def _advance_to(self, moment: float) -> None:
        self._advanced_s += max(0.0, moment - self.now())
        self._reached = max(self._reached, moment)

    def _next_due(self) -> float | None:
        return min(
            (timers[0][0] for timers in (self._limits, self._delays) if timers), default=None
        )

    def _fire_next(self) -> None:
        heapq.heappop(min((t for t in (self._limits, self._delays) if t), key=lambda t: t[0][:2]))[
            2
        ].fire()

    def _run(self) -> None:
        with self._changed:
            while not self._is_stopping:
                while (due := self._next_due()) is not None and due <= self.now():
                    self._fire_next()
                self._changed.wait(None if due is None else self._real_seconds_until(due))

    def _real_seconds_until(self, due: float) -> float:
        ahead_s = self._ahead_s if self._holders else 0.0
        return max(0.0, due - self._machine_time() - ahead_s) * self._time_scale
