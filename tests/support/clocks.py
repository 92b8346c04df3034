"""A clock that moves only when `sleep` is called."""

from __future__ import annotations

__all__ = ["TestClock"]


class TestClock:
    """Time in seconds; `sleep` returns at once, and moves it."""

    __test__ = False

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
