"""The same work on each part of something, and on many things at once, in a few threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = [
    "CONNECTIONS",
    "LANES",
    "ROOMY_LANES",
    "Lanes",
    "for_each",
    "for_each_part",
    "parts_at_once",
]

Item = TypeVar("Item")
Result = TypeVar("Result")

CONNECTIONS = 64
"""At most so many requests are under way at once."""

_LEAST, _PER_CPU = 16, 4


def parts_at_once(cpus: int) -> int:
    """How many parts a machine works on at once: one stream of S3 is slower than a core.

    Several streams are needed even by the smallest machine.
    """
    return min(max(_LEAST, _PER_CPU * cpus), CONNECTIONS)


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Lanes:
    """How many parts are worked on at once in this process, of however many things."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = threading.BoundedSemaphore(count)

    def __enter__(self) -> None:
        self._free.acquire()

    def __exit__(self, *_: object) -> None:
        self._free.release()


LANES = Lanes(parts_at_once(_usable_cpus()))
"""For work that holds but a piece of a part, or has its place in the value's own memory."""

ROOMY_LANES = Lanes(3 * LANES.count // 8)
"""For work that holds a part in memory of its own."""


def for_each_part(
    count: int, work: Callable[[int], Result], lanes: Lanes = LANES
) -> tuple[Result, ...]:
    """Results of `work(0)` to `work(count - 1)`; after a failure no further part is begun."""

    def bounded(index: int) -> Result:
        with lanes:
            return work(index)

    if count == 1:
        return (bounded(0),)  # most values are small: they pay for no threads
    return _mapped(bounded, range(count), min(count, lanes.count))


def for_each(items: Iterable[Item], work: Callable[[Item], Result]) -> tuple[Result, ...]:
    """Results of the work on each item, most of which is waiting; none is begun after a failure."""
    listed = tuple(items)
    if len(listed) < 2:
        return tuple(map(work, listed))
    return _mapped(work, listed, min(len(listed), CONNECTIONS // 2))


def _mapped(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> tuple[Result, ...]:
    with ThreadPoolExecutor(threads) as pool:
        try:
            return tuple(pool.map(work, items))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
