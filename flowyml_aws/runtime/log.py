"""The runner's own lines in the job's log."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from flowyml_aws.core.errors import FlowymlError

__all__ = ["hide", "masked", "reporting", "say", "show"]

_SHORTEST_HIDDEN = 4  # a shorter string is part of many others
_hidden: set[str] = set()


def say(message: str) -> None:
    """Print one line of the runner."""
    show(f"[flowyml-aws] {message}")


def show(text: str) -> None:
    """Print a string, such as a traceback, without the values of secrets."""
    # A step may have closed or replaced the stream, or its reader may be gone: never fail here.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(masked(text), file=sys.stderr, flush=True)


@contextlib.contextmanager
def reporting(problem: str) -> Iterator[None]:
    """Report the error of a write that the job can do without, and continue."""
    try:
        yield
    except (FlowymlError, OSError) as error:
        say(f"{problem}\n{error}")


def hide(value: str) -> None:
    """Mask a value, and each line of one, in everything that is printed from now on."""
    _hidden.update(part for part in (value, *value.splitlines()) if len(part) >= _SHORTEST_HIDDEN)


def masked(text: str) -> str:
    """Return a string with `***` instead of each hidden value."""
    for value in sorted(_hidden, key=len, reverse=True):
        text = text.replace(value, "***")
    return text
