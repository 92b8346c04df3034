"""Declaration of a user's additions to cache keys: the argument `cache_on`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from flowyml_aws.core.errors import FlowymlError, InvalidStepError

__all__ = ["Env", "addition_problems", "as_additions"]

_FUNCTIONS = (FunctionType, MethodType, BuiltinFunctionType, functools.partial)


@dataclass(frozen=True, slots=True)
class Env:
    """An environment variable of this machine that counts in a cache key.

    Attributes:
        name: Name of the variable.
    """

    name: str


def as_additions(cache_on: Any) -> tuple[Any, ...]:
    """Return the additions of an argument `cache_on`; a list or tuple has several."""
    if cache_on is None:
        return ()
    return tuple(cache_on) if isinstance(cache_on, list | tuple) else (cache_on,)


def addition_problems(additions: Sequence[Any], owner: str) -> list[FlowymlError]:
    """Return an error for each addition that can't count in a key.

    Args:
        additions: The additions.
        owner: Owner of the additions, for the errors: `Step 'train'`.
    """
    problems: list[FlowymlError] = []
    for value in additions:
        if isinstance(value, Env) and not (isinstance(value.name, str) and value.name):
            problems.append(
                InvalidStepError(
                    what=f"{owner}: Invalid argument cache_on={value!r}",
                    why="the name of an environment variable is a non-empty string",
                    fix='write for example cache_on=Env("MODEL_VERSION")',
                )
            )
        elif isinstance(value, _FUNCTIONS):
            problems.append(
                InvalidStepError(
                    what=f"{owner}: cache_on contains a function: {value!r}",
                    why="cache_on takes values; it does not call functions",
                    fix="call the function and pass its result, or use cache=FUNCTION, which is "
                    "called with context values by name",
                )
            )
    return problems
