"""Steps of every kind of callable, and a step that only waits for others."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from unittest import mock

from flowyml_aws import Context, Pipeline, step

pipeline = Pipeline("calls", context=Context(rate=2))


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


def scaled(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any, rate: int = 100, **kwargs: Any) -> Any:
        return function(*args, **kwargs) * rate

    return inner


def with_session(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function("session", *args, **kwargs)

    return inner


def difference(a: int, b: int, rate: int = 1) -> int:
    return (a - b) * rate


class Model:
    def __init__(self, base: int) -> None:
        self.base = base

    def fit(self, a: int, *rest: int, rate: int) -> list[int]:
        return [self.base, a, *rest, rate]

    def __call__(self, a: int, /, c: int = 7, *, b: int) -> list[int]:
        return [a, b, c]


def positional(a: int, b: int = 10, c: int = 20, /, *rest: int) -> list[int]:
    return [a, b, c, *rest]


@step(outputs=["a", "b"])
def make() -> tuple[int, int]:
    return 5, 3


@step(outputs=["never"], condition=logged(lambda a, b: a < b), inputs=["a", "b"])
def never(a: int, b: int) -> str:
    return "never"


functions: dict[str, tuple[list[str], Callable[..., Any]]] = {
    "star": (["a", "b"], lambda *parts: list(parts)),
    "rest": (["a", "b"], lambda first, *rest: [first, rest]),
    "keywords": (["a", "b"], lambda **values: values),
    "positional": (["a", "b"], positional),
    "partial": (["b", "a"], functools.partial(difference, rate=3)),
    "method": (["a", "b"], Model(1).fit),
    "object": (["a", "b"], Model(1)),
    "builtin": (["b", "a"], max),
    "logged": (["b", "a"], logged(difference)),
    "scaled": (["a", "b"], scaled(lambda x, y: x - y)),
    "injected": (["a"], with_session(lambda session, data: [session, data])),
    "patched": (["a"], mock.patch("os.getpid", return_value=1)(lambda a, getpid: [a, getpid()])),
}
declared = [make, never]
for name, (inputs, function) in functions.items():
    # Most steps share a job, as each job takes a second.
    group = None if name in ("star", "logged") else "grouped"
    declared.append(
        step(name=name, inputs=inputs, outputs=[f"{name}_value"], execution_group=group)(function)
    )


@step(outputs=["ordered"], after=["never", "star", "partial_value"])
def ordered() -> str:
    return "ordered"


pipeline.add_steps([*declared, ordered])
