"""The same work on each part of something, in a few threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["THREADS", "for_each_part"]

Result = TypeVar("Result")

THREADS = 8
"""At most so many parts are worked on at once, which bounds memory by as many part sizes."""


def for_each_part(count: int, work: Callable[[int], Result]) -> tuple[Result, ...]:
    """Results of `work(0)` to `work(count - 1)`; after a failure no further part is begun."""
    if count == 1:
        return (work(0),)  # most values are small: they pay for no threads
    with ThreadPoolExecutor(min(THREADS, count)) as pool:
        try:
            return tuple(pool.map(work, range(count)))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
