"""Concurrent calls, and limits for those that mostly wait for the answer to a request.

The limits are not for large values: `artifacts.parallel` has those for bandwidth and memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

__all__ = ["SERVICE_CALLS", "STORE_REQUESTS", "map_concurrently", "map_to_completion"]

Item = TypeVar("Item")
Result = TypeVar("Result")

STORE_REQUESTS = 32
"""Limit for requests of small objects of a store.

S3 accepts 3,500 writes and 5,500 reads per second and prefix (Amazon S3 User Guide, "Optimizing
Amazon S3 performance"). At 20 ms per request, 32 at once are 1,600 per second.
"""

SERVICE_CALLS = 8
"""Limit for calls of an AWS API other than S3.

Batch accepts 50 submissions per second (AWS Batch User Guide, "Service quotas"). At 150 ms per
call, 8 at once reach it. A service that accepts less throttles the client, which slows down.
"""


def map_concurrently(
    function: Callable[[Item], Result], items: Iterable[Item], *, limit: int
) -> list[Result]:
    """Return the results of a function for each item, in the order of the items.

    A single item is processed in the caller's thread. Of several items, up to `limit` are
    processed at once in other threads, and started in order. The iterable is read in the caller's
    thread, at most one item ahead, so its items need not be in memory together.

    After an error of the function or of the iterable, or an interrupt of the caller, no further
    item is started, and the calls that are running are awaited.

    Raises:
        BaseException: The error of the first item that failed, in the order of the items. The
            calls for all items before it have succeeded.
    """
    iterator = iter(items)
    first = list(islice(iterator, 2))
    if len(first) < 2:
        return [function(item) for item in first]
    return map_to_completion(function, chain(first, iterator), limit=limit)


def map_to_completion(
    function: Callable[[Item], Result], items: Iterable[Item], *, limit: int
) -> list[Result]:
    """Return the same as `map_concurrently`, and complete even a single call on an interrupt.

    For calls whose answer must not be lost, such as the submission of a job.
    """
    free = threading.Semaphore(limit)
    has_failed = threading.Event()

    def call(item: Item) -> Result:
        try:
            return function(item)
        except BaseException:
            has_failed.set()
            raise
        finally:
            free.release()

    with ThreadPoolExecutor(limit) as pool:
        calls: list[Future[Result]] = []
        for item in items:
            free.acquire()
            if has_failed.is_set():
                break
            calls.append(pool.submit(call, item))
        # Inside the block: it awaits the running calls if the caller is interrupted here.
        return [each.result() for each in calls]
