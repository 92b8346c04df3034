"""Bounded parallel work on the parts of values."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar

from flowyml_aws.core.concurrency import map_concurrently

__all__ = [
    "BUFFERED_PART_SLOTS",
    "CONNECTIONS",
    "PART_SLOTS",
    "PartSlots",
    "for_each_part",
    "parts_at_once",
]

Result = TypeVar("Result")

CONNECTIONS = 64
"""Maximum number of concurrent requests."""

_MIN_PARTS, _PARTS_PER_CPU = 16, 4


def parts_at_once(cpus: int) -> int:
    """Return how many parts a machine processes at once.

    One S3 stream is slower than a core, so even the smallest machine needs several.
    """
    return min(max(_MIN_PARTS, _PARTS_PER_CPU * cpus), CONNECTIONS)


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class PartSlots:
    """A limit on the parts that this process handles at once, for any number of values."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = threading.BoundedSemaphore(count)

    def __enter__(self) -> None:
        self._free.acquire()

    def __exit__(self, *_: object) -> None:
        self._free.release()


PART_SLOTS = PartSlots(parts_at_once(_usable_cpus()))
"""For work that buffers only a piece of a part, or writes into the value's own memory."""

BUFFERED_PART_SLOTS = PartSlots(3 * PART_SLOTS.count // 8)
"""For work that buffers a whole part."""


def for_each_part(
    count: int, work: Callable[[int], Result], slots: PartSlots = PART_SLOTS
) -> tuple[Result, ...]:
    """Return the results of `work(0)` to `work(count - 1)`.

    After a failure, no further part is started.
    """

    def bounded(index: int) -> Result:
        with slots:
            return work(index)

    return tuple(map_concurrently(bounded, range(count), limit=slots.count))
