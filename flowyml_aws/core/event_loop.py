"""Event loop for callables of the user that return an awaitable, such as `async def` functions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from flowyml_aws.core.errors import OutputMismatchError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

    from typing_extensions import Self

__all__ = ["EventLoop", "awaiting"]

Returned = TypeVar("Returned")

_CLEANUP_S = 5.0


class EventLoop:
    """An event loop that is created with the first awaitable, and closed by `close`.

    It is not the thread's current loop outside of `result`, so that other code is not affected.
    """

    def __init__(self) -> None:
        self._loop: AbstractEventLoop | None = None

    def result(self, value: Any) -> Any:
        """Return a value, or the result of an awaitable value.

        Raises:
            OutputMismatchError: The value is an async generator.
        """
        while inspect.isawaitable(value):
            value = self._run(value)
        if inspect.isasyncgen(value):
            raise OutputMismatchError(
                what=f"{value.__qualname__} returned an async generator",
                why="its values exist only while its event loop runs, which ends with the call",
                fix="return a list: [item async for item in …]",
            )
        return value

    def cancel_tasks(self) -> None:
        """Cancel the tasks that are still running, and give them a moment to clean up."""
        if self._loop is None:
            return
        import asyncio

        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=_CLEANUP_S))

    def finish(self) -> None:
        """Cancel the tasks and wait for the threads that are still running, and close the loop.

        The same as at the end of `asyncio.run`.
        """
        if (loop := self._loop) is not None:
            self.cancel_tasks()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            self.close()

    def close(self) -> None:
        """Close the loop, without waiting for anything."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.close()

    def _run(self, awaitable: Awaitable[Returned]) -> Returned:
        import asyncio  # slow, and most steps do not need it

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        future = asyncio.ensure_future(awaitable, loop=self._loop)
        try:
            return self._loop.run_until_complete(future)
        except BaseException as error:
            if future.done():
                raise
            # A signal stopped the loop itself. The task shows where it waited.
            self.cancel_tasks()
            raise error from (_error_of(future) if future.done() else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.cancel_tasks()
        finally:
            self.close()


def _error_of(future: Future[Any]) -> BaseException | None:
    try:
        future.result()
    except BaseException as error:
        return error
    return None


def awaiting(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that also waits for the result. For the client, where a loop may run."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        value = function(*args, **kwargs)
        return _in_new_thread(value) if inspect.isawaitable(value) else value

    return call


def _in_new_thread(value: Any) -> Any:
    # A notebook's own loop runs in this thread.
    from concurrent.futures import ThreadPoolExecutor

    def wait() -> Any:
        with EventLoop() as loop:
            result = loop.result(value)
            loop.finish()
            return result

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(wait).result()
