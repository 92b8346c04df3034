"""The runner's own lines in the job's log."""

from __future__ import annotations

import contextlib
import sys

__all__ = ["say", "show"]


def say(message: str) -> None:
    """Print one line of the runner."""
    show(f"[flowyml-aws] {message}")


def show(text: str) -> None:
    """Print a string unchanged, such as a traceback."""
    # A step may have closed or replaced the stream, or its reader may be gone: never fail here.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(text, file=sys.stderr, flush=True)
