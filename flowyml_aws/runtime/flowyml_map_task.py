"""Calls of FlowyML's `@map_task`: a function for each item of a list, in threads of one job.

FlowyML 2.2.1 calls the function of such a step once, with the whole list. Its class documents what
it means, and does it in a plain call; this module does the same (`flowyml.core.map_task`).
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from flowyml_aws.core import clock
from flowyml_aws.runtime.log import say

__all__ = ["MapTask", "map_task_of"]


@dataclass(frozen=True)
class MapTask:
    """A function that is called for each item of its first argument.

    Attributes:
        func: Function of one item; it gets all other arguments unchanged.
        name: Name of the step.
        concurrency: Number of threads.
        retries: Number of retries of an item.
        retry_delay_s: Seconds before the first retry of an item; doubled for each next one.
        min_success_ratio: Share of the items that must succeed, from 0 to 1.
        fail_fast: Whether no other items are started after one has failed.
    """

    func: Callable[..., Any]
    name: str
    concurrency: int = 4
    retries: int = 0
    retry_delay_s: float = 1.0
    min_success_ratio: float = 1.0
    fail_fast: bool = False

    @property
    def __signature__(self) -> inspect.Signature:
        """Signature of the function, whose first parameter takes the list."""
        signature = inspect.signature(self.func)
        types: dict[str, Any] = {}
        with suppress(Exception):  # any exception: annotations are the user's code
            types = typing.get_type_hints(self.func)
        first, *others = signature.parameters.values()
        named = [p.replace(annotation=types.get(p.name, p.annotation)) for p in others]
        return inspect.Signature([first.replace(annotation=first.empty), *named])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return a `MapTaskResult` of FlowyML. A value is one item unless it is a list or tuple.

        Raises:
            RuntimeError: Fewer items than `min_success_ratio` have succeeded.
        """
        from flowyml.core.map_task import MapTaskResult  # a stand-in, if it is not installed

        if not args:
            args = (kwargs.pop(next(iter(inspect.signature(self.func).parameters))),)
        items = args[0] if isinstance(args[0], list | tuple) else [args[0]]
        result = MapTaskResult(results=[None] * len(items), total=len(items))
        if not items:
            return result
        first_error: Exception | None = None
        threads = ThreadPoolExecutor(self.concurrency)
        try:
            numbers: dict[Future[Any], int] = {
                threads.submit(self._item, number, item, args[1:], kwargs): number
                for number, item in enumerate(items)
            }
            for future in as_completed(numbers):
                number = numbers[future]
                try:
                    result.results[number] = future.result()
                    result.successes += 1
                except Exception as error:  # any exception: the function is the user's code
                    say(f"{self.name}: item {number} failed: {error}")
                    first_error = first_error or error
                    result.failures += 1
                    result.errors[number] = str(error)
                    if self.fail_fast:
                        break
        except BaseException:  # such as the step's time limit: an item may never end
            threads.shutdown(wait=False, cancel_futures=True)
            raise
        threads.shutdown(cancel_futures=True)
        if result.success_ratio < self.min_success_ratio:
            raise RuntimeError(
                f"Map task {self.name!r} failed: success ratio {result.success_ratio:.1%} < "
                f"minimum {self.min_success_ratio:.1%}. {result.failures}/{result.total} items "
                "failed."
            ) from first_error
        return result

    def _item(self, number: int, item: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for retries in range(self.retries):
            try:
                return self.func(item, *args, **kwargs)
            except Exception as error:  # any exception: the function is the user's code
                delay_s = self.retry_delay_s * 2**retries
                say(f"{self.name}: item {number} failed: {error}; retrying in {delay_s:g} s")
            clock.sleep(delay_s)  # outside `except`: the memory of the failed call is free
        return self.func(item, *args, **kwargs)


def map_task_of(flowyml_step: Any) -> MapTask | None:
    """Return the call of a FlowyML step that `@map_task` made, or None for any other step."""
    config = getattr(flowyml_step, "map_config", None)
    if config is None:
        return None
    return MapTask(
        func=flowyml_step.func,
        name=flowyml_step.name,
        concurrency=config.concurrency,
        retries=config.retries,
        retry_delay_s=config.retry_delay,
        min_success_ratio=config.min_success_ratio,
        fail_fast=config.fail_fast,
    )
