"""The clock of all waits: between polls, for a lease, an outage, or the time limit of a step.

Tests run it faster, with `run_faster`. This is not a setting: clients whose clocks run at different
speeds would take leases from each other.

Limits of work on this machine stay real: the end of a process, the load of a program, a connection.
"""

from __future__ import annotations

import threading
import time

__all__ = ["monotonic", "passed_s", "real_s", "run_faster", "sleep", "uptime_s", "wait"]

# On Linux, CLOCK_MONOTONIC does not count the time of a suspension; on macOS it does.
_UPTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

_speed = 1.0


def run_faster(speed: float) -> None:
    """Let a real second count as `speed` seconds in this process, and in those that it forks."""
    global _speed
    _speed = speed


def real_s(seconds: float) -> float:
    """Return the real seconds in which seconds pass, for timers of the operating system."""
    return seconds / _speed


def passed_s(real_seconds: float) -> float:
    """Return the seconds that pass in real seconds, such as those between two time stamps."""
    return real_seconds * _speed


def monotonic() -> float:
    """Return seconds from any start, without those in which this machine was suspended."""
    return passed_s(time.monotonic())


def uptime_s() -> float:
    """Return the seconds since this machine started, also those in which it was suspended."""
    return passed_s(time.clock_gettime(_UPTIME))


def sleep(seconds: float) -> None:
    """Pause this thread."""
    time.sleep(real_s(seconds))


def wait(event: threading.Event, seconds: float) -> bool:
    """Wait for an event for at most some seconds. Return whether it is set."""
    return event.wait(real_s(seconds))
